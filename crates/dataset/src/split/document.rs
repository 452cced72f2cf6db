//! How an experiment writes a split: a map of one choice, and for a file also the index of the fold.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Fold, Fraction, NnunetFold, Split, SplitFile};

/// The keys of a split.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    First,
    Fraction,
    Fold,
    Nnunet,
    File,
    Index,
}

impl<'de> Deserialize<'de> for Split {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SplitVisitor)
    }
}

struct SplitVisitor;

impl<'de> Visitor<'de> for SplitVisitor {
    type Value = Split;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map with one of the keys first, fraction, fold, nnunet and file")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Split, A::Error> {
        let (mut split, mut index) = (None, None);
        while let Some(key) = map.next_key()? {
            let chosen = match key {
                Key::First => Split::First(map.next_value()?),
                Key::Fraction => Split::Fraction(map.next_value()?),
                Key::Fold => Split::Fold(map.next_value()?),
                Key::Nnunet => Split::Nnunet(map.next_value()?),
                Key::File => Split::File(SplitFile { path: map.next_value()?, index: None }),
                Key::Index => {
                    index = Some(map.next_value()?);
                    continue;
                }
            };
            if split.replace(chosen).is_some() {
                return Err(A::Error::custom(
                    "expected one of the keys first, fraction, fold, nnunet and file, got several",
                ));
            }
        }
        match (split, index) {
            (None, _) => {
                Err(A::Error::custom("expected one of the keys first, fraction, fold, nnunet and file, got none"))
            }
            (Some(Split::File(file)), index) => Ok(Split::File(SplitFile { index, ..file })),
            (Some(split), None) => Ok(split),
            (Some(_), Some(_)) => Err(A::Error::custom(
                "the key index belongs to file; the index of a fold is written `fold: { index: 0, count: 5 }`",
            )),
        }
    }
}

impl Serialize for Split {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::First(count) => map.serialize_entry("first", count)?,
            Self::Fraction(fraction) => map.serialize_entry("fraction", fraction)?,
            Self::Fold(fold) => map.serialize_entry("fold", fold)?,
            Self::Nnunet(fold) => map.serialize_entry("nnunet", fold)?,
            Self::File(SplitFile { path, index }) => {
                map.serialize_entry("file", path)?;
                index.iter().try_for_each(|index| map.serialize_entry("index", index))?;
            }
        }
        map.end()
    }
}

impl JsonSchema for Split {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Split".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Choices::json_schema(generator);
        let mut index = generator.subschema_for::<Option<usize>>().to_value();
        index["description"] = FOLD_INDEX.into();
        let choices = schema.get_mut("oneOf").and_then(serde_json::Value::as_array_mut);
        if let Some(file) = choices.and_then(|choices| choices.last_mut()) {
            // Not among `properties`, so that the name of a choice is its only property.
            file["patternProperties"] = serde_json::json!({ "^index$": index });
        }
        schema
    }
}

const FOLD_INDEX: &str =
    "Fold of the file, counted from 0, if the file is a list of splits such as nnU-Net's `splits_final.json`.";

/// How the subjects are split into training, validation and test.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "describes the schema of Split, which has a second key for a file")]
enum Choices {
    /// The first N subjects in sorted order for training, the rest for validation, such as `first: 105`.
    First(NonZeroUsize),
    /// Fractions of the subjects, shuffled with `seed`, by default the experiment's; `groups` stay together.
    Fraction(Fraction),
    /// One fold of a cross-validation: fold `index` of `count` for validation, the rest for training; shuffled by the
    /// experiment's `seed` or one of their own. `groups`, such as patients, stay together.
    Fold(Fold),
    /// One of nnU-Net's default five folds, made from the names of the subjects: `nnunet: { index: 0 }`.
    Nnunet(NnunetFold),
    /// A JSON file of subject names: `{"train": [names], "val": [...], "test": [...]}`, or a list of such splits, one per
    /// fold, of which `index` chooses one: `{ file: splits_final.json, index: 0 }`.
    File(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_an_index_and_other_choices_may_not() {
        let read = |text: &str| serde_yaml::from_str::<Split>(text).map_err(|error| error.to_string());
        let file = |index| Split::File(SplitFile { path: "s.json".into(), index });
        assert_eq!(read("{ file: s.json }"), Ok(file(None)));
        assert_eq!(read("{ index: 2, file: s.json }"), Ok(file(Some(2))));
        assert!(read("{ first: 3, index: 2 }").unwrap_err().contains("belongs to file"));
        assert!(read("{ first: 3, file: s.json }").unwrap_err().contains("got several"));
        assert!(read("{ index: 2 }").unwrap_err().contains("got none"));
    }

    #[test]
    fn a_split_is_written_as_it_is_read() {
        for text in [
            "first: 3\n",
            "fold:\n  index: 1\n  count: 5\n",
            "fold:\n  index: 1\n  count: 5\n  seed: 3\n",
            "nnunet:\n  index: 4\n",
            "file: s.json\n",
            "file: s.json\nindex: 2\n",
        ] {
            let split: Split = serde_yaml::from_str(text).unwrap();
            assert_eq!(serde_yaml::to_string(&split).unwrap(), text);
        }
    }
}
