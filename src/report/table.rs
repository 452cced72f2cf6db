//! A run's CSV files as columns.

use std::path::Path;

/// A table of numbers with named columns; empty and unreadable cells are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The names of the columns.
    pub names: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Option<f64>>>,
}

impl Table {
    /// Reads a CSV file with a header.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Self, csv::Error> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path)?;
        let names = reader.headers()?.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for row in reader.records() {
            rows.push(row?.iter().map(|cell| cell.parse().ok()).collect());
        }
        Ok(Self { names, rows })
    }

    /// The points of a column against another, without missing and infinite values.
    pub fn points(&self, x: &str, y: &str) -> Vec<(f64, f64)> {
        let place = |name: &str| self.names.iter().position(|other| other == name);
        let (Some(x), Some(y)) = (place(x), place(y)) else { return Vec::new() };
        let cell = |row: &[Option<f64>], column: usize| row.get(column).copied().flatten().filter(|v| v.is_finite());
        self.rows.iter().filter_map(|row| Some((cell(row, x)?, cell(row, y)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_infinite_values_are_no_points() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        std::fs::write(&path, "epoch,val_loss\n1,0.5\n2,\n3,NaN\n4,0.25\n").unwrap();
        let table = Table::read(&path).unwrap();
        assert_eq!(table.points("epoch", "val_loss"), [(1.0, 0.5), (4.0, 0.25)]);
        assert_eq!(table.points("epoch", "absent"), []);
    }
}
