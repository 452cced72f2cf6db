//! What a column of scores is: its metric, label, unit and direction.

use super::Metric;
use super::components::metric_of_column;

/// Which values of a score are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Better {
    /// Higher values, as for Dice.
    Higher,
    /// Lower values, as for distances.
    Lower,
    /// Values nearer to 0, as for differences, which may be negative.
    NearerToZero,
}

impl Better {
    /// Returns whether a value is better than another.
    pub fn is_better(self, new: f64, old: f64) -> bool {
        match self {
            Self::Higher => new > old,
            Self::Lower => new < old,
            Self::NearerToZero => new.abs() < old.abs(),
        }
    }
}

/// The unit of a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// A ratio without a unit.
    #[default]
    Ratio,
    /// Millimetres.
    Millimetres,
    /// Millilitres.
    Millilitres,
}

impl Unit {
    /// Returns the symbol, such as `mm`; empty for a ratio.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Ratio => "",
            Self::Millimetres => "mm",
            Self::Millilitres => "ml",
        }
    }

    /// Returns the number of decimals with which scores are shown to people.
    pub fn decimals(self) -> usize {
        match self {
            Self::Ratio => 3,
            Self::Millimetres | Self::Millilitres => 2,
        }
    }
}

/// A column of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreColumn<'a> {
    /// The name of the metric, such as `hd95`.
    pub metric: &'static str,
    /// The name of the metric in texts, such as `HD95`.
    pub title: &'static str,
    /// The name of the score within the metric, such as `liver` or `mean`.
    pub score: &'a str,
    /// Its unit.
    pub unit: Unit,
    /// Which values are better.
    pub better: Better,
    /// Whether the score is one of those whose mean ranks cases and runs: that of a label, but of no region.
    pub is_ranked: bool,
}

impl<'a> ScoreColumn<'a> {
    /// Returns what a column is, such as `hd95_liver` of `cases.csv` or `val_hd95_mean` of `metrics.csv`; `None` if it has
    /// no scores, such as `val_loss`.
    ///
    /// The unit of a difference of volumes depends on the metric's keys, so `declared` has the metrics of the experiment.
    pub fn of(column: &'a str, declared: &[Metric]) -> Option<Self> {
        let (entry, score) = metric_of_column(column.strip_prefix("val_").unwrap_or(column))?;
        let declared = declared.iter().find(|metric| metric.name() == entry.name).map(Metric::component);
        Some(Self {
            metric: entry.name,
            title: (entry.title)(),
            score,
            unit: declared.map_or(Unit::Ratio, |metric| metric.unit(score)),
            better: (entry.better)(score),
            is_ranked: declared.map_or(score != "mean", |metric| metric.is_ranked(score)),
        })
    }

    /// Returns the name of the metric with its unit, for an axis: `HD95 (mm)`.
    pub fn axis_name(&self) -> String {
        with_unit(self.title, self.unit)
    }
}

/// Returns a name followed by a unit in parentheses, if there is one.
pub fn with_unit(name: &str, unit: Unit) -> String {
    match unit.symbol() {
        "" => name.to_owned(),
        symbol => format!("{name} ({symbol})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(text: &str) -> Vec<Metric> {
        text.lines().map(|line| serde_yaml::from_str(line).unwrap()).collect()
    }

    fn unit(column: &str, declared: &str) -> Unit {
        ScoreColumn::of(column, &metrics(declared)).unwrap().unit
    }

    #[test]
    fn a_column_has_the_unit_of_its_metric() {
        assert_eq!(unit("val_dice_mean", "!dice {}"), Unit::Ratio);
        for name in ["hd", "hd95", "assd"] {
            assert_eq!(unit(&format!("{name}_liver"), &format!("!{name} {{}}")), Unit::Millimetres, "{name}");
        }
        assert_eq!(unit("volume_difference_liver", "!volume_difference {unit: ml}"), Unit::Millilitres);
        assert_eq!(unit("volume_difference_liver", "!volume_difference {}"), Unit::Ratio);
        assert_eq!(unit("nsd_liver", "!nsd {tolerance_mm: 1}"), Unit::Ratio);
    }

    #[test]
    fn the_metric_with_the_longest_name_has_the_column() {
        let column = ScoreColumn::of("val_hd95_left_lung", &[]).unwrap();
        assert_eq!((column.metric, column.score, column.better), ("hd95", "left_lung", Better::Lower));
        assert_eq!(ScoreColumn::of("hd_mean", &[]).unwrap().metric, "hd");
        assert_eq!(ScoreColumn::of("val_dice_loss", &[]).unwrap().score, "loss");
        for column in ["val_loss", "train_loss", "epoch", "dice", "learning_rate"] {
            assert_eq!(ScoreColumn::of(column, &[]), None, "{column}");
        }
    }

    #[test]
    fn labels_rank_and_regions_means_and_global_scores_do_not() {
        let declared = metrics("!dice {global: true, regions: {whole: [1, 2]}}\n!lits {}");
        let is_ranked = |column| ScoreColumn::of(column, &declared).unwrap().is_ranked;
        assert!(is_ranked("dice_liver") && is_ranked("lits_lesion_dice"));
        for column in ["dice_whole", "val_dice_mean", "val_dice_global_liver", "lits_tumour_burden_error"] {
            assert!(!is_ranked(column), "{column}");
        }
    }

    #[test]
    fn an_axis_names_the_unit() {
        let declared = metrics("!hd95 {}\n!dice {}");
        let name = |column| ScoreColumn::of(column, &declared).unwrap().axis_name();
        assert_eq!([name("hd95_liver"), name("dice_liver")], ["HD95 (mm)", "Dice"]);
    }
}
