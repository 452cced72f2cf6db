//! `checkpoint_final.pth` of an exported fold.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::ExportError;
use super::history::History;
use super::names::{Names, TRAINER};
use super::network::unet;
use crate::axes::Axes;
use crate::checkpoint::WEIGHTS;
use crate::find::Fold;
use crate::parameters::{COUNTER, our_name, state_dict};
use engine::prediction::Predictor;
use nn::Unet;
use nn::weights::pytorch_file::{Saved, SavedTensor, SavedValues, save};
use nn::weights::{self, NamedTensor};

/// What a fold is exported from.
pub(super) struct Checkpoint<'a> {
    pub predictor: &'a Predictor,
    pub fold: &'a Fold,
    pub names: &'a Names,
    pub axes: &'a Axes,
    /// The axes of the network along which windows are mirrored.
    pub mirror: &'a [usize],
    pub plans: &'a Saved,
    pub dataset: &'a Saved,
}

impl Checkpoint<'_> {
    /// Writes the file.
    ///
    /// # Errors
    /// When the weights cannot be read, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ExportError> {
        let unet = unet(&self.predictor.experiment.model);
        let weights = weights::read(&self.predictor.weights.file)?;
        let Weights { names, tensors, num_parameters } =
            Weights::new(unet, weights, self.axes, self.predictor.targets.num_classes());
        let data = self.data(names, num_parameters);
        let write = || save(BufWriter::new(File::create(path)?), &data, &tensors);
        write().map_err(|source| ExportError::Write { path: path.to_owned(), source })
    }

    /// Returns what nnUNetTrainer.save_checkpoint saves.
    fn data(&self, names: Vec<(String, usize)>, num_parameters: usize) -> Saved {
        let weights = &self.predictor.weights;
        let History { logging, best_ema } = History::read(self.predictor, &self.dataset_classes(), weights.epoch);
        let fold = match self.fold {
            Fold::Number(number) => Saved::Int((*number).into()),
            Fold::All => Saved::Text("all".to_owned()),
        };
        // max() of an empty tuple is an error in nnU-Net.
        let mirror = self.mirror.iter().map(|axis| Saved::Int(*axis as i64)).collect::<Vec<_>>();
        let mirror = if mirror.is_empty() { Saved::None } else { Saved::Tuple(mirror) };
        let text = |text: &str| Saved::Text(text.to_owned());
        let exported_by = [
            ("program", text("runner")),
            ("version", text(env!("CARGO_PKG_VERSION"))),
            ("checkpoint", text(&weights.checkpoint)),
            ("weights_sha256", text(&weights.sha256)),
        ];
        map([
            (WEIGHTS, Saved::StateDict(names)),
            ("optimizer_state", self.optimizer(num_parameters)),
            ("grad_scaler_state", Saved::None),
            ("logging", logging),
            ("_best_ema", best_ema.map_or(Saved::None, Saved::Float)),
            ("current_epoch", Saved::Int(weights.epoch.unwrap_or(0) as i64)),
            (
                "init_args",
                map([
                    ("plans", self.plans.clone()),
                    ("configuration", text(&self.names.configuration)),
                    ("fold", fold),
                    ("dataset_json", self.dataset.clone()),
                ]),
            ),
            ("trainer_name", text(TRAINER)),
            ("inference_allowed_mirroring_axes", mirror),
            ("exported_by", map(exported_by)),
        ])
    }

    /// Returns the names of the classes that are scored.
    fn dataset_classes(&self) -> Vec<String> {
        self.predictor.targets.classes().into_iter().map(|class| class.name).collect()
    }

    /// Returns the state of nnU-Net's optimizer before its first step: its settings, without momenta.
    fn optimizer(&self, num_parameters: usize) -> Saved {
        let settings = serde_json::json!([{
            "lr": 0.01, "momentum": 0.99, "dampening": 0, "weight_decay": 3e-5, "nesterov": true, "maximize": false,
            "foreach": null, "differentiable": false, "fused": null, "initial_lr": 0.01,
            "params": (0..num_parameters).collect::<Vec<_>>(),
        }]);
        map([("state", Saved::Map(Vec::new())), ("param_groups", settings.into())])
    }
}

fn map<const N: usize>(entries: [(&str, Saved); N]) -> Saved {
    Saved::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The weights of a network with nnU-Net's names and layout.
struct Weights {
    /// The names of the state dict, each with the index of its tensor.
    names: Vec<(String, usize)>,
    tensors: Vec<SavedTensor>,
    /// The number of tensors that are trained.
    num_parameters: usize,
}

impl Weights {
    fn new(unet: &Unet, weights: Vec<NamedTensor>, axes: &Axes, classes: usize) -> Self {
        let mut ours: BTreeMap<String, NamedTensor> =
            weights.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let (mut names, mut tensors, mut indices) = (Vec::new(), Vec::new(), HashMap::new());
        let mut num_parameters = 0;
        for (name, first) in state_dict(unet) {
            let index = *indices.entry(first).or_insert_with_key(|first| {
                num_parameters += usize::from(!first.ends_with(COUNTER) && !first.contains(".running_"));
                tensors.push(tensor(unet, first, &mut ours, axes, classes));
                tensors.len() - 1
            });
            names.push((name, index));
        }
        assert!(ours.is_empty(), "nnU-Net's network has all parameters of ours, but not {:?}", ours.keys());
        Self { names, tensors, num_parameters }
    }
}

/// Takes the tensor of one of nnU-Net's names out of the weights of a run.
fn tensor(
    unet: &Unet,
    name: &str,
    ours: &mut BTreeMap<String, NamedTensor>,
    axes: &Axes,
    classes: usize,
) -> SavedTensor {
    if name.ends_with(COUNTER) {
        return SavedTensor { shape: Vec::new(), values: SavedValues::Long(vec![0]) };
    }
    let own = our_name(name, unet.depth()).expect("each of nnU-Net's names has one of ours");
    let tensor = ours.remove(&own).or_else(|| missing_head(unet, &own, classes));
    let tensor = axes.to_kernel(tensor.unwrap_or_else(|| panic!("opened runs have every parameter, but not {own}")));
    SavedTensor { shape: tensor.shape, values: SavedValues::Float(tensor.data) }
}

/// Returns a lower head of zeros, which networks without deep supervision lack.
fn missing_head(unet: &Unet, name: &str, classes: usize) -> Option<NamedTensor> {
    let (level, kind) = name.strip_prefix("decoder.")?.split_once(".head.")?;
    let level = unet.depth().checked_sub(2)?.checked_sub(level.parse().ok()?)?;
    let shape = if kind == "bias" { vec![classes] } else { vec![classes, unet.widths[level].get(), 1, 1, 1] };
    let data = vec![0.0; shape.iter().product()];
    (!unet.deep_supervision).then(|| NamedTensor { name: name.to_owned(), shape, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::path;
    use nn::weights::pytorch_file::PytorchFile;
    use std::collections::BTreeSet;

    fn unet(keys: serde_json::Value) -> Unet {
        serde_json::from_value(keys).unwrap()
    }

    fn zeros(name: &str, shape: &[usize]) -> NamedTensor {
        let data = vec![0.0; shape.iter().product()];
        NamedTensor { name: name.to_owned(), shape: shape.to_vec(), data }
    }

    #[test]
    fn a_state_dict_has_the_names_of_nnunets_own() {
        let strided = serde_json::json!({
            "widths": [4, 8, 8], "norm": "instance", "activation": "leaky_relu", "downsample": "strided_conv",
            "upsample": "transposed_conv",
        });
        let mut residual = strided.clone();
        residual["encoder"] = "residual".into();
        residual["convs_per_level"] = serde_json::json!([1, 1, 2]);
        for (model, unet) in [("planar", unet(strided)), ("residual", unet(residual))] {
            let file = path("../../tests/program/nnunet", &[model, "fold_0/checkpoint_final.pth"]);
            let opened = PytorchFile::open(Path::new(&file)).unwrap();
            let expected = opened.tensors(WEIGHTS).unwrap();
            let expected: BTreeSet<String> = expected.names().map(str::to_owned).collect();
            let names = state_dict(&unet);
            assert_eq!(BTreeSet::from_iter(names.iter().map(|(name, _)| name.clone())), expected, "{model}");
            assert_eq!(names.len(), expected.len(), "{model}");
        }
    }

    #[test]
    fn batch_normalization_has_statistics_that_are_not_trained() {
        let unet = unet(serde_json::json!({
            "widths": [2, 4], "norm": "batch", "downsample": "strided_conv", "upsample": "transposed_conv",
            "convs_per_level": 1, "decoder_convs_per_level": 1,
        }));
        let layers = [("encoder.0.conv1", 1, 2), ("encoder.1.conv1", 2, 4), ("decoder.0.conv1", 4, 2)];
        let mut weights = vec![zeros("decoder.0.up.weight", &[4, 2, 2, 2, 2]), zeros("decoder.0.up.bias", &[2])];
        weights.extend([zeros("head.weight", &[3, 2, 1, 1, 1]), zeros("head.bias", &[3])]);
        for (layer, inputs, outputs) in layers {
            weights.push(zeros(&format!("{layer}.weight"), &[outputs, inputs, 3, 3, 3]));
            weights.push(zeros(&format!("{layer}.bias"), &[outputs]));
            let norm = layer.replace("conv", "norm");
            weights.extend(
                ["weight", "bias", "running_mean", "running_var"]
                    .map(|kind| zeros(&format!("{norm}.{kind}"), &[outputs])),
            );
        }
        let Weights { names, tensors, num_parameters } = Weights::new(&unet, weights, &Axes::with_first(2, false), 3);
        assert_eq!((tensors.len(), num_parameters), (25, 16));
        let (_, counter) = names.iter().find(|(name, _)| name.ends_with("all_modules.1.num_batches_tracked")).unwrap();
        assert_eq!(tensors[*counter], SavedTensor { shape: Vec::new(), values: SavedValues::Long(vec![0]) });
    }

    #[test]
    fn lower_heads_of_a_network_without_them_are_zeros() {
        let mut keys = serde_json::json!({ "widths": [2, 4, 8, 16] });
        let shape = |unet: &Unet, name| missing_head(unet, name, 3).map(|tensor| tensor.shape);
        let plain = unet(keys.clone());
        assert_eq!(shape(&plain, "decoder.0.head.weight"), Some(vec![3, 8, 1, 1, 1]));
        assert_eq!(shape(&plain, "decoder.1.head.bias"), Some(vec![3]));
        assert_eq!((shape(&plain, "decoder.1.conv1.bias"), shape(&plain, "head.bias")), (None, None));
        keys["deep_supervision"] = true.into();
        assert_eq!(shape(&unet(keys), "decoder.0.head.weight"), None);
    }
}
