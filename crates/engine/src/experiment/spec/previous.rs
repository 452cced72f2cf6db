//! The section `data.previous` of an experiment: the first stage of a cascade.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use transforms::MaskTransform;

/// Cascade: the predictions of other runs are further channels of the network's input, one for each of their labels, 1 where a voxel is predicted as the label and 0 elsewhere. A subject is predicted by the run that validates it and was not trained on it, and new images by the mean of all runs.
///
/// ```yaml
/// previous: { runs: runs/3d_lowres, augment: [{ random_morphology: { probability: 0.4, radius: [1, 8] } }] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// The trained runs: a run folder, a folder of run folders such as `runs/3d_lowres`, or a list of them. Together they must validate every subject, so train all folds first. What prediction needs of them is copied into the run folder when a run starts.
    pub runs: RunFolders,
    /// Random changes of the channels in training patches, as if the previous runs had made other errors: a list of steps, applied in order after those of `augment` and `patch_augment`; `[]` (default) applies none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<MaskTransform>,
}

/// Run folders, or folders of run folders: one path or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolders(pub Vec<PathBuf>);

impl Serialize for RunFolders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [folder] => folder.serialize(serializer),
            folders => folders.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RunFolders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = RunFolders;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a folder of runs, or a list of folders")
            }
            fn visit_str<E: de::Error>(self, folder: &str) -> Result<RunFolders, E> {
                Ok(RunFolders(vec![folder.into()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RunFolders, A::Error> {
                let mut folders = Vec::new();
                while let Some(folder) = items.next_element()? {
                    folders.push(folder);
                }
                Ok(RunFolders(folders))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for RunFolders {
    fn schema_name() -> Cow<'static, str> {
        "RunFolders".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_written_as_they_are_read() {
        for text in ["runs/a\n", "- runs/a\n- runs/b\n"] {
            let folders: RunFolders = serde_yaml::from_str(text).unwrap();
            assert_eq!(serde_yaml::to_string(&folders).unwrap(), text);
        }
    }
}
