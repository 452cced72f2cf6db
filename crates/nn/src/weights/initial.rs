//! Initial weights: which tensors of a file a network takes, and which of its parameters stay random.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NamedTensor, WeightsError, state_dict};
use crate::networks::Architecture;
use crate::parameters::{Declaration, Declarations};

mod keys;

/// Initial weights instead of random ones, as the file alone or with keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialWeights {
    /// The file, or the folder of a run.
    pub file: PathBuf,
    /// Parameters that stay random, by the start of their names.
    pub skip: Vec<String>,
    /// Whether the file must have the other parameters of the network and no more.
    pub strict: bool,
    /// What happens if the file is for another number of image channels.
    pub input_channels: InputChannels,
}

/// What happens if initial weights are for another number of image channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputChannels {
    /// It is an error.
    #[default]
    Refuse,
    /// The weights of the first convolution are adapted so that its output keeps its magnitude: those of the channels are repeated
    /// cyclically, or truncated, and multiplied by the old number of channels over the new one; for a single channel they are
    /// summed. For weights of 3 channels, `timm` does the same.
    Repeat,
}

impl InitialWeights {
    /// All weights of a file.
    pub fn of_file(file: PathBuf) -> Self {
        Self { file, skip: Vec::new(), strict: true, input_channels: InputChannels::Refuse }
    }

    /// Returns the path of the weights: in the folder of a run, its best ones.
    pub fn path(&self) -> PathBuf {
        if self.file.is_dir() { self.file.join(BEST_OF_RUN) } else { self.file.clone() }
    }

    /// Reads the file and matches its tensors with the parameters of a network.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or if its names or shapes do not match.
    pub(crate) fn read(
        &self,
        network: &dyn Architecture,
        declarations: &Declarations,
    ) -> Result<LoadedWeights, WeightsError> {
        let tensors = state_dict::read(&self.path(), network.input_weight())?;
        self.select(tensors, network, declarations)
    }

    fn select(
        &self,
        tensors: Vec<NamedTensor>,
        network: &dyn Architecture,
        declarations: &Declarations,
    ) -> Result<LoadedWeights, WeightsError> {
        let is_skipped = |name: &str| self.skip.iter().any(|entry| is_in_layer(network, name, entry));
        let mut in_file: BTreeMap<String, NamedTensor> =
            tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let mut loaded = LoadedWeights::default();
        let mut faults = Faults::default();
        for declaration in declarations.iter() {
            let Declaration { name, shape, .. } = declaration;
            let tensor = in_file.remove(name);
            if is_skipped(name) {
                loaded.add_random(name, "skipped");
                continue;
            }
            match tensor {
                None if self.strict => faults.add(format!("`{name}` is missing"), network.is_head(name), false),
                None => loaded.add_random(name, "not in the file"),
                Some(tensor) if tensor.shape == *shape => loaded.tensors.push(tensor),
                Some(tensor) => {
                    let takes_image = network.is_input_weight(name) && differs_along(1, &tensor.shape, shape);
                    let is_head = network.is_head(name) && differs_along(0, &tensor.shape, shape);
                    if takes_image && self.input_channels == InputChannels::Repeat {
                        loaded.adapted.push(format!("{name} from {} to {} channels", tensor.shape[1], shape[1]));
                        loaded.tensors.push(with_channels(&tensor, shape[1]));
                    } else if is_head && !self.strict {
                        loaded.add_random(
                            name,
                            &format!("{} classes in the file, {} in the network", tensor.shape[0], shape[0]),
                        );
                    } else {
                        let fault = format!("`{name}` has shape {:?}, expected {shape:?}", tensor.shape);
                        faults.add(fault, is_head, takes_image);
                    }
                }
            }
        }
        for name in in_file.into_keys().filter(|name| !is_skipped(name)) {
            if self.strict {
                faults.add(format!("`{name}` is not part of this network"), network.is_head(&name), false);
            } else {
                loaded.unused.push(name);
            }
        }
        if faults.messages.is_empty() && loaded.tensors.is_empty() {
            faults.add("the network uses none of its tensors".to_owned(), false, false);
        }
        faults.finish(&self.file)?;
        Ok(loaded)
    }
}

/// The weights of a run that are used where its folder is given.
const BEST_OF_RUN: &str = "checkpoints/best.safetensors";

/// The name that stands for all output convolutions.
const HEAD: &str = "head";

/// Returns how closely the name of a layer describes a parameter; `None` if the parameter is not in the layer. It is if its
/// name starts with the parts of the layer's name; `head` stands for all output convolutions.
pub(crate) fn closeness(network: &dyn Architecture, parameter: &str, layer: &str) -> Option<usize> {
    let is_below = parameter.strip_prefix(layer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let is_head = layer == HEAD && network.is_head(parameter);
    // `head` is closer than the level of the decoder that has the head, and less close than that head's own name.
    let of_head = || parameter.rsplit_once('.').map_or(0, |(own, _)| own.len().saturating_sub(1));
    if is_below { Some(layer.len()) } else { is_head.then(of_head) }
}

fn is_in_layer(network: &dyn Architecture, parameter: &str, layer: &str) -> bool {
    closeness(network, parameter, layer).is_some()
}

/// Returns whether two shapes differ along one axis only.
fn differs_along(axis: usize, one: &[usize], other: &[usize]) -> bool {
    let is_same = |index: usize| one[index] == other[index];
    one.len() == other.len() && axis < one.len() && (0..one.len()).all(|index| index == axis || is_same(index))
}

/// Adapts a convolution's weight `[output, channel, x, y, z]` to another number of channels.
fn with_channels(tensor: &NamedTensor, channels: usize) -> NamedTensor {
    let (output, old) = (tensor.shape[0], tensor.shape[1]);
    let voxels: usize = tensor.shape[2..].iter().product();
    let mut shape = tensor.shape.clone();
    shape[1] = channels;
    let mut data = vec![0.0; output * channels * voxels];
    let (count, factor) = if channels == 1 { (old, 1.0) } else { (channels, (old as f64 / channels as f64) as f32) };
    for row in 0..output {
        for index in 0..count {
            let from = (row * old + index % old) * voxels;
            let to = (row * channels + index % channels) * voxels;
            for voxel in 0..voxels {
                data[to + voxel] += tensor.data[from + voxel] * factor;
            }
        }
    }
    NamedTensor { name: tensor.name.clone(), shape, data }
}

/// The tensors that a network takes from a file, and what does not come from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadedWeights {
    /// The tensors, with the names and shapes of the network.
    pub tensors: Vec<NamedTensor>,
    /// The names of the parameters that stay random.
    pub random: Vec<String>,
    /// The parameters that stay random by the reason.
    reasons: Vec<(String, Vec<String>)>,
    /// Adapted weights, with their numbers of channels.
    adapted: Vec<String>,
    /// Tensors of the file that the network lacks.
    unused: Vec<String>,
}

impl LoadedWeights {
    fn add_random(&mut self, name: &str, reason: &str) {
        self.random.push(name.to_owned());
        match self.reasons.iter_mut().find(|(other, _)| other == reason) {
            Some((_, names)) => names.push(name.to_owned()),
            None => self.reasons.push((reason.to_owned(), vec![name.to_owned()])),
        }
    }

    /// Returns what does not come from the file as it is, as sentences.
    pub fn notes(&self) -> Vec<String> {
        let random = self.reasons.iter().map(|(reason, names)| format!("random ({reason}): {}", listed(names)));
        let adapted = (!self.adapted.is_empty()).then(|| format!("adapted: {}", listed(&self.adapted)));
        let unused = (!self.unused.is_empty()).then(|| format!("not used from the file: {}", listed(&self.unused)));
        random.chain(adapted).chain(unused).collect()
    }
}

/// The maximum number of listed names; further ones are only counted.
const MAX_SHOWN: usize = 6;

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(MAX_SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// What does not match, and what could be done about it.
#[derive(Default)]
struct Faults {
    messages: Vec<String>,
    of_heads: usize,
    of_channels: usize,
}

impl Faults {
    fn add(&mut self, message: String, is_head: bool, takes_image: bool) {
        self.messages.push(message);
        self.of_heads += usize::from(is_head);
        self.of_channels += usize::from(takes_image);
    }

    fn finish(mut self, file: &Path) -> Result<(), WeightsError> {
        let count = self.messages.len();
        if count == 0 {
            return Ok(());
        }
        let file = file.display();
        let with = |keys: &str| format!("write `initial_weights: {{ file: {file}, {keys} }}`");
        let help = if self.of_heads == count {
            with("skip: [head]") + ", so that the heads start from random weights"
        } else if self.of_channels == count {
            with("input_channels: repeat") + ", which adapts the first convolution"
        } else if self.of_heads + self.of_channels == count {
            with("skip: [head], input_channels: repeat")
                + ", which adapts the first convolution and leaves the heads random"
        } else {
            "use weights of the same network, with the same widths, norm, channels and number of classes, or list in `skip` \
             the layers that start from random weights"
                .to_owned()
        };
        let more = count.saturating_sub(MAX_SHOWN);
        self.messages.truncate(MAX_SHOWN);
        if more > 0 {
            self.messages.push(format!("and {more} more"));
        }
        Err(WeightsError::Unlike { faults: self.messages.join("; "), help })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Model;

    fn model(yaml: &str) -> Model {
        serde_json::from_value(serde_yaml::from_str(yaml).unwrap()).unwrap()
    }

    const SUPERVISED: &str = "{ unet: { widths: [2, 3, 4], norm: batch, deep_supervision: true } }";

    /// Returns the tensors of a network; the values of each are 0, 1, 2, ...
    fn tensors(model: &Model, channels: usize, classes: usize) -> Vec<NamedTensor> {
        let tensor = |declaration: &Declaration| {
            let data = (0..declaration.shape.iter().product::<usize>()).map(|index| index as f32).collect();
            NamedTensor { name: declaration.name.clone(), shape: declaration.shape.clone(), data }
        };
        model.declarations(channels, classes).0.iter().map(tensor).collect()
    }

    fn select(
        keys: &str,
        file: Vec<NamedTensor>,
        model: &Model,
        channels: usize,
        classes: usize,
    ) -> Result<LoadedWeights, (String, String)> {
        let keys: InitialWeights = serde_yaml::from_str(keys).unwrap();
        keys.select(file, model.component(), &model.declarations(channels, classes).0).map_err(|error| match error {
            WeightsError::Unlike { faults, help } => (faults, help),
            other => panic!("{other}"),
        })
    }

    #[test]
    fn a_file_is_written_as_text_and_further_keys_as_a_map() {
        let read = |text: &str| serde_yaml::from_str::<InitialWeights>(text).unwrap();
        let written = |text: &str| serde_yaml::to_string(&read(text)).unwrap();
        assert_eq!(read("w.pt"), read("{ file: w.pt, strict: true }"));
        assert_eq!(written("{ file: w.pt }"), "w.pt\n");
        assert_eq!(
            written("{ file: w.pt, skip: [head], input_channels: repeat }"),
            "file: w.pt\nskip:\n- head\nstrict: true\ninput_channels: repeat\n"
        );
        assert!(serde_yaml::from_str::<InitialWeights>("{ file: w.pt, freeze: 1 }").is_err());
    }

    #[test]
    fn heads_of_other_classes_are_a_fault_that_suggests_to_skip_them_and_stay_random_on_request() {
        let model = model(SUPERVISED);
        let file = || tensors(&model, 1, 3);
        let (faults, help) = select("w.pt", file(), &model, 1, 2).unwrap_err();
        assert!(
            faults.starts_with("`decoder.0.head.weight` has shape [3, 3, 1, 1, 1], expected [2, 3, 1, 1, 1]"),
            "{faults}"
        );
        assert!(help.starts_with("write `initial_weights: { file: w.pt, skip: [head] }`"), "{help}");
        let heads = ["decoder.0.head.weight", "decoder.0.head.bias", "head.weight", "head.bias"];
        let skipped = select("{ file: w.pt, skip: [head] }", file(), &model, 1, 2).unwrap();
        assert_eq!(skipped.random, heads);
        assert_eq!(skipped.notes(), [format!("random (skipped): {}", heads.join(", "))]);
        let tolerant = select("{ file: w.pt, strict: false }", file(), &model, 1, 2).unwrap();
        assert_eq!((&tolerant.random, &tolerant.tensors), (&skipped.random, &skipped.tensors));
        assert!(
            tolerant.notes()[0].starts_with("random (3 classes in the file, 2 in the network): "),
            "{:?}",
            tolerant.notes()
        );
    }

    #[test]
    fn a_prefix_ends_with_a_part_of_the_name() {
        let names = |layer: &str| {
            let model = model("{ unet: { widths: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] } }");
            let names = tensors(&model, 1, 2).into_iter().map(|tensor| tensor.name);
            names.filter(|name| is_in_layer(model.component(), name, layer)).collect::<Vec<_>>()
        };
        assert_eq!(names("encoder.1").len(), 4);
        assert_eq!(names("encoder.1.conv1.weight"), ["encoder.1.conv1.weight"]);
        assert_eq!(names("encoder.1.conv").len() + names("enc").len(), 0);
        assert_eq!(names("encoder").len(), 11 * 4);
    }

    #[test]
    fn missing_and_unknown_parameters_are_tolerated_only_where_it_is_not_strict() {
        let (with, without) = (model(SUPERVISED), model(&SUPERVISED.replace("true", "false")));
        let (faults, _) = select("w.pt", tensors(&without, 1, 2), &with, 1, 2).unwrap_err();
        assert!(faults.contains("`decoder.0.head.weight` is missing"), "{faults}");
        let loaded = select("{ file: w.pt, strict: false }", tensors(&without, 1, 2), &with, 1, 2).unwrap();
        assert_eq!(loaded.notes(), ["random (not in the file): decoder.0.head.weight, decoder.0.head.bias"]);
        let loaded = select("{ file: w.pt, strict: false }", tensors(&with, 1, 2), &without, 1, 2).unwrap();
        assert_eq!(loaded.notes(), ["not used from the file: decoder.0.head.bias, decoder.0.head.weight"]);
        // Other shapes are never left out silently, nor is a file of another network.
        let wider = model(&SUPERVISED.replace("[2, 3, 4]", "[2, 3, 5]"));
        let (faults, help) = select("{ file: w.pt, strict: false }", tensors(&with, 1, 2), &wider, 1, 2).unwrap_err();
        assert!(faults.contains("`encoder.2.conv1.weight` has shape") && help.contains("the same network"), "{faults}");
        let other = vec![NamedTensor { name: "fc.weight".into(), shape: vec![1], data: vec![0.0] }];
        let (faults, _) = select("{ file: w.pt, strict: false }", other, &with, 1, 2).unwrap_err();
        assert_eq!(faults, "the network uses none of its tensors");
    }

    #[test]
    fn another_number_of_channels_is_refused_or_the_first_convolution_is_adapted() {
        let model = model("{ unet: { widths: [2, 4], residual: true } }");
        let (faults, help) = select("w.pt", tensors(&model, 1, 2), &model, 3, 2).unwrap_err();
        assert_eq!(faults.matches("has shape").count(), 2, "the convolution and the shortcut: {faults}");
        assert!(help.contains("input_channels: repeat"), "{help}");
        let loaded = select("{ file: w.pt, input_channels: repeat }", tensors(&model, 1, 2), &model, 3, 2).unwrap();
        assert!(loaded.random.is_empty());
        assert_eq!(
            loaded.notes(),
            ["adapted: encoder.0.conv1.weight from 1 to 3 channels, encoder.0.shortcut.weight from 1 to 3 channels"]
        );
        let (_, help) = select("w.pt", tensors(&model, 1, 3), &model, 3, 2).unwrap_err();
        assert!(help.contains("skip: [head], input_channels: repeat"), "{help}");
    }

    #[test]
    fn repeated_channels_are_those_of_timm() {
        // Of two outputs with three channels of one voxel, as `adapt_input_conv` of timm 1.0.31 computes them.
        let weights =
            NamedTensor { name: "w".into(), shape: vec![2, 3, 1, 1, 1], data: vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0] };
        let adapted = |channels| with_channels(&weights, channels).data;
        assert_eq!(adapted(1), [7.0, 56.0]);
        assert_eq!(adapted(6), [0.5, 1.0, 2.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 4.0, 8.0, 16.0]);
        assert_eq!(adapted(4), [0.75, 1.5, 3.0, 0.75, 6.0, 12.0, 24.0, 6.0]);
        assert_eq!(adapted(2), [1.5, 3.0, 12.0, 24.0]);
        assert_eq!(adapted(3), weights.data);
    }
}
