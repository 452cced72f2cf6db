//! The section `patch_augment`: nnU-Net's augmentation, in its order.

use super::yaml::{Writer, list};
use super::{AXES, Context};

/// The ratio of the edges of a slice from which slices are rotated little.
const LONG_SLICE: f64 = 1.5;

impl Context<'_> {
    pub(super) fn write_augmentation(&self, text: &mut Writer) {
        let patch = self.configuration.patch;
        let degrees = self.max_degrees();
        text.comment(
            0,
            "Augmentation of training patches: get_training_transforms of nnU-Net, in the same order; \
             docs/nnunet_augmentation.md explains each step.",
        );
        text.line("patch_augment:");
        text.comment(2, self.reason_for_rotation(degrees));
        text.line("  - rotate_and_scale:");
        text.line(format!("      patch: {}", list(patch)));
        text.line(format!("      degrees: [-{degrees}, {degrees}]"));
        text.line("      scales: [0.7, 1.4]");
        if self.in_plane() {
            text.line(format!("      in_plane: {}", AXES[self.slice_axis]));
        }
        text.line("      rotation_probability: 0.2");
        text.line("      scale_probability: 0.2");
        let axes = if self.in_plane() { format!(", axes: {}", list(self.axes_in_plane())) } else { String::new() };
        let low_resolution = format!("low_resolution: {{ scale: [0.5, 1], channel_probability: 0.5{axes} }}");
        let gamma = "exponent: [0.7, 1.5]";
        for (probability, step) in [
            ("0.1", "noise: { std: [0, 0.1] }".to_owned()),
            ("0.2", "blur: { std_voxels: [0.5, 1], channel_probability: 0.5 }".to_owned()),
            ("0.15", "brightness: { factor: [0.75, 1.25] }".to_owned()),
            ("0.15", "contrast: { factor: [0.75, 1.25] }".to_owned()),
            ("0.25", low_resolution),
            ("0.1", format!("gamma: {{ {gamma}, invert: true, keep_mean_and_std: true }}")),
            ("0.3", format!("gamma: {{ {gamma}, keep_mean_and_std: true }}")),
        ] {
            text.line(format!("  - maybe: {{ probability: {probability}, steps: [{{ {step} }}] }}"));
        }
        let flips = [0, 1, 2].map(|axis| if self.patch_axes().contains(&axis) { "0.5" } else { "0" });
        text.line(format!("  - flip: {{ probabilities: {} }}", list(flips)));
        self.write_mask(text);
        text.blank();
    }

    /// Writes the step that masks the channels whose normalization is masked.
    fn write_mask(&self, text: &mut Writer) {
        let uses_mask = &self.plan.uses_mask;
        let masked: Vec<usize> = (0..uses_mask.len()).filter(|channel| uses_mask[*channel]).collect();
        if masked.is_empty() {
            return;
        }
        let channels =
            if masked.len() == uses_mask.len() { String::new() } else { format!(" channels: {} ", list(&masked)) };
        text.comment(
            2,
            "The background of channels that are normalized with a mask becomes 0 again: voxels outside the mask of \
             crop_to_nonzero, and outside the volume.",
        );
        text.line(format!("  - mask_background: {{{channels}}}"));
    }

    fn axes_in_plane(&self) -> Vec<usize> {
        (0..3).filter(|axis| *axis != self.slice_axis).collect()
    }

    /// Returns the largest rotation angle: of slices that are nearly square any.
    fn max_degrees(&self) -> u32 {
        match (self.is_2d(), self.in_plane()) {
            (false, false) => 30,
            (false, true) => 180,
            (true, _) => {
                let edges = self.axes_in_plane().into_iter().map(|axis| self.configuration.patch[axis] as f64);
                let (shortest, longest) =
                    edges.fold((f64::INFINITY, 1.0_f64), |(low, high), edge| (low.min(edge), high.max(edge)));
                if longest / shortest > LONG_SLICE { 15 } else { 180 }
            }
        }
    }

    fn reason_for_rotation(&self, degrees: u32) -> String {
        let patch = self.configuration.patch;
        match (self.is_2d(), self.in_plane()) {
            (true, _) if degrees == 180 => {
                "Slices are rotated by any angle, since patches are nearly square.".to_owned()
            }
            (true, _) => {
                "Slices are rotated by at most 15 degrees, since patches are more than 1.5 times as long as wide."
                    .to_owned()
            }
            (false, true) => format!(
                "Patches have only {} voxels along {}, less than a third of their longest edge, so they are rotated and scaled \
                 within slices.",
                patch[self.slice_axis], AXES[self.slice_axis]
            ),
            (false, false) => "Rotations about every axis by at most 30 degrees.".to_owned(),
        }
    }
}
