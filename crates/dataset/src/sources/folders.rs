//! Image and label files that match glob patterns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataSource, DatasetError, Listing, without_channel};
use crate::subject::Subject;
use volume::io::case_name;

/// Image and label files that match glob patterns; image and label of a subject have the same file name without ending.
///
/// ```yaml
/// folders: { images: "data/images/*.nii.gz", labels: "data/labels/*.nii.gz" }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldersSource {
    /// Glob pattern of the image files, or a list of patterns, one per channel, such as
    /// `["data/*_t1.nii.gz", "data/*_t2.nii.gz"]`.
    pub images: Patterns,
    /// Glob pattern of the label files.
    pub labels: String,
}

/// One glob pattern, or several.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Patterns(pub Vec<String>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PatternsVisitor;
        impl<'de> serde::de::Visitor<'de> for PatternsVisitor {
            type Value = Patterns;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a glob pattern or a list of them, one per channel")
            }
            fn visit_str<E: serde::de::Error>(self, pattern: &str) -> Result<Patterns, E> {
                Ok(Patterns(vec![pattern.to_owned()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Patterns, A::Error> {
                Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(seq)).map(Patterns)
            }
        }
        deserializer.deserialize_any(PatternsVisitor)
    }
}

impl JsonSchema for Patterns {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Patterns".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A glob pattern, or a list of them, one per channel.",
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 }
            ]
        })
    }
}

impl DataSource for FoldersSource {
    fn list(&self, _cache_dir: &Path) -> Result<Listing, DatasetError> {
        let several = self.images.0.len() > 1;
        let mut channels = Vec::new();
        for pattern in &self.images.0 {
            channels.push(find(pattern, several)?);
        }
        let labels = find(&self.labels, false)?;
        let Some(first) = channels.first() else {
            let reason = "expected at least one pattern of image files, got none".to_owned();
            return Err(DatasetError::Pattern { pattern: "[]".to_owned(), reason });
        };
        let names: BTreeMap<&String, &PathBuf> = channels.iter().rev().flatten().collect();
        let mut subjects = Vec::with_capacity(first.len());
        for (name, file) in names {
            let missing = |kind: &str, pattern: &str| DatasetError::Incomplete {
                subject: name.clone(),
                file: file.clone(),
                reason: format!("no {kind} of this name matches {pattern}"),
            };
            let mut images = Vec::new();
            for (channel, pattern) in channels.iter().zip(&self.images.0) {
                images.push(channel.get(name).ok_or_else(|| missing("image", pattern))?.clone());
            }
            let label = labels.get(name).ok_or_else(|| missing("label", &self.labels))?.clone();
            subjects.push(Subject { name: name.clone(), images, label: Some(label) });
        }
        Ok(Listing { subjects, label_names: None, generated_in: None })
    }
}

/// Returns the files that match a pattern, by name; hidden files are ignored.
fn find(pattern: &str, channel_suffix: bool) -> Result<BTreeMap<String, PathBuf>, DatasetError> {
    let wrong = |reason: String| DatasetError::Pattern { pattern: pattern.to_owned(), reason };
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in glob::glob(pattern).map_err(|error| wrong(error.to_string()))? {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        if hidden(&path) || path.is_dir() {
            continue;
        }
        let name = case_name(&path);
        let name = if channel_suffix { without_channel(&name).to_owned() } else { name };
        if let Some(first) = files.insert(name.clone(), path.clone()) {
            return Err(DatasetError::Repeated { name, first, second: path });
        }
    }
    if files.is_empty() { Err(wrong("no file matches".to_owned())) } else { Ok(files) }
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
