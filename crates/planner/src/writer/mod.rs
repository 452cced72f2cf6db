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
}

impl Kind {
    /// Returns the name in nnU-Net, which is also that of the experiment's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullResolution => "3d_fullres",
            Self::Slices => "2d",
            Self::LowResolution => "3d_lowres",
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

/// Returns the experiments of a plan: full resolution, slices, and lower resolution if it is planned.
pub fn experiments(data: &DataSection, fingerprint: &DatasetFingerprint, plan: &DatasetPlan) -> Vec<ExperimentFile> {
    let configurations = [
        (Kind::FullResolution, plan.full.as_ref()),
        (Kind::Slices, Some(&plan.slices)),
        (Kind::LowResolution, plan.low.as_ref()),
    ];
    let planned = configurations.into_iter().filter_map(|(kind, planned)| Some((kind, planned?)));
    planned
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
