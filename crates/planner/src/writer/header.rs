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
            Kind::Cascade => "in 3-D at the planned resolution, guided by predictions at a lower resolution",
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
        if self.kind == Kind::Cascade {
            self.write_previous(text);
        }
        text.blank();
    }

    /// Writes the previous stage of a cascade.
    fn write_previous(&self, text: &mut Writer) {
        let first = Kind::LowResolution.name();
        text.comment(
            2,
            format!(
                "previous_stage {first}: its predicted label maps are further input channels, one for each label. Train a run of                  {first}.yaml for every fold first: `runner run {first}.yaml --set data.split.fold.index=0`, then 1, 2, 3 and 4.                  Each subject is then predicted by the run that was not trained on it, and new images by all of them."
            ),
        );
        text.line("  previous:");
        text.line(format!("    runs: runs/{}_{first}", self.data.name));
        text.comment(
            4,
            "The errors of the first stage are imitated: ApplyRandomBinaryOperatorTransform and              RemoveRandomConnectedComponentFromOneHotEncodingTransform.",
        );
        text.line("    augment:");
        text.line("      - random_morphology: { probability: 0.4, label_probability: 0.5, radius: [1, 8] }");
        text.line("      - remove_component: { probability: 0.2, label_probability: 0.5, max_fraction: 0.15 }");
    }
}
