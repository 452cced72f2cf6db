//! The sections from `optimizer` to `checkpoint`.

use super::yaml::{Writer, list};
use super::{AXES, Context};
use crate::preset::MIN_BATCH;
use values::format_number;

impl Context<'_> {
    pub(super) fn write_training(&self, text: &mut Writer) {
        text.line("optimizer:");
        text.line("  sgd: { learning_rate: 1.0e-2, momentum: 0.99, nesterov: true, weight_decay: 3.0e-5 }");
        text.line("schedule:");
        text.comment(2, "PolyLRScheduler, which is updated once per epoch.");
        text.line("  polynomial: { power: 0.9, update: epoch }");
        text.line("train:");
        text.comment(2, "nnU-Net's 1,000 epochs of 250 steps, for every dataset.");
        text.line("  epochs: 1000");
        text.line("  iterations_per_epoch: 250");
        text.comment(2, self.reason_for_batch());
        text.line(format!("  batch_size: {}", self.configuration.batch.size));
        text.line("  clip_gradient_norm: 12");
        text.line("validate:");
        text.line("  patches: false");
        text.comment(
            2,
            "num_val_iterations_per_epoch 50; nnU-Net chooses its best epoch by the moving average of the pseudo-Dice.",
        );
        text.line("  pseudo_dice: { batches: 50 }");
        text.line("  volumes: { every_epochs: 1000 }");
        text.line("inference:");
        text.comment(
            2,
            "tile_step_size 0.5: windows of the size of a patch that overlap by half, with Gaussian weights; mirrored along \
             the axes of the augmentation.",
        );
        text.line("  convention: nnunet");
        text.comment(2, "Logits, not probabilities, are resampled to the voxels of the file.");
        text.line("  average: logits");
        text.line("  overlap: 0.5");
        text.line("  blend: gaussian");
        text.line(format!("  mirror: {}", list(self.patch_axes().into_iter().map(|axis| AXES[axis]))));
        text.line("checkpoint: { monitor: pseudo_dice_ema }");
    }

    fn reason_for_batch(&self) -> String {
        let batch = self.configuration.batch;
        format!(
            "{} patches per step: the smaller of {}, which fit into the memory, and {}, which are {} % of the voxels of the \
             dataset; but at least {MIN_BATCH}.",
            batch.size,
            batch.fits,
            batch.of_dataset,
            format_number(100.0 * self.plan.preset.max_batch_fraction()),
        )
    }
}
