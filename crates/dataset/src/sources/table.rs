//! A CSV table that lists the files of each subject.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataSource, DatasetError, Listing, require_files};
use crate::subject::Subject;
use volume::io::case_name;

/// A CSV table with a row per subject and the columns `subject`, `image` (further channels `image_2`, `image_3`, …) and
/// `label`; paths are relative to the table.
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
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Subject,
    /// Counted from 1.
    Image(usize),
    Label,
}

impl DataSource for TableSource {
    fn list(&self, _cache_dir: &Path) -> Result<Listing, DatasetError> {
        let path = self.file.as_path();
        let wrong = |line: u64, reason: String| DatasetError::Table { path: path.to_owned(), line, reason };
        let file = std::fs::File::open(path).map_err(|source| DatasetError::Io { path: path.to_owned(), source })?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let header = reader.headers().map_err(|error| wrong(1, error.to_string()))?;
        let columns = columns(header).map_err(|reason| wrong(1, reason))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut subjects = Vec::new();
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
            subjects.push(Subject { name, images, label: cell(Column::Label).map(|file| folder.join(file)) });
        }
        if subjects.is_empty() {
            return Err(DatasetError::Empty { source_name: path.to_owned() });
        }
        require_files(path, &subjects)?;
        Ok(Listing { subjects, label_names: None, generated_in: None })
    }
}

fn columns(header: &csv::StringRecord) -> Result<Vec<Column>, String> {
    let columns: Vec<Column> = header
        .iter()
        .map(|name| match name.trim_start_matches('\u{feff}') {
            "subject" => Ok(Column::Subject),
            "image" => Ok(Column::Image(1)),
            "label" => Ok(Column::Label),
            other => match other.strip_prefix("image_").and_then(|number| number.parse().ok()) {
                Some(channel) if channel >= 2 => Ok(Column::Image(channel)),
                _ => Err(format!("expected the columns subject, image, image_2, … and label, got {other:?}")),
            },
        })
        .collect::<Result<_, _>>()?;
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].contains(column) {
            return Err(format!("the column {:?} is repeated", &header[index]));
        }
    }
    let channels = columns.iter().filter(|column| matches!(column, Column::Image(_))).count();
    match (1..=channels.max(1)).find(|&channel| !columns.contains(&Column::Image(channel))) {
        None => Ok(columns),
        Some(1) => Err("expected a column image, got none".to_owned()),
        Some(channel) => Err(format!("expected a column image_{channel}, got none")),
    }
}
