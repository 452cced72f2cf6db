//! What a network is trained to predict: labels, or regions, and which voxels are ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::check::column_name;
use super::plan::ClassLabel;
use super::spec::Data;
use dataset::samplers::Foreground;
use metrics::{CaseScores, Class, Metric, Pair, score_all, without_ignored};
use values::OrderedMap;
use volume::Label;

/// A region as an experiment writes it: a list of labels, or a map with `labels` and `write`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionSpec {
    /// The labels whose union it is.
    pub labels: Vec<Label>,
    /// The label as which it is written into label maps; `None` for the default.
    pub write: Option<Label>,
}

/// A union of labels that a network predicts with a sigmoid of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name in lower case, with `_` instead of spaces.
    pub name: String,
    /// Its labels.
    pub labels: Vec<Label>,
    /// The label as which it is written into label maps.
    pub write: Label,
}

/// What a network is trained to predict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// The labels above background in ascending order; without regions, class `k + 1` of the network is `labels[k]`.
    pub labels: Vec<ClassLabel>,
    /// The regions in the order in which they are written into label maps: class `k` of the network is `regions[k]`. Empty if
    /// the network predicts labels.
    pub regions: Vec<Region>,
    /// The label of voxels that are ignored, since nobody annotated them.
    pub ignore: Option<Label>,
}

impl Targets {
    /// Creates the targets of labels and regions; a region without a label to be written as gets the default.
    ///
    /// # Errors
    /// The indices of the regions without such a default.
    pub fn new(
        labels: &BTreeMap<Label, String>,
        regions: &[(String, RegionSpec)],
        ignore: Option<Label>,
    ) -> Result<Self, Vec<usize>> {
        let write = |index: usize| regions[index].1.write.or_else(|| default_write(regions, index));
        let missing: Vec<usize> = (0..regions.len()).filter(|index| write(*index).is_none()).collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let region = |index: usize| {
            let (name, RegionSpec { labels, .. }) = &regions[index];
            Some(Region { name: column_name(name), labels: labels.clone(), write: write(index)? })
        };
        let label = |(value, name): (&Label, &String)| ClassLabel { value: *value, name: column_name(name) };
        Ok(Self {
            labels: labels.iter().map(label).collect(),
            regions: (0..regions.len()).filter_map(region).collect(),
            ignore,
        })
    }

    /// Returns the targets of the `data` section of a plan, which states all of them; `None` if a region does not.
    pub fn of_plan(data: &Data) -> Option<Self> {
        let labels = data.labels.clone().unwrap_or_default();
        let regions = data.regions.as_ref().map_or(&[][..], |regions| &regions.0);
        Self::new(&labels, regions, data.ignore_label).ok()
    }

    /// Returns the keys of the `data` section that state the targets.
    pub(super) fn into_data(self, data: Data) -> Data {
        let labels = ClassLabel::pairs(&self.labels).into_iter().collect();
        let spec = |region: Region| (region.name, RegionSpec { labels: region.labels, write: Some(region.write) });
        let regions: Vec<_> = self.regions.into_iter().map(spec).collect();
        Data {
            labels: Some(labels),
            regions: (!regions.is_empty()).then_some(OrderedMap(regions)),
            ignore_label: self.ignore,
            ..data
        }
    }

    /// Returns whether the first class of the network is the background.
    pub fn has_background(&self) -> bool {
        self.regions.is_empty()
    }

    /// Returns the number of classes of the network: the background and the labels, or the regions.
    pub fn num_classes(&self) -> usize {
        if self.has_background() { self.labels.len() + 1 } else { self.regions.len() }
    }

    /// Returns the classes that are scored: the labels, or the regions.
    pub fn classes(&self) -> Vec<Class> {
        if self.has_background() {
            return self.labels.iter().map(|label| Class::of_label(label.value, &label.name)).collect();
        }
        let class = |region: &Region| Class { name: region.name.clone(), labels: region.labels.clone() };
        self.regions.iter().map(class).collect()
    }

    /// Scores a predicted label map by each metric, without ignored voxels.
    pub fn score(&self, metrics: &[Metric], pair: &Pair) -> Vec<CaseScores> {
        score_without_ignored(metrics, pair, &self.classes(), self.ignore)
    }

    /// Returns what samplers choose patches by.
    pub fn foreground(&self) -> Foreground {
        let regions = self.regions.iter().map(|region| region.labels.clone()).collect();
        Foreground { regions, ignore: self.ignore }
    }

    /// Returns the regions in words, as in `whole_tumour 1+2+3 written as 1`.
    pub fn regions_text(&self) -> String {
        let region = |Region { name, labels, write }: &Region| {
            let labels = labels.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
            format!("{name} {labels} written as {write}")
        };
        self.regions.iter().map(region).collect::<Vec<_>>().join(", ")
    }
}

/// Scores a pair of label maps by each metric, without the voxels where the truth is `ignore`.
pub fn score_without_ignored(
    metrics: &[Metric],
    pair: &Pair,
    classes: &[Class],
    ignore: Option<Label>,
) -> Vec<CaseScores> {
    let Some(ignore) = ignore else { return score_all(metrics, pair, classes) };
    let [prediction, truth] = without_ignored(ignore, pair.prediction, pair.truth);
    score_all(metrics, &Pair { prediction: &prediction, truth: &truth, ..*pair }, classes)
}

/// Returns the label as which a region is written by default: its one label that is in no later region.
fn default_write(regions: &[(String, RegionSpec)], index: usize) -> Option<Label> {
    let is_later = |label: &&Label| regions[index + 1..].iter().any(|(_, later)| later.labels.contains(label));
    let mut own = regions[index].1.labels.iter().filter(|label| !is_later(label));
    match (own.next(), own.next()) {
        (Some(label), None) => Some(*label),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for RegionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = RegionSpec;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of labels, or { labels: [1, 2], write: 1 }")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RegionSpec, A::Error> {
                let mut labels = Vec::new();
                while let Some(label) = items.next_element()? {
                    labels.push(label);
                }
                Ok(RegionSpec { labels, write: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RegionSpec, A::Error> {
                const KEYS: &[&str] = &["labels", "write"];
                let (mut labels, mut write) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "labels" => labels = Some(map.next_value()?),
                        "write" => write = map.next_value()?,
                        _ => return Err(de::Error::unknown_field(&key, KEYS)),
                    }
                }
                Ok(RegionSpec { labels: labels.ok_or_else(|| de::Error::missing_field("labels"))?, write })
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl Serialize for RegionSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(write) = self.write else { return self.labels.serialize(serializer) };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("labels", &self.labels)?;
        map.serialize_entry("write", &write)?;
        map.end()
    }
}

impl JsonSchema for RegionSpec {
    fn schema_name() -> Cow<'static, str> {
        "RegionSpec".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (labels, label) = (generator.subschema_for::<Vec<Label>>(), generator.subschema_for::<Option<Label>>());
        json_schema!({
            "description": "The labels of a region, such as `[1, 2]`; or `{ labels: [1, 2], write: 2 }`, where `write` is the label as which the region is written into label maps.",
            "oneOf": [
                labels.clone(),
                { "type": "object", "properties": { "labels": labels, "write": label }, "required": ["labels"], "additionalProperties": false }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(regions: &str) -> Result<Targets, Vec<usize>> {
        let labels = BTreeMap::from([(1, "Edema".to_owned()), (2, "necrosis".to_owned()), (3, "enhancing".to_owned())]);
        let regions: OrderedMap<RegionSpec> = serde_yaml::from_str(regions).unwrap();
        Targets::new(&labels, &regions.0, Some(4))
    }

    #[test]
    fn a_region_is_written_as_its_label_that_is_in_no_later_region() {
        let targets = targets("{ Whole Tumour: [1, 2, 3], core: [2, 3], enhancing: [3] }").unwrap();
        let written: Vec<_> = targets.regions.iter().map(|region| (region.name.as_str(), region.write)).collect();
        assert_eq!(written, [("whole_tumour", 1), ("core", 2), ("enhancing", 3)]);
        assert_eq!((targets.num_classes(), targets.has_background()), (3, false));
        assert_eq!(targets.classes()[0], Class { name: "whole_tumour".to_owned(), labels: vec![1, 2, 3] });
    }

    #[test]
    fn a_region_without_exactly_one_such_label_must_say_how_it_is_written() {
        assert_eq!(targets("{ whole: [1, 2, 3], enhancing: [3] }"), Err(vec![0]));
        assert_eq!(targets("{ enhancing: [3], whole: [1, 2, 3] }"), Err(vec![0, 1]));
        let written = targets("{ whole: { labels: [1, 2, 3], write: 2 }, enhancing: [3] }").unwrap();
        assert_eq!(written.regions[0].write, 2);
    }

    #[test]
    fn regions_are_written_as_they_are_read() {
        let text = "whole:\n  labels:\n  - 1\n  - 2\n  write: 2\ncore:\n- 2\n";
        let regions: OrderedMap<RegionSpec> = serde_yaml::from_str(text).unwrap();
        assert_eq!(serde_yaml::to_string(&regions).unwrap(), text);
    }

    #[test]
    fn without_regions_the_background_is_a_class() {
        let targets = targets("{}").unwrap();
        assert_eq!((targets.num_classes(), targets.classes()[0].clone()), (4, Class::of_label(1, "edema")));
    }
}
