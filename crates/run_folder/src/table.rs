//! A run's CSV files as columns.

use std::fs;
use std::path::Path;

use metrics::{Better, ScoreColumn};

/// A table of numbers with named columns; empty and unreadable cells are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The names of the columns.
    pub names: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Option<f64>>>,
}

impl Table {
    /// Reads a CSV file with a header; an incomplete last line, which may still be being written, is ignored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self, csv::Error> {
        let bytes = complete_lines(path)?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
        let names = reader.headers()?.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for row in reader.records() {
            rows.push(row?.iter().map(|cell| cell.parse().ok()).collect());
        }
        Ok(Self { names, rows })
    }

    /// Returns the index of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    /// Returns the value of a cell if it is a finite number.
    pub fn value(&self, row: usize, name: &str) -> Option<f64> {
        let column = self.column(name)?;
        self.rows.get(row)?.get(column).copied().flatten().filter(|value| value.is_finite())
    }

    /// Returns the points of one column against another, without missing and infinite values.
    pub fn points(&self, x: &str, y: &str) -> Vec<(f64, f64)> {
        let (Some(x), Some(y)) = (self.column(x), self.column(y)) else { return Vec::new() };
        let cell = |row: &[Option<f64>], column: usize| row.get(column).copied().flatten().filter(|v| v.is_finite());
        self.rows.iter().filter_map(|row| Some((cell(row, x)?, cell(row, y)?))).collect()
    }
}

/// Reads a file up to its last line break.
///
/// # Errors
/// When it cannot be read.
pub fn complete_lines(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = fs::read(path)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes.truncate(whole);
    Ok(bytes)
}

/// Returns which values of a column of `metrics.csv` are better: as its metric says, higher ones of the pseudo-Dice,
/// and lower ones of losses.
pub fn better(column: &str) -> Better {
    if column.starts_with("pseudo_dice_") {
        return Better::Higher;
    }
    match column.strip_prefix("val_") {
        None | Some("loss") => Better::Lower,
        Some(score) => ScoreColumn::of(score, &[]).map_or(Better::Higher, |score| score.better),
    }
}

/// Returns whether a value of a column of `metrics.csv` is better than another: lower for losses, distances and errors,
/// nearer to 0 for differences (which may be negative), higher for all other scores.
pub fn is_better(column: &str, new: f64, old: f64) -> bool {
    better(column).is_better(new, old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_losses_and_distances_are_better() {
        assert!(is_better("train_loss", 0.1, 0.2) && is_better("val_loss", 0.1, 0.2));
        assert!(is_better("val_hd95_liver", 3.0, 4.0) && is_better("val_hd_mean", 3.0, f64::INFINITY));
        assert!(is_better("val_dice_mean", 0.2, 0.1) && is_better("val_dice_loss", 0.2, 0.1));
    }

    #[test]
    fn a_larger_pseudo_dice_is_better() {
        assert!(is_better("pseudo_dice_ema", 0.2, 0.1) && !is_better("pseudo_dice_mean", 0.1, 0.2));
    }

    #[test]
    fn differences_nearer_to_zero_are_better() {
        assert!(is_better("val_volume_difference_liver", 0.1, -0.2));
        assert!(!is_better("val_volume_difference_liver", -0.2, 0.1));
    }

    #[test]
    fn missing_and_infinite_values_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        std::fs::write(&path, "epoch,val_loss\n1,0.5\n2,\n3,NaN\n4,0.25\n").unwrap();
        let table = Table::read(&path).unwrap();
        assert_eq!(table.points("epoch", "val_loss"), [(1.0, 0.5), (4.0, 0.25)]);
        assert_eq!(table.points("epoch", "absent"), []);
        assert_eq!((table.value(3, "val_loss"), table.value(2, "val_loss")), (Some(0.25), None));
    }

    #[test]
    fn an_incomplete_last_line_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        std::fs::write(&path, "epoch,val_loss\n1,0.5\n2,0.2").unwrap();
        assert_eq!(Table::read(&path).unwrap().points("epoch", "val_loss"), [(1.0, 0.5)]);
    }

    #[test]
    fn equal_values_are_not_better() {
        assert!(is_better("val_loss", 0.1, 0.2));
        assert!(is_better("val_dice_mean", 0.2, 0.1));
        assert!(!is_better("val_dice_mean", 0.2, 0.2));
    }
}
