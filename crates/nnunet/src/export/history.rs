//! The history of a training as nnU-Net's logger keeps it: a value for each epoch.

use engine::prediction::Predictor;
use nn::weights::pytorch_file::Saved;
use run_folder::table::Table;

/// The history of a run up to the epoch of its weights.
pub(super) struct History {
    /// The lists of nnU-Net's LocalLogger; not a number where the run has no such value.
    pub logging: Saved,
    /// The largest moving average of the pseudo-Dice.
    pub best_ema: Option<f64>,
}

/// nnU-Net's lists, and the columns of metrics.csv with the same values.
const COLUMNS: [(&str, &str); 5] = [
    ("mean_fg_dice", "pseudo_dice_mean"),
    ("ema_fg_dice", EMA),
    ("train_losses", "train_loss"),
    ("val_losses", "val_loss"),
    ("lrs", "learning_rate"),
];
const EMA: &str = "pseudo_dice_ema";

impl History {
    /// Reads metrics.csv and timing.csv of a run, which an imported run lacks.
    pub fn read(predictor: &Predictor, classes: &[String], epochs: Option<usize>) -> Self {
        let read = |name: &str| Table::read(&predictor.root.join(name)).unwrap_or_default();
        Self::of_tables(&read("metrics.csv"), &read("timing.csv"), classes, epochs.unwrap_or(0))
    }

    fn of_tables(metrics: &Table, timing: &Table, classes: &[String], epochs: usize) -> Self {
        let column = |table: &Table, name: &str| -> Vec<f64> {
            (0..epochs).map(|row| table.value(row, name).unwrap_or(f64::NAN)).collect()
        };
        let list = |values: Vec<f64>| Saved::List(values.into_iter().map(Saved::Float).collect());
        let mut lists: Vec<(&str, Saved)> =
            COLUMNS.iter().map(|(theirs, ours)| (*theirs, list(column(metrics, ours)))).collect();
        let dice: Vec<Vec<f64>> = classes.iter().map(|name| column(metrics, &format!("pseudo_dice_{name}"))).collect();
        let of_epoch = |epoch: usize| list(dice.iter().map(|values| values[epoch]).collect());
        lists.push(("dice_per_class_or_region", Saved::List((0..epochs).map(of_epoch).collect())));
        // Only differences of timestamps are used: seconds since the start of the training.
        let ends: Vec<f64> = column(timing, "seconds")
            .into_iter()
            .scan(0.0, |clock, seconds| {
                *clock += seconds;
                Some(*clock)
            })
            .collect();
        let starts = std::iter::once(0.0).chain(ends.iter().copied()).take(epochs).collect();
        lists.push(("epoch_start_timestamps", list(starts)));
        lists.push(("epoch_end_timestamps", list(ends)));
        let best_ema = column(metrics, EMA).into_iter().filter(|ema| ema.is_finite()).reduce(f64::max);
        let logging = Saved::Map(lists.into_iter().map(|(name, values)| (name.to_owned(), values)).collect());
        Self { logging, best_ema }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str], rows: &[&[f64]]) -> Table {
        Table {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            rows: rows.iter().map(|row| row.iter().map(|value| Some(*value)).collect()).collect(),
        }
    }

    fn values(history: &History, name: &str) -> Vec<f64> {
        let Saved::Map(lists) = &history.logging else { panic!("a map") };
        let Saved::List(values) = &lists.iter().find(|(list, _)| list == name).unwrap().1 else { panic!("a list") };
        let number = |value: &Saved| if let Saved::Float(value) = value { *value } else { f64::NAN };
        values.iter().map(number).collect()
    }

    #[test]
    fn every_list_has_a_value_for_each_epoch_of_the_weights() {
        let metrics = table(
            &["epoch", "train_loss", "pseudo_dice_liver", "pseudo_dice_ema"],
            &[&[1.0, 0.5, 0.1, 0.1], &[2.0, 0.4, 0.2, 0.3], &[3.0, 0.3, 0.3, 0.4]],
        );
        let timing = table(&["epoch", "seconds"], &[&[1.0, 2.0], &[2.0, 3.0], &[3.0, 4.0]]);
        let history = History::of_tables(&metrics, &timing, &["liver".to_owned()], 2);
        assert_eq!((values(&history, "train_losses"), history.best_ema), (vec![0.5, 0.4], Some(0.3)));
        assert_eq!(values(&history, "epoch_start_timestamps"), [0.0, 2.0]);
        assert_eq!(values(&history, "epoch_end_timestamps"), [2.0, 5.0]);
        assert!(values(&history, "val_losses").iter().all(|value| value.is_nan()));
        assert_eq!(values(&history, "dice_per_class_or_region").len(), 2);
    }

    #[test]
    fn an_imported_run_has_no_history() {
        let history = History::of_tables(&Table::default(), &Table::default(), &[], 3);
        assert!(values(&history, "ema_fg_dice").iter().all(|value| value.is_nan()) && history.best_ema.is_none());
        assert_eq!(values(&history, "lrs").len(), 3);
    }
}
