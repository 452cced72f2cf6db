//! Writes a plan as experiments: nnU-Net's whole recipe, with a comment for every number that says where it comes from.

mod augmentation;
mod header;
mod network;
mod preprocessing;
mod training;
mod yaml;

use crate::fingerprint::DatasetFingerprint;
use crate::orientation::Orientation;
use crate::plan::{Configuration, DatasetPlan};

/// A configuration of nnU-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Full resolution in 3-D.
    FullResolution,
    /// Slices.
    Slices,
    /// Lower resolution in 3-D, the first stage of a cascade.
    LowResolution,
    /// Full resolution in 3-D with the predictions at the lower resolution as input, the second stage of a cascade.
    Cascade,
}

impl Kind {
    /// Returns the name in nnU-Net, which is also that of the experiment's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullResolution => "3d_fullres",
            Self::Slices => "2d",
            Self::LowResolution => "3d_lowres",
            Self::Cascade => "3d_cascade_fullres",
        }
    }
}

/// What experiments say about their data.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSection {
    /// The name of the dataset, with which those of the experiments begin.
    pub name: String,
    /// The keys of `data` except `orientation` and `split`, as YAML without indentation.
    pub source: String,
    /// The value of `split`, as YAML on one line, and why.
    pub split: (String, String),
    /// The names of the channels.
    pub channel_names: Vec<String>,
    /// If true, regions are trained, with sigmoids, instead of labels.
    pub has_regions: bool,
    /// How volumes are oriented.
    pub orientation: Orientation,
}

impl DataSection {
    /// Returns the name of a channel.
    pub(crate) fn channel_name(&self, channel: usize) -> String {
        self.channel_names.get(channel).cloned().unwrap_or_else(|| format!("channel {channel}"))
    }
}

/// An experiment to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentFile {
    /// The name of the file, such as `3d_fullres.yaml`.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// What the sections of an experiment are written from.
struct Context<'a> {
    kind: Kind,
    data: &'a DataSection,
    fingerprint: &'a DatasetFingerprint,
    plan: &'a DatasetPlan,
    /// The configuration, with the axes of the experiment.
    configuration: Configuration,
    /// The axis perpendicular to slices, in the experiment.
    slice_axis: usize,
}

/// The names of the axes.
const AXES: [&str; 3] = ["x", "y", "z"];

/// Returns the configurations of a plan: full resolution, slices, and if it is planned lower resolution, which is followed by a
/// cascade.
pub fn configurations(plan: &DatasetPlan) -> Vec<(Kind, &Configuration)> {
    let configurations = [
        (Kind::FullResolution, plan.full.as_ref()),
        (Kind::Slices, Some(&plan.slices)),
        (Kind::LowResolution, plan.low.as_ref()),
        (Kind::Cascade, plan.low.as_ref().and(plan.full.as_ref())),
    ];
    configurations.into_iter().filter_map(|(kind, planned)| Some((kind, planned?))).collect()
}

/// Returns the experiments of the configurations of a plan.
pub fn experiments(data: &DataSection, fingerprint: &DatasetFingerprint, plan: &DatasetPlan) -> Vec<ExperimentFile> {
    configurations(plan)
        .into_iter()
        .map(|(kind, planned)| {
            let configuration = data.orientation.applied_to(planned);
            let slice_axis = data.orientation.axis(plan.axes.slice_axis());
            let context = Context { kind, data, fingerprint, plan, configuration, slice_axis };
            ExperimentFile { name: format!("{}.yaml", kind.name()), text: context.text() }
        })
        .collect()
}

impl Context<'_> {
    fn text(&self) -> String {
        let mut text = yaml::Writer::default();
        self.write_header(&mut text);
        self.write_data(&mut text);
        self.write_preprocess(&mut text);
        self.write_augmentation(&mut text);
        self.write_network(&mut text);
        self.write_training(&mut text);
        text.finish()
    }

    fn is_2d(&self) -> bool {
        self.kind == Kind::Slices
    }

    /// Returns the axes along which patches have more than one voxel in this configuration, by their indices.
    fn patch_axes(&self) -> Vec<usize> {
        (0..3).filter(|axis| !(self.is_2d() && *axis == self.slice_axis)).collect()
    }

    /// Returns how volumes are augmented within slices only, if they are: nnU-Net does so for patches whose longest edge is
    /// more than three times the number of slices, and in 2-D.
    fn in_plane(&self) -> bool {
        let patch = self.configuration.patch;
        let longest = patch.iter().max().copied().unwrap_or(1) as f64;
        self.is_2d() || longest / patch[self.slice_axis] as f64 > crate::spacing::ANISOTROPY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelIntensities, DatasetFacts, Preset};

    /// Returns the text of the experiment of one kind for three subjects of one grid, with these channels.
    fn text(
        kind: Kind,
        spacing: [f64; 3],
        shape: [usize; 3],
        orientation: &str,
        channels: &[&str],
        kept: f64,
    ) -> String {
        let mut fingerprint = DatasetFingerprint::of_grids(&[(spacing, shape); 3]);
        fingerprint.subjects.iter_mut().for_each(|subject| subject.orientation = orientation.to_owned());
        fingerprint.median_relative_size_after_cropping = kept;
        let statistics = ChannelIntensities {
            mean: 40.0,
            std: 20.5,
            min: -9.0,
            percentile_00_5: -5.0,
            median: 41.0,
            percentile_99_5: 99.0,
            max: 120.0,
        };
        fingerprint.channels = vec![statistics; channels.len()];
        let channel_names: Vec<String> = channels.iter().map(|name| (*name).to_owned()).collect();
        let facts = DatasetFacts { channel_names: channel_names.clone(), label_entries: 2, num_training: 100 };
        let plan = DatasetPlan::new(&fingerprint, &facts, Preset::Nnunet, 8.0).unwrap();
        let data = DataSection {
            name: "made".to_owned(),
            source: "source:\n  msd:\n    root: made".to_owned(),
            split: ("{ first: 2 }".to_owned(), "Two.".to_owned()),
            channel_names,
            has_regions: false,
            orientation: Orientation::of(&fingerprint),
        };
        let files = experiments(&data, &fingerprint, &plan);
        files.into_iter().find(|file| file.name == format!("{}.yaml", kind.name())).unwrap().text
    }

    fn assert_has(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|written| written.trim() == *line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn few_slices_are_augmented_in_their_plane() {
        let text = text(Kind::FullResolution, [1.5, 1.5, 10.0], [256, 216, 10], "LPS", &["MR"], 1.0);
        assert_has(
            &text,
            &[
                "patch: [256, 224, 10]",
                "degrees: [-180, 180]",
                "in_plane: z",
                "- maybe: { probability: 0.25, steps: [{ low_resolution: { scale: [0.5, 1], channel_probability: 0.5, axes: [0, 1] } }] }",
                "- flip: { probabilities: [0.5, 0.5, 0.5] }",
                "mirror: [x, y, z]",
            ],
        );
    }

    #[test]
    fn slices_are_perpendicular_to_the_coarsest_axis_in_the_orientation_of_the_experiment() {
        let grid = ([4.0, 0.5, 0.5], [20, 512, 384]);
        let stored = text(Kind::Slices, grid.0, grid.1, "RAS", &["MR"], 1.0);
        assert_has(
            &stored,
            &[
                "- resample: { spacing_mm: [null, 0.5, 0.5], interpolation: cubic, convention: nnunet }",
                "patch: [1, 512, 384]",
                "in_plane: x",
                "degrees: [-180, 180]",
                "- flip: { probabilities: [0, 0.5, 0.5] }",
                "mirror: [y, z]",
            ],
        );
        // The first axis of the files runs from front to back; in RAS it is the second.
        let turned = text(Kind::Slices, grid.0, grid.1, "PRS", &["MR"], 1.0);
        assert_has(&turned, &["patch: [512, 1, 384]", "in_plane: y", "mirror: [x, z]", "orientation: reorient"]);
    }

    #[test]
    fn long_slices_are_rotated_little() {
        let text = text(Kind::Slices, [1.0; 3], [64, 512, 100], "RAS", &["MR"], 1.0);
        assert_has(&text, &["degrees: [-15, 15]", "patch: [64, 512, 1]"]);
    }

    #[test]
    fn every_channel_has_its_normalization_and_masked_ones_come_first() {
        let channels = ["CT", "T1", "noNorm", "rescale_to_0_1", "FLAIR", "rgb_to_0_1"];
        let text = text(Kind::FullResolution, [1.0; 3], [64; 3], "RAS", &channels, 0.5);
        assert_has(
            &text,
            &[
                "- z_normalize: { ddof: 0, per_channel: true, min_std: 1.0e-8, mask: { nonzero: {} }, \
                 outside: unchanged, channels: [1, 4] }",
                "- { low: -5.0, high: 99.0, mean: 40.0, std: 20.5 }",
                "channels: [0]",
                "- rescale_intensity: { to: [0, 1], channels: [3] }",
                "- rescale_intensity: { from: [0, 255], to: [0, 1], channels: [5] }",
                "- mask_background: { channels: [1, 4] }",
            ],
        );
        let kept = |kept: f64| self::text(Kind::FullResolution, [1.0; 3], [64; 3], "RAS", &["T1", "FLAIR"], kept);
        assert!(kept(0.5).contains("- mask_background: {}") && !kept(0.9).contains("mask_background"));
        assert!(text.find("z_normalize") < text.find("foreground_normalize"));
    }

    #[test]
    fn a_cascade_is_the_full_resolution_with_the_lower_one_as_input() {
        let text = |kind| text(kind, [0.7, 0.7, 5.0], [512, 512, 90], "RAS", &["CT"], 1.0);
        let cascade = text(Kind::Cascade);
        assert_has(
            &cascade,
            &[
                "name: made_3d_cascade_fullres",
                "runs: runs/made_3d_lowres",
                "- random_morphology: { probability: 0.4, label_probability: 0.5, radius: [1, 8] }",
                "- remove_component: { probability: 0.2, label_probability: 0.5, max_fraction: 0.15 }",
            ],
        );
        let after_data = |text: &str| text[text.find("preprocess:").unwrap()..].to_owned();
        assert_eq!(after_data(&cascade), after_data(&text(Kind::FullResolution)));
    }

    #[test]
    fn comments_fit_into_a_line() {
        let text = text(Kind::Cascade, [0.7, 0.7, 5.0], [512, 512, 90], "RAS", &["CT"], 1.0);
        let comments = text.lines().filter(|line| line.trim_start().starts_with('#'));
        assert!(comments.into_iter().all(|line| line.chars().count() <= 120), "{text}");
    }
}
