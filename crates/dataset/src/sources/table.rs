//! A CSV table that lists the files of each subject.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataSource, DatasetError, Incomplete, Listing, TableColumn};
use crate::alignment::Role;
use crate::subject::Subject;
use volume::io::case_name;

/// A CSV table with a row per subject and the columns `subject`, `image` (further channels `image_2`, `image_3`, …) and
/// `label`. A split can use other columns for `groups` and `stratify`. Paths are relative to the table. Semicolons or
/// tabs may separate the columns.
///
/// ```yaml
/// table: { file: data/cases.csv }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSource {
    /// CSV file, such as `data/cases.csv`.
    pub file: PathBuf,
}

/// The meaning of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Subject,
    /// Counted from 1.
    Image(usize),
    Label,
    Other,
}

/// The minimum similarity of a misspelt column name, by Jaro and Winkler.
const MIN_SIMILARITY: f64 = 0.75;

impl DataSource for TableSource {
    fn list(&self, _cache_dir: &Path) -> Result<Listing, DatasetError> {
        let path = self.file.as_path();
        let wrong = |line: u64, reason: String| DatasetError::Table { path: path.to_owned(), line, reason };
        let text = std::fs::read(path).map_err(|source| DatasetError::Io { path: path.to_owned(), source })?;
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).delimiter(delimiter(&text)).from_reader(&text[..]);
        let header = reader.headers().map_err(|error| wrong(1, error.to_string()))?.clone();
        let columns = columns(&header).map_err(|reason| wrong(1, reason))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let others: Vec<usize> = (0..columns.len()).filter(|index| columns[*index] == Column::Other).collect();
        let other =
            |index: &usize| TableColumn { name: column_name(&header[*index]).to_owned(), ..TableColumn::default() };
        let mut listing = Listing { columns: others.iter().map(other).collect(), ..Listing::default() };
        for row in reader.records() {
            let row = row.map_err(|error| wrong(error.position().map_or(0, csv::Position::line), error.to_string()))?;
            let line = row.position().map_or(0, csv::Position::line);
            let cell = |kind: Column| {
                let index = columns.iter().position(|&column| column == kind)?;
                row.get(index).filter(|text| !text.is_empty())
            };
            let mut images = Vec::new();
            for channel in 1..=columns.iter().filter(|column| matches!(column, Column::Image(_))).count() {
                let file =
                    cell(Column::Image(channel)).ok_or_else(|| wrong(line, format!("image {channel} is empty")))?;
                images.push(folder.join(file));
            }
            let name = cell(Column::Subject).map_or_else(|| case_name(&images[0]), str::to_owned);
            let label = cell(Column::Label).map(|file| folder.join(file));
            if label.is_none() {
                let has_column = columns.contains(&Column::Label);
                let what = if has_column {
                    format!("line {line}: the label is empty")
                } else {
                    "it has no column label".to_owned()
                };
                let reason = format!("{}: {what}", path.display());
                listing.incomplete.push(Incomplete { subject: name.clone(), role: Role::LabelMap, reason });
            }
            for (index, column) in others.iter().zip(&mut listing.columns) {
                if let Some(value) = row.get(*index).filter(|value| !value.is_empty()) {
                    column.values.insert(name.clone(), value.to_owned());
                }
            }
            listing.subjects.push(Subject { name, images, label });
        }
        if listing.subjects.is_empty() {
            return Err(DatasetError::Empty { source_name: path.to_owned(), reason: "it has no rows".to_owned() });
        }
        Ok(listing)
    }
}

/// Returns the character that separates the columns of the first line: a comma, or else a semicolon or a tab.
fn delimiter(text: &[u8]) -> u8 {
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    [b',', b';', b'\t'].into_iter().find(|delimiter| first_line.contains(delimiter)).unwrap_or(b',')
}

fn columns(header: &csv::StringRecord) -> Result<Vec<Column>, String> {
    let names: Vec<String> = header.iter().map(|name| column_name(name).to_lowercase()).collect();
    let columns: Vec<Column> = names.iter().map(|name| column(name)).collect();
    for (index, column) in columns.iter().enumerate() {
        if *column != Column::Other && columns[..index].contains(column) {
            return Err(format!("the column {:?} is repeated", &header[index]));
        }
    }
    // A column that is called almost like a missing one is misspelt.
    for (known, column) in [("subject", Column::Subject), ("image", Column::Image(1)), ("label", Column::Label)] {
        let is_similar = |name: &&String| strsim::jaro_winkler(name, known) > MIN_SIMILARITY;
        let others = names.iter().zip(&columns).filter(|(_, column)| **column == Column::Other);
        if let Some(similar) = others.map(|(name, _)| name).find(is_similar).filter(|_| !columns.contains(&column)) {
            return Err(format!("unknown column {similar:?}; did you mean `{known}`?"));
        }
    }
    let channels = columns.iter().filter(|column| matches!(column, Column::Image(_))).count();
    match (1..=channels.max(1)).find(|&channel| !columns.contains(&Column::Image(channel))) {
        None => Ok(columns),
        Some(1) => Err(format!("expected a column image, got {}", names.join(", "))),
        Some(channel) => Err(format!("expected a column image_{channel}, got {}", names.join(", "))),
    }
}

/// Returns the name of a column without a byte-order mark.
fn column_name(name: &str) -> &str {
    name.trim_start_matches('\u{feff}')
}

fn column(name: &str) -> Column {
    match name {
        "subject" => Column::Subject,
        "image" => Column::Image(1),
        "label" => Column::Label,
        other => match other.strip_prefix("image_").and_then(|number| number.parse().ok()) {
            Some(channel) if channel >= 2 => Column::Image(channel),
            _ => Column::Other,
        },
    }
}
