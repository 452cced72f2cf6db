//! The metric that runs are compared by.

use metrics::{Better, Metric, ScoreColumn, Unit, with_unit};

use super::Run;
use crate::statistics::ConfidenceInterval;

/// The metric by which runs are compared unless another is named.
const DEFAULT: &str = "dice";

/// The metric that runs are compared by: its name, unit and direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ComparedMetric {
    /// The name of the metric in an experiment, such as `hd95`.
    pub name: String,
    /// Its name in texts, such as `HD95`.
    pub title: String,
    /// The unit of its scores.
    pub unit: Unit,
    /// Which scores are better.
    pub better: Better,
}

impl ComparedMetric {
    /// Returns a metric by its name, as declared by a run. `label` is one of its scores.
    pub fn new(name: &str, label: &str, declared: &[Metric]) -> Self {
        let column = format!("{name}_{label}");
        let Some(column) = ScoreColumn::of(&column, declared).filter(|column| column.metric == name) else {
            let title = name.replace('_', " ");
            return Self { name: name.to_owned(), title, unit: Unit::Ratio, better: Better::Higher };
        };
        // Differences above and below 0 would cancel in a mean, so their sizes are compared.
        let title = match column.better {
            Better::NearerToZero => format!("absolute {}", column.title),
            Better::Higher | Better::Lower => column.title.to_owned(),
        };
        Self { name: name.to_owned(), title, unit: column.unit, better: column.better }
    }

    /// Returns the score of a case as it is compared: the absolute value if values nearer to 0 are better.
    pub fn compared(&self, score: f64) -> f64 {
        if self.better == Better::NearerToZero { score.abs() } else { score }
    }

    /// Returns whether higher values are better.
    pub fn is_higher_better(&self) -> bool {
        self.better == Better::Higher
    }

    /// Returns a number by which values are sorted from the lowest to the best; lowest without a value.
    pub fn rank(&self, value: Option<f64>) -> f64 {
        value.map_or(f64::NEG_INFINITY, |value| self.advantage(value))
    }

    /// Converts between a difference `a - b` and the advantage of `a`, which is positive if `a` is better.
    pub fn advantage(&self, difference: f64) -> f64 {
        // Adding 0 makes -0 positive.
        if self.is_higher_better() { difference } else { -difference + 0.0 }
    }

    /// Converts the interval of an advantage to that of the difference `a - b`, or the reverse.
    pub fn advantage_interval(&self, ConfidenceInterval { low, high }: ConfidenceInterval) -> ConfidenceInterval {
        match self.is_higher_better() {
            true => ConfidenceInterval { low, high },
            false => ConfidenceInterval { low: self.advantage(high), high: self.advantage(low) },
        }
    }

    /// Returns the column of a label's score in `cases.csv`.
    pub fn column(&self, label: &str) -> String {
        format!("{}_{label}", self.name)
    }

    /// Returns the header of a label in a table, such as `HD95 liver (mm)`.
    pub fn header(&self, label: &str) -> String {
        with_unit(&format!("{} {label}", self.title), self.unit)
    }

    /// Returns the name of an axis, such as `HD95 (mm)`.
    pub fn axis_name(&self) -> String {
        with_unit(&self.title, self.unit)
    }

    /// Returns the name of the axis of means, such as `mean HD95 (mm)`.
    pub fn mean_axis_name(&self) -> String {
        format!("mean {}", self.axis_name())
    }

    /// Formats a value without its unit.
    pub fn number(&self, value: f64) -> String {
        crate::format::decimals(value, self.unit.decimals())
    }

    /// Formats a value with its unit.
    pub fn quantity(&self, value: f64) -> String {
        match self.unit.symbol() {
            "" => self.number(value),
            symbol => format!("{} {symbol}", self.number(value)),
        }
    }
}

impl Run {
    /// Returns the names of the metrics that the run declares or has scores of.
    pub fn metric_names(&self) -> Vec<String> {
        let declared = self.declared.iter().map(Metric::name);
        let columns = self.cases.columns.iter().chain(&self.metrics.names);
        let scored = columns.filter_map(|column| Some(ScoreColumn::of(column, &self.declared)?.metric));
        let mut names: Vec<String> = Vec::new();
        for name in declared.chain(scored) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// Returns the metric by which the run is compared: the requested one, or else Dice if the run has it, or else that of
    /// its monitor, or else its first.
    pub fn compared_metric(&self, requested: Option<&str>) -> ComparedMetric {
        let names = self.metric_names();
        let has = |name: &str| names.iter().any(|own| own == name);
        let monitored = || ScoreColumn::of(self.monitor(), &self.declared).map(|column| column.metric);
        let name = match requested {
            Some(name) => name,
            None if has(DEFAULT) => DEFAULT,
            None => monitored().filter(|name| has(name)).or(names.first().map(String::as_str)).unwrap_or(DEFAULT),
        };
        let labels = self.labels(name);
        ComparedMetric::new(name, labels.first().map_or("mean", String::as_str), &self.declared)
    }

    /// Returns the labels whose scores are in the mean of a metric; regions are not.
    pub fn labels(&self, metric: &str) -> Vec<String> {
        let mut labels: Vec<String> = Vec::new();
        for name in self.cases.columns.iter().chain(&self.metrics.names) {
            let Some(column) = ScoreColumn::of(name, &self.declared) else { continue };
            let is_known = labels.iter().any(|known| known == column.score);
            if column.metric == metric && column.is_ranked && !is_known {
                labels.push(column.score.to_owned());
            }
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, declared: &str) -> ComparedMetric {
        ComparedMetric::new(name, "liver", &[serde_yaml::from_str(declared).unwrap()])
    }

    #[test]
    fn texts_have_the_unit_of_the_metric() {
        let hd95 = metric("hd95", "!hd95 {}");
        assert_eq!((hd95.header("liver").as_str(), hd95.quantity(3.456)), ("HD95 liver (mm)", "3.46 mm".to_owned()));
        let dice = metric("dice", "!dice {}");
        assert_eq!((dice.header("mean").as_str(), dice.quantity(0.84211)), ("Dice mean", "0.842".to_owned()));
    }

    #[test]
    fn a_lower_distance_is_an_advantage_and_differences_are_compared_by_size() {
        let hd95 = metric("hd95", "!hd95 {}");
        assert!(hd95.rank(Some(1.0)) > hd95.rank(Some(2.0)) && hd95.rank(Some(9.0)) > hd95.rank(None));
        let interval = hd95.advantage_interval(ConfidenceInterval { low: -1.0, high: 3.0 });
        assert_eq!(interval, ConfidenceInterval { low: -3.0, high: 1.0 });
        let volume = metric("volume_difference", "!volume_difference {unit: ml}");
        assert_eq!(
            (volume.compared(-3.0), volume.header("liver").as_str()),
            (3.0, "absolute volume difference liver (ml)")
        );
    }
}
