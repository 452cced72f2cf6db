//! The head of an experiment and its section `data`.

use super::yaml::Writer;
use super::{Context, Kind};
use crate::orientation::Orientation;

impl Context<'_> {
    pub(super) fn write_header(&self, text: &mut Writer) {
        let plan = self.plan;
        let what = match self.kind {
            Kind::FullResolution => "in 3-D at the planned resolution",
            Kind::Slices => "slice by slice",
            Kind::LowResolution => "in 3-D at a lower resolution, at which a patch sees more of a scan",
        };
        text.comment(
            0,
            format!(
                "Segments {} {what}: the configuration {} that {} of nnU-Net 2.8.1 plans for this dataset, with its whole \
                 recipe for training. `runner plan` wrote it from {} subjects with the preset {}; `runner plan … --explain` \
                 explains the choices.",
                self.data.name,
                self.kind.name(),
                plan.preset.planner(),
                self.fingerprint.subjects.len(),
                plan.preset,
            ),
        );
        text.comment(
            0,
            format!(
                "Training takes {} GB of GPU memory, by nnU-Net's estimate; {} GB were allowed.",
                self.configuration.batch.memory_text(),
                plan.memory_gb
            ),
        );
        text.line(format!("name: {}_{}", self.data.name, self.kind.name()));
        text.line("seed: 1");
        text.line("device: auto");
        text.blank();
    }

    pub(super) fn write_data(&self, text: &mut Writer) {
        text.line("data:");
        text.indented(2, &self.data.source);
        let orientation = match &self.data.orientation {
            Orientation::Reorient(order) if *order == [0, 1, 2] => {
                "All files have the same axis order (x left-right, y front-back, z feet-head), so volumes are read into RAS \
                 orientation, which only flips them. nnU-Net does not flip."
            }
            Orientation::Reorient(_) => {
                "All files have the same axis order, which is not that of RAS. Volumes are read into RAS orientation, and the \
                 numbers below are in its order: x left-right, y front-back, z feet-head."
            }
            Orientation::RequireRas => "As in the experiment that was planned for.",
            Orientation::Stored if Orientation::of(self.fingerprint) != Orientation::Stored => {
                "As in the experiment that was planned for."
            }
            Orientation::Stored => {
                "The files have different axis orders. nnU-Net uses volumes as they are stored, and so does this experiment, \
                 since the numbers below are those of the stored axes."
            }
        };
        text.comment(2, orientation);
        text.line(format!("  orientation: {}", self.data.orientation.key()));
        let (split, reason) = &self.data.split;
        text.comment(2, reason);
        text.line(format!("  split: {split}"));
        text.blank();
    }
}
