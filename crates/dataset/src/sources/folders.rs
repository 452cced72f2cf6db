//! Image and label files that match glob patterns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::glob_pattern::find;
use super::pairing::{Matches, Pairing, pair};
use super::{DataSource, DatasetError, Incomplete, Listing};
use crate::alignment::Role;
use crate::subject::Subject;

/// Image and label files that match glob patterns.
///
/// Image and label of a subject have the same file name without ending, also without nnU-Net's channel numbers
/// (`case_0000.nii.gz` and `case.nii.gz`), or the same text in place of the patterns' `*`, as in
/// `lits/volume-*.nii` and `lits/segmentation-*.nii` or in `kits/*/imaging.nii.gz` and `kits/*/segmentation.nii.gz`.
/// For files of other names, use `table`. Write `[[]` for a bracket in a path.
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
        if self.images.0.is_empty() {
            let reason = "expected at least one pattern of image files, got none".to_owned();
            let help = "add a pattern, such as `images: data/images/*.nii.gz`".to_owned();
            return Err(DatasetError::Pattern { pattern: "[]".to_owned(), reason, help });
        }
        let matches = |pattern| Ok(Matches { pattern, files: find(pattern)? });
        let images = self.images.0.iter().map(|pattern| matches(pattern)).collect::<Result<Vec<_>, _>>()?;
        let Pairing { images, mut labels } = pair(&images, &matches(&self.labels)?)?;
        let names: BTreeSet<&String> = images.iter().flat_map(BTreeMap::keys).collect();
        let mut listing = Listing::default();
        for name in names {
            let missing = |role: Role, pattern: &str| {
                let reason = format!("no {role} of this name matches {pattern}");
                Incomplete { subject: name.clone(), role, reason }
            };
            let mut files = Vec::new();
            for (channel, pattern) in images.iter().zip(&self.images.0) {
                match channel.get(name) {
                    Some(own) => files.extend_from_slice(own),
                    None => listing.incomplete.push(missing(Role::Image, pattern)),
                }
            }
            let label = labels.remove(name);
            if label.is_none() {
                listing.incomplete.push(missing(Role::LabelMap, &self.labels));
            }
            listing.subjects.push(Subject { name: name.clone(), images: files, label });
        }
        listing.unused_labels = labels.into_values().collect();
        Ok(listing)
    }
}
