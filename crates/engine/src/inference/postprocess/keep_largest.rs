//! Keeps the largest connected component of labels.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::{PostprocessStep, selected_labels};
use volume::connected_components::{Connectivity, connected_components_by};
use volume::{Grid, Label};

/// Keeps the largest connected component of each label, by number of voxels, and sets the others to background.
///
/// ```yaml
/// - keep_largest: { labels: [1] }
/// - keep_largest: { labels: [1, 2], together: true, connectivity: 26, ties: all }   # as nnU-Net does
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepLargestComponent {
    /// Labels to process, each by itself, such as `[1]`. By default (`null`) every label.
    #[serde(default)]
    pub labels: Option<Vec<Label>>,
    /// If true, the labels are one mask, of which the largest component is kept: parts of one label that touch the others stay. Default: false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub together: bool,
    /// Number of voxels around each that it is connected to: 6 (those that share a face), 18 (also an edge) or 26 (also a corner). Default: 6; nnU-Net uses 26.
    #[serde(default, skip_serializing_if = "is_default")]
    pub connectivity: NumNeighbours,
    /// Which of equally large components are kept: `first` (in array order) or `all`. Default: `first`; nnU-Net keeps all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ties: Ties,
}

/// Which of equally large components are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// The first in array order.
    #[default]
    First,
    /// All of them.
    All,
}

/// The number of voxels around each that it is connected to: 6, 18 or 26.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumNeighbours(pub Connectivity);

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl KeepLargestComponent {
    /// Returns the step of nnU-Net that keeps the largest component of a mask: that of all labels together.
    pub fn of_mask(labels: Vec<Label>) -> Self {
        let connectivity = NumNeighbours(Connectivity::Corners);
        Self { labels: Some(labels), together: true, connectivity, ties: Ties::All }
    }

    /// Keeps the largest component of the voxels with some labels.
    fn keep(&self, map: &mut [Label], grid: &Grid, labels: &[Label]) {
        let parts = connected_components_by(self.connectivity.0, grid.shape, |voxel| labels.contains(&map[voxel]));
        let Some(largest) = parts.sizes.iter().max() else { return };
        let first = parts.sizes.iter().position(|size| size == largest);
        let is_kept = |part: usize| match self.ties {
            Ties::First => Some(part) == first,
            Ties::All => parts.sizes[part] == *largest,
        };
        for (voxel, id) in map.iter_mut().zip(&parts.ids) {
            if *id != 0 && !is_kept(*id as usize - 1) {
                *voxel = 0;
            }
        }
    }
}

impl PostprocessStep for KeepLargestComponent {
    fn labels(&self) -> Vec<Label> {
        self.labels.clone().unwrap_or_default()
    }

    fn apply(&self, map: &mut [Label], grid: &Grid) {
        let labels = selected_labels(self.labels.as_deref(), map);
        if self.together {
            return self.keep(map, grid, &labels);
        }
        labels.iter().for_each(|label| self.keep(map, grid, std::slice::from_ref(label)));
    }
}

impl Serialize for NumNeighbours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number: u8 = match self.0 {
            Connectivity::Faces => 6,
            Connectivity::Edges => 18,
            Connectivity::Corners => 26,
        };
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NumNeighbours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            6 => Ok(Self(Connectivity::Faces)),
            18 => Ok(Self(Connectivity::Edges)),
            26 => Ok(Self(Connectivity::Corners)),
            other => Err(de::Error::custom(format!("expected 6, 18 or 26, got {other}"))),
        }
    }
}

impl JsonSchema for NumNeighbours {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NumNeighbours".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "enum": [6, 18, 26] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    const GRID: Grid = Grid { shape: [1, 1, 8], affine: Affine::IDENTITY };

    fn step(keys: &str) -> KeepLargestComponent {
        serde_yaml::from_str(keys).unwrap()
    }

    #[test]
    fn each_label_keeps_its_largest_component() {
        let mut map = [1, 0, 1, 1, 0, 2, 0, 2];
        step("{}").apply(&mut map, &GRID);
        assert_eq!(map, [0, 0, 1, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn labels_that_are_not_named_stay() {
        let mut map = [1, 0, 1, 1, 0, 2, 0, 2];
        step("{labels: [1]}").apply(&mut map, &GRID);
        assert_eq!(map, [0, 0, 1, 1, 0, 2, 0, 2]);
    }

    #[test]
    fn labels_together_are_one_mask() {
        let mut map = [1, 1, 0, 1, 2, 2, 0, 2];
        step("{together: true}").apply(&mut map, &GRID);
        assert_eq!(map, [0, 0, 0, 1, 2, 2, 0, 0]);
    }

    #[test]
    fn all_of_equally_large_components_may_be_kept() {
        let mut map = [1, 1, 0, 1, 1, 0, 1, 0];
        step("{ties: all}").apply(&mut map, &GRID);
        assert_eq!(map, [1, 1, 0, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn components_may_be_connected_by_corners() {
        let grid = Grid { shape: [2, 2, 2], affine: Affine::IDENTITY };
        let map = [1, 0, 0, 0, 0, 0, 0, 1];
        let kept = |keys: &str| {
            let mut map = map;
            step(keys).apply(&mut map, &grid);
            map.iter().filter(|label| **label == 1).count()
        };
        assert_eq!([kept("{}"), kept("{connectivity: 18}"), kept("{connectivity: 26}")], [1, 1, 2]);
        let error = serde_yaml::from_str::<KeepLargestComponent>("{connectivity: 8}").unwrap_err();
        assert!(error.to_string().contains("expected 6, 18 or 26, got 8"), "{error}");
    }

    #[test]
    fn defaults_are_not_written_so_that_plans_stay_the_same() {
        assert_eq!(serde_json::to_string(&step("{labels: [1]}")).unwrap(), r#"{"labels":[1]}"#);
        let written = serde_json::to_value(KeepLargestComponent::of_mask(vec![1, 2])).unwrap();
        let expected = serde_json::json!({ "labels": [1, 2], "together": true, "connectivity": 26, "ties": "all" });
        assert_eq!(written, expected);
    }
}
