//! The section `preprocess`: crop, normalization, resampling.

use super::yaml::{Writer, list};
use super::{AXES, Context, Kind};
use crate::normalization::Normalization;
use crate::spacing::THIN_SLICE_PERCENTILE;
use values::format_number;

/// The settings of `z_normalize` that nnU-Net always has.
const Z_SCORE: &str = "ddof: 0, per_channel: true, min_std: 1.0e-8";

impl Context<'_> {
    pub(super) fn write_preprocess(&self, text: &mut Writer) {
        text.comment(0, "Crop, normalization, then resampling: the order of nnU-Net.");
        text.line("preprocess:");
        let kept = 100.0 * self.fingerprint.median_relative_size_after_cropping;
        text.comment(
            2,
            format!("Removes the margin of zeros; {} % of the median volume remains.", format_number(kept)),
        );
        text.line("  - crop_to_nonzero: {}");
        // The mask of z-scores is that of the voxels that are 0 before another step changes them.
        let schemes = [
            Normalization::ZScore,
            Normalization::Ct,
            Normalization::RescaleTo01,
            Normalization::RgbTo01,
            Normalization::None,
        ];
        for scheme in schemes {
            let channels: Vec<usize> = self.channels_with(scheme);
            if !channels.is_empty() {
                self.write_normalization(text, scheme, &channels);
            }
        }
        self.write_resampling(text);
        text.blank();
    }

    fn channels_with(&self, scheme: Normalization) -> Vec<usize> {
        let schemes = self.plan.normalization.iter().enumerate();
        schemes.filter(|(_, of_channel)| **of_channel == scheme).map(|(channel, _)| channel).collect()
    }

    fn write_normalization(&self, text: &mut Writer, scheme: Normalization, channels: &[usize]) {
        let is_all = channels.len() == self.plan.normalization.len();
        let which = if is_all { String::new() } else { format!(", channels: {}", list(channels)) };
        let names = channels.iter().map(|channel| self.data.channel_name(*channel)).collect::<Vec<_>>().join(", ");
        let class = scheme.class();
        match scheme {
            Normalization::Ct => {
                text.comment(
                    2,
                    format!(
                        "{class} of {names}: clips at the percentiles 0.5 and 99.5 of the labelled voxels of all subjects, \
                         subtracts their mean and divides by their standard deviation. Without `statistics`, these are \
                         computed from the training subjects of the split alone."
                    ),
                );
                text.line("  - foreground_normalize:");
                text.line("      percentiles: [0.5, 99.5]");
                if !is_all {
                    text.line(format!("      channels: {}", list(channels)));
                }
                text.line("      statistics:");
                for channel in channels {
                    let numbers = self.fingerprint.channels[*channel];
                    text.line(format!(
                        "        - {{ low: {}, high: {}, mean: {}, std: {} }}",
                        float(numbers.percentile_00_5),
                        float(numbers.percentile_99_5),
                        float(numbers.mean),
                        float(numbers.std.max(1e-8)),
                    ));
                }
            }
            Normalization::ZScore if self.plan.uses_mask[channels[0]] => {
                text.comment(
                    2,
                    format!(
                        "{class} of {names}, over the voxels that are not 0 only, since the crop leaves less than three \
                         quarters of the median volume: the background stays 0."
                    ),
                );
                text.line(format!(
                    "  - z_normalize: {{ {Z_SCORE}, mask: {{ nonzero: {{}} }}, outside: unchanged{which} }}"
                ));
            }
            Normalization::ZScore => {
                text.comment(
                    2,
                    format!(
                        "{class} of {names}: subtracts the mean of each volume and divides by its standard deviation."
                    ),
                );
                text.line(format!("  - z_normalize: {{ {Z_SCORE}{which} }}"));
            }
            Normalization::RescaleTo01 => {
                text.comment(2, format!("{class} of {names}: the range of each volume becomes 0 to 1."));
                for channel in channels {
                    text.line(format!("  - rescale_intensity: {{ to: [0, 1], channels: [{channel}] }}"));
                }
            }
            Normalization::RgbTo01 => {
                text.comment(2, format!("{class} of {names}: divides by 255."));
                text.line(format!("  - rescale_intensity: {{ from: [0, 255], to: [0, 1]{which} }}"));
            }
            Normalization::None => text.comment(2, format!("{class}: {names} keeps its intensities.")),
        }
    }

    fn write_resampling(&self, text: &mut Writer) {
        let target = &self.plan.target;
        let spacing = self.configuration.spacing_mm;
        let why = match (self.kind, target.anisotropic_axis) {
            (Kind::LowResolution, _) => format!(
                "Voxels grow from the planned resolution, the finest axes first, until a patch covers a quarter of the median \
                 volume, which then has {} voxels.",
                self.median_voxels()
            ),
            (_, Some(axis)) => format!(
                "The median spacing of the subjects, but along {} the percentile {THIN_SLICE_PERCENTILE} of the thicknesses: \
                 the median slice is more than three times as thick as its pixels, and resampling thin slices to thick ones \
                 would lose much. The median volume then has {} voxels.",
                AXES[self.data.orientation.axis(axis)],
                self.median_voxels()
            ),
            (_, None) => format!(
                "The median spacing of the subjects; the median volume then has {} voxels.",
                self.median_voxels()
            ),
        };
        text.comment(2, format!("{why} {}", self.spacing_range()));
        if self.is_2d() {
            let axis = AXES[self.slice_axis];
            text.comment(2, format!("Slices are perpendicular to {axis} and keep their distance (null)."));
        }
        let values = spacing.map(|mm| mm.map_or_else(|| "null".to_owned(), float));
        text.line(format!(
            "  - resample: {{ spacing_mm: {}, interpolation: cubic, convention: nnunet }}",
            list(values)
        ));
    }

    /// Formats the median shape, such as `36 x 50 x 35`.
    pub(super) fn median_voxels(&self) -> String {
        self.configuration.median_shape.map(format_number).join(" x ")
    }

    /// Describes from which spacings volumes are resampled.
    fn spacing_range(&self) -> String {
        let extreme = |choose: fn(f64, f64) -> f64, start: f64| {
            let fold = |axis: usize| {
                let along = self.fingerprint.subjects.iter().map(|subject| subject.spacing_mm[axis]);
                along.fold(start, choose)
            };
            self.data.orientation.oriented(std::array::from_fn(fold))
        };
        let (low, high) = (extreme(f64::min, f64::INFINITY), extreme(f64::max, f64::NEG_INFINITY));
        if low == high {
            return "All subjects have the same spacing.".to_owned();
        }
        let [low, high] = [low, high].map(|mm| mm.map(format_number).join(" x "));
        format!("The subjects have from {low} to {high} mm.")
    }
}

/// Formats a number so that it is read back as the same one.
pub(super) fn float(value: f64) -> String {
    let text = format!("{value:?}");
    // `1e20` and `1.0` are numbers in YAML as well.
    text
}
