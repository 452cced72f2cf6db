//! The sections `sampler`, `queue`, `model` and `loss`.

use super::yaml::{Writer, list, lists};
use super::{Context, Kind};
use crate::preset::Encoder;
use values::format_number;

impl Context<'_> {
    pub(super) fn write_network(&self, text: &mut Writer) {
        self.write_sampler(text);
        self.write_model(text);
        self.write_loss(text);
    }

    fn write_sampler(&self, text: &mut Writer) {
        let configuration = &self.configuration;
        text.line("sampler:");
        text.comment(2, self.reason_for_patch());
        text.comment(
            2,
            "A third of each batch is centred on labelled voxels (oversample_foreground_percent); patches may extend past the \
             volume, which is padded with 0.",
        );
        text.line(format!(
            "  foreground_oversample: {{ patch: {}, share: 0.33, border: pad }}",
            list(configuration.patch)
        ));
        text.line("queue: { workers: 4 }");
        text.blank();
    }

    fn reason_for_patch(&self) -> String {
        let configuration = &self.configuration;
        let millimetres =
            |axis: usize| configuration.spacing_mm[axis].map(|mm| format_number(mm * configuration.patch[axis] as f64));
        let size = (0..3).filter_map(millimetres).collect::<Vec<_>>().join(" x ");
        let covered = format_number(100.0 * configuration.covered());
        let what = if self.is_2d() { "slice" } else { "volume" };
        let limit =
            if configuration.patch.iter().zip(configuration.first_patch).all(|(size, first)| *size as f64 >= first) {
                format!("as large as the median {what}, rounded up to what the network halves evenly")
            } else {
                format!("the largest that fits into {} GB in the proportions of the median {what}", self.plan.memory_gb)
            };
        format!("The patch: {size} mm, {covered} % of the median {what}; {limit}.")
    }

    fn write_model(&self, text: &mut Writer) {
        let configuration = &self.configuration;
        let encoder = self.plan.preset.encoder();
        text.line("model:");
        text.line("  unet:");
        let (what, max) = match encoder {
            Encoder::Plain => ("A plain U-Net", if self.is_2d() { 512 } else { 320 }),
            Encoder::Residual => ("A U-Net with a residual encoder", if self.is_2d() { 512 } else { 320 }),
        };
        text.comment(
            4,
            format!(
                "{what} of {} levels: the patch is halved until its feature maps have 4 to 7 voxels. Each level has twice as \
                 many features as the one before, from 32 to at most {max}.",
                configuration.widths.len()
            ),
        );
        text.line(format!("    widths: {}", list(&configuration.widths)));
        text.comment(
            4,
            "Convolutions extend over an axis (3 voxels instead of 1) once its voxels are less than twice as large as the \
             smallest ones.",
        );
        text.line(format!("    kernel_sizes: {}", lists(&configuration.kernels)));
        text.comment(
            4,
            "An axis is halved (2) where its voxels are less than twice as large as the smallest ones and it has at least 8.",
        );
        text.line(format!("    strides: {}", lists(&configuration.strides)));
        match encoder {
            Encoder::Plain => text.comment(4, "Two convolutions per level."),
            Encoder::Residual => {
                text.comment(4, "Residual blocks of the encoder, and one convolution per level of the decoder.");
                text.line("    encoder: residual");
            }
        }
        text.line(format!("    convs_per_level: {}", list(&configuration.encoder_blocks)));
        text.line(format!("    decoder_convs_per_level: {}", list(&configuration.decoder_convs)));
        for line in [
            "norm: instance",
            "activation: leaky_relu",
            "downsample: strided_conv",
            "upsample: transposed_conv",
            "deep_supervision: true",
            "initialization: he",
        ] {
            text.line(format!("    {line}"));
        }
    }

    fn write_loss(&self, text: &mut Writer) {
        let reason = match self.kind {
            Kind::Slices => "batch_dice is true in 2-D: Dice is summed over the slices of a batch.",
            Kind::FullResolution | Kind::Cascade if self.configuration.batch_dice => {
                "batch_dice is true, since a low resolution is planned too: patches cover little of a volume, and many lack a \
                 structure."
            }
            Kind::FullResolution | Kind::Cascade => "batch_dice is false, since patches cover much of a volume.",
            Kind::LowResolution => "batch_dice is false at the low resolution.",
        };
        let batch = self.configuration.batch_dice;
        text.line("loss:");
        text.comment(2, reason);
        if self.data.has_regions {
            text.comment(2, "Regions overlap, so each has a sigmoid.");
            text.line(format!("  dice_binary_cross_entropy: {{ batch: {batch} }}"));
        } else {
            text.line(format!("  dice_cross_entropy: {{ batch: {batch}, background: false }}"));
        }
    }
}
