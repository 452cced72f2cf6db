//! How initial weights are written in an experiment: as a file, or as a map with further keys.

use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{InitialWeights, InputChannels};

/// Weights to start from.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// File, a path relative to the working folder: `best.safetensors` of another run, the folder of a run (its
    /// `checkpoints/best.safetensors`), or a PyTorch state dict as `.safetensors` or `.pt`.
    file: PathBuf,
    /// Layers that start from random weights, named by the leading parts of their parameters' names, for example `[head]` or
    /// `[decoder, head]`; `head` stands for all output convolutions, including those of deep supervision. Default: none.
    #[serde(default)]
    skip: Vec<String>,
    /// If true (default), the file must have exactly the other parameters of the network. If false, parameters that are missing
    /// in the file and heads with a different number of classes start from random weights, and tensors that the network does
    /// not have are ignored; `check` and the log list them.
    #[serde(default = "yes")]
    strict: bool,
    /// What happens if the file is for a different number of image channels: `refuse` (default) or `repeat`.
    #[serde(default)]
    input_channels: InputChannels,
}

fn yes() -> bool {
    true
}

impl From<Keys> for InitialWeights {
    fn from(Keys { file, skip, strict, input_channels }: Keys) -> Self {
        Self { file, skip, strict, input_channels }
    }
}

impl<'de> Deserialize<'de> for InitialWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FileOrKeys;
        impl<'de> Visitor<'de> for FileOrKeys {
            type Value = InitialWeights;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a file, or a map with the key file")
            }
            fn visit_str<E: de::Error>(self, file: &str) -> Result<InitialWeights, E> {
                Ok(InitialWeights::of_file(file.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<InitialWeights, A::Error> {
                Keys::deserialize(MapAccessDeserializer::new(map)).map(InitialWeights::from)
            }
        }
        deserializer.deserialize_any(FileOrKeys)
    }
}

/// Writes the file alone where the other keys have their defaults.
impl Serialize for InitialWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { file, skip, strict, input_channels } = self.clone();
        if *self == Self::of_file(file.clone()) {
            return file.serialize(serializer);
        }
        Keys { file, skip, strict, input_channels }.serialize(serializer)
    }
}

impl JsonSchema for InitialWeights {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InitialWeights".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys = Keys::json_schema(generator);
        let file = generator.subschema_for::<PathBuf>();
        json_schema!({
            "description": "Weights to start from: a file, or a map with further keys.\n\n```yaml\ninitial_weights: { file: runs/liver/20260101-120000, skip: [head], input_channels: repeat }\n```",
            "anyOf": [file, keys],
        })
    }
}
