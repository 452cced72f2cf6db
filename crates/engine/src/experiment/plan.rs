//! The plan: a checked experiment with defaults, subjects and shapes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::spec::Experiment;
use super::targets::Targets;
use crate::previous::PreviousRuns;
use dataset::split::Parts;
use dataset::subject::Subject;
use dataset::weight_maps::WeightUse;
use nn::devices::DeviceName;
use volume::{Grid, Label};

/// A checked experiment. Only [`check`](super::check::check) makes one, so only checked experiments are trained.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The experiment with all defaults.
    pub experiment: Experiment,
    /// The name of the folder of its runs.
    pub name: String,
    /// The device that the network runs on; never `auto`.
    pub device: DeviceName,
    /// What the network is trained to predict.
    pub targets: Targets,
    /// Every subject, by name.
    pub cases: BTreeMap<String, Case>,
    /// The split into training, validation and test subjects.
    pub parts: Parts,
    /// The groups of the split, and what it is stratified by, in words.
    pub groups: Option<String>,
    /// The number of image channels.
    pub channels: usize,
    /// The runs whose predictions are further input channels of the network.
    pub previous: Option<PreviousRuns>,
    /// The names of the channels that the dataset declares, such as `CT`; may be empty.
    pub channel_names: Vec<String>,
    /// The patch shape `[x, y, z]` in voxels.
    pub patch: [usize; 3],
    /// The shape `[x, y, z]` of the sliding window in voxels.
    pub window: [usize; 3],
    /// Patches per epoch.
    pub patches_per_epoch: usize,
    /// Optimizer steps per epoch.
    pub steps_per_epoch: usize,
    /// What does not come from the initial weights as it is in their file.
    pub initial_weights: Vec<String>,
    /// The number of trainable parameters.
    pub num_parameters: usize,
    /// The estimated memory of training in bytes.
    pub memory_bytes: u64,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// A label and its column name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassLabel {
    /// Its value in label maps.
    pub value: Label,
    /// Its name in lower case, with `_` instead of spaces.
    pub name: String,
}

impl ClassLabel {
    /// Returns the values and names.
    pub fn pairs(labels: &[Self]) -> Vec<(Label, String)> {
        labels.iter().map(|label| (label.value, label.name.clone())).collect()
    }

    /// Returns the values, in the order of classes.
    pub fn values(labels: &[Self]) -> Vec<Label> {
        labels.iter().map(|label| label.value).collect()
    }
}

/// A subject and its grids, read from headers.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name and files.
    pub subject: Subject,
    /// Its weight maps, by what they are for.
    pub weight_maps: BTreeMap<WeightUse, PathBuf>,
    /// The grid of its image file.
    pub grid: Grid,
    /// The grid after the preprocess chain.
    pub outgoing: Grid,
}

impl Plan {
    /// Returns the number of classes of the network.
    pub fn num_classes(&self) -> usize {
        self.targets.num_classes()
    }

    /// Returns the number of input channels of the network: those of the image, and one for each label of the previous runs.
    pub fn network_channels(&self) -> usize {
        self.channels + self.previous.as_ref().map_or(0, |previous| previous.labels().len())
    }

    /// Makes the previous runs those of the copies in the folder of a run.
    pub fn use_previous_copies(&mut self, root: &Path) {
        self.previous.iter_mut().for_each(|previous| previous.use_copies(root));
    }

    /// Returns the number of optimizer steps of the whole run.
    pub fn num_steps(&self) -> usize {
        self.steps_per_epoch * self.experiment.train.epochs.get()
    }

    /// Returns a hash of the names of all subjects and the names and sizes of their files, including weight maps; for
    /// phantoms, whose files may not exist yet, a hash of their settings.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let generator = self.experiment.data.source.component().generator();
        generator.iter().for_each(|generator| hash.update(generator.settings()));
        let is_generated = generator.is_some();
        for (name, case) in self.cases.iter().filter(|(_, case)| !is_generated || !case.weight_maps.is_empty()) {
            hash.update(name);
            let files = case.subject.images.iter().chain(&case.subject.label).filter(|_| !is_generated);
            for path in files.chain(case.weight_maps.values()) {
                let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
                hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
                hash.update(size.to_le_bytes());
            }
        }
        hex::encode(hash.finalize())
    }

    /// Returns the text of plan.yaml: the experiment with all defaults, which yields the same run.
    pub fn to_yaml(&self) -> String {
        let experiment = self.experiment.clone();
        // Targets that come from the dataset are written too, so that the run can predict without the dataset.
        let data = self.targets.clone().into_data(experiment.data);
        Experiment { name: Some(self.name.clone()), device: self.device, data, ..experiment }.to_yaml()
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::check::{Environment, check};
    use crate::experiment::load::{Document, parse};

    fn document(text: &str) -> Document {
        parse("tiny.yaml", text).unwrap()
    }

    const TEXT: &str = "\
data: { source: { phantom: { subjects: 10 } } }
preprocess: [{ crop_or_pad: { shape: [64, 64, 40] } }]
sampler: { uniform: { patch: [32, 32, 32] } }
model: { unet: { widths: [8, 16] } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1e-4 } }
train: { epochs: 2 }
device: flex
";

    fn here(memory_bytes: Option<u64>) -> Environment {
        Environment { cache_dir: "no-cache".into(), memory_bytes }
    }

    #[test]
    fn plan_yaml_gives_the_same_plan() {
        let plan = check(&document(TEXT), &here(None), None).unwrap();
        let reparsed = check(&document(&plan.to_yaml()), &here(None), None).unwrap();
        assert_eq!(reparsed.to_string(), plan.to_string());
        assert_eq!(reparsed.to_yaml(), plan.to_yaml());
    }

    #[test]
    fn short_runs_score_whole_volumes_several_times_unless_the_interval_is_written() {
        let interval = |text: &str| document(text).experiment.validate.volumes.every_epochs.map(|every| every.get());
        for (epochs, expected) in [(1, 1), (5, 1), (10, 2), (24, 4), (50, 10), (400, 10)] {
            let text = TEXT.replace("epochs: 2", &format!("epochs: {epochs}"));
            assert_eq!(interval(&text), Some(expected), "{epochs} epochs");
        }
        let written =
            format!("{}validate: {{ volumes: {{ every_epochs: 7 }} }}\n", TEXT.replace("epochs: 2", "epochs: 9"));
        assert_eq!(interval(&written), Some(7));
        let plan = check(&document(&TEXT.replace("epochs: 2", "epochs: 10")), &here(None), None).unwrap();
        assert!(plan.to_yaml().contains("volumes:\n    every_epochs: 2\n"), "{}", plan.to_yaml());
        assert!(plan.to_string().contains("volumes scored    every 2 epochs, and after the last"), "{plan}");
    }

    #[test]
    fn the_plan_prints_shapes_and_steps() {
        let plan = check(&document(TEXT), &here(None), None).unwrap();
        let text = plan.to_string();
        assert!(text.contains("volumes           64 x 64 x 40 voxels"), "{text}");
        assert!(text.contains("20 per epoch, 40 in total"), "{text}");
        for line in
            ["loss              dice", "optimizer         adam: learning_rate 0.0001", "schedule          constant"]
        {
            assert!(text.contains(line), "{text}");
        }
        for line in ["metrics           dice", "postprocess       argmax", "batch             2 patches"] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn few_possible_patch_centres_cause_a_warning_where_centres_are_chosen() {
        let warns = |sampler: &str| {
            let text = TEXT.replace("{ uniform: { patch: [32, 32, 32] } }", sampler);
            let plan = check(&document(&text), &here(None), None).unwrap();
            plan.warnings.iter().any(|warning| warning.contains("only 9 slices along z"))
        };
        assert!(warns("{ label: { patch: [32, 32, 32], probabilities: { 0: 1 } } }"));
        assert!(!warns("{ uniform: { patch: [32, 32, 32] } }"));
    }

    #[test]
    fn plan_yaml_states_the_median_spacing_of_the_training_subjects() {
        let text = TEXT.replace("preprocess: [", "preprocess: [{ resample: { spacing_mm: median } }, ");
        let plan = check(&document(&text), &here(None), None).unwrap();
        assert!(plan.to_yaml().contains("median:"), "{}", plan.to_yaml());
        let reparsed = check(&document(&plan.to_yaml()), &here(None), None).unwrap();
        assert_eq!(reparsed.to_yaml(), plan.to_yaml());
    }

    #[test]
    fn a_patch_larger_than_a_volume_is_a_problem() {
        let text = TEXT.replace("[32, 32, 32]", "[32, 32, 48]");
        let problems = check(&document(&text), &here(None), None).unwrap_err();
        let location = problems.0[0].location.clone().unwrap();
        assert_eq!(&location.source.text[location.span], "48");
    }

    #[test]
    fn too_little_memory_is_a_problem() {
        let problems = check(&document(TEXT), &here(Some(12_000_000)), None).unwrap_err();
        assert!(problems.0[0].message.contains("too little memory"), "{problems}");
    }
}
