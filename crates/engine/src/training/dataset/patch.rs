//! Makes patches: a block of an augmented volume is cut, and the patch is computed from it.

use super::PreprocessedDataset;
use super::block::Block;
use crate::preprocessing::HAS_LABELS;
use crate::preprocessing::fitted::incoming;
use dataset::patch::Patch;
use dataset::queue::{MakeError, Request};
use dataset::samplers::{LabelIndex, PatchIndex, SamplingContext};
use random::Purpose;
use transforms::lazy::{self, LabelView, Profile, View};
use transforms::{Transform, sample_params};
use volume::{Voxels, buffer_pool, offset, unravel_index};

/// What a patch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchUse {
    /// Training: augmented, and different in each epoch.
    Training {
        /// The epoch, counted from 1.
        epoch: usize,
    },
    /// Validation: not augmented, and the same each time.
    Validation,
    /// The pseudo-Dice: not augmented, and different in each epoch.
    PseudoDice {
        /// The epoch, counted from 1.
        epoch: usize,
    },
}

impl PreprocessedDataset {
    /// Samples a patch: a pure function of the seed, the use, the subject's name, and the patch's index and position in
    /// its batch.
    ///
    /// # Errors
    /// When a transform cannot be applied or no patch fits.
    pub fn patch(&self, patch_use: PatchUse, name: &str, request: Request) -> Result<Patch, MakeError> {
        let subject = self.get(name);
        let volume = subject.volume();
        let channels = volume.image.channels;
        let none: &[Transform] = &[];
        let (purpose, epoch, augment, patch_augment) = match patch_use {
            PatchUse::Training { epoch } => (Purpose::Sample, epoch as u64, &self.augment[..], &self.patch_augment[..]),
            PatchUse::Validation => (Purpose::Validate, 0, none, none),
            PatchUse::PseudoDice { epoch } => (Purpose::PseudoDice, epoch as u64, none, none),
        };
        let stream = |purpose| self.seed.stream(purpose, epoch, name, request.index as u64);
        let profile = self.profile.as_ref();
        let mut params = sample_params(augment, &mut stream(Purpose::Augment), &incoming(&volume));
        let labels = volume.label.clone().expect(HAS_LABELS);
        let runs = subject.label_runs(&labels);
        let previous = self.previous.as_ref().zip(subject.previous());
        let previous = previous.map(|(masks, map)| (masks, LabelView::new(map, volume.grid, augment, &params)));
        let view = View::new(volume, augment, &params)?;
        let view =
            view.with_border_values(&subject.border_values).with_empty_space(runs.empty_space()).with_profile(profile);
        let (index, weights) = (LabelIndex::with_runs(labels, runs.clone()), subject.sampling_weights());
        let context = SamplingContext {
            mapping: view.index_mapping(),
            labels: &index,
            weights: weights.as_ref(),
            foreground: &self.foreground,
        };
        let shape = self.sampler.patch();
        let cut = lazy::input_shape(patch_augment, shape);
        let margin = std::array::from_fn(|axis| cut[axis] - shape[axis]);
        let patch_index = self.patch_index(patch_use, request, margin);
        let start = Profile::time(profile, "sampler", || {
            self.sampler.sample_start(&context, &patch_index, &mut stream(purpose))
        })?;
        let rng = &mut stream(Purpose::PatchAugment);
        let block = Block::new((view.grid(), channels), start, (patch_augment, shape), rng);
        let values = block.values(&view, subject.background().as_ref())?;
        let weights = subject.loss_weights().map(|map| loss_weights(&map, shape, block.source(view.index_mapping())));
        drop(view);
        let (image, label) = block.patch(values, channels, profile)?;
        let previous_labels = previous.map(|(masks, view)| block.labels(&view).map(|map| (masks, map))).transpose()?;
        params.extend(block.params);
        let mut patch = Patch {
            subject: name.to_owned(),
            index: request.index,
            start,
            affine: block.incoming.affine,
            shape,
            channels,
            image,
            label: label.expect(HAS_LABELS),
            weights: weights.unwrap_or_default(),
            params,
            mask_params: Vec::new(),
        };
        if let Some((masks, labels)) = previous_labels {
            let is_training = matches!(patch_use, PatchUse::Training { .. });
            masks.append(&mut patch, labels, is_training.then(|| stream(Purpose::PreviousAugment)));
        }
        Ok(patch)
    }

    /// Returns the index of a requested patch among all patches of its subject in the run.
    fn patch_index(&self, patch_use: PatchUse, request: Request, margin: [usize; 3]) -> PatchIndex {
        let epochs_before = match patch_use {
            PatchUse::Training { epoch } => epoch - 1,
            PatchUse::Validation | PatchUse::PseudoDice { .. } => 0,
        };
        PatchIndex {
            number: (epochs_before * self.samples_per_volume + request.index) as u64,
            index_in_batch: request.index_in_batch,
            batch_size: self.batch_size,
            margin,
        }
    }
}

/// Returns the weights of the voxels of a patch of this shape: each has that of its voxel `source` in the map, or 0 without one.
fn loss_weights(map: &Voxels<f32>, shape: [usize; 3], source: impl Fn([usize; 3]) -> Option<[usize; 3]>) -> Vec<f32> {
    let mut weights = buffer_pool::acquire(shape.iter().product());
    for (index, value) in weights.iter_mut().enumerate() {
        *value = source(unravel_index(shape, index)).map_or(0.0, |voxel| map[offset(map.shape, voxel)]);
    }
    weights
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::experiment::check::{Environment, check};
    use crate::experiment::load::parse;
    use crate::preprocessing::make_phantoms;
    use dataset::cache::Cache;
    use transforms::Incoming;
    use volume::{Affine, Grid};

    const UNIFORM: &str = "sampler: { uniform: { patch: [8, 6, 4] } }";

    /// Prepares phantoms of 16 x 16 x 16 voxels, and returns the first patches of a subject in the second epoch.
    fn patches(keys: &str, patch_use: PatchUse) -> Vec<Patch> {
        patches_after("{ clamp: { min: -200, max: 250 } }", keys, patch_use)
    }

    /// Returns patches as [`patches`], with other preprocessing.
    fn patches_after(preprocess: &str, keys: &str, patch_use: PatchUse) -> Vec<Patch> {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "data: {{ source: {{ phantom: {{ subjects: 5, shape: [16, 16, 16], spacing_mm: [20, 20, 18] }} }} }}\n\
             preprocess: [{preprocess}]\nmodel: {{ unet: {{ widths: [2, 4] }} }}\n\
             loss: {{ dice: {{}} }}\noptimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\ntrain: {{ epochs: 2 }}\n\
             device: flex\n{keys}\n"
        );
        let here = Environment { cache_dir: folder.path().into(), memory_bytes: None };
        let plan = check(&parse("a.yaml", &text).unwrap(), &here, None).unwrap();
        make_phantoms(&plan.experiment.data.source, folder.path(), &mut |_, _| {}).unwrap();
        let cache = Cache::new(folder.path());
        let stop = AtomicBool::new(false);
        let dataset = PreprocessedDataset::prepare(&plan, &cache, &stop, &mut |_| {}).unwrap().unwrap();
        let request = |index| Request { subject: 0, index, index_in_batch: 1 };
        (0..6).map(|index| dataset.patch(patch_use, &plan.parts.train[0], request(index)).unwrap()).collect()
    }

    const TRAINING: PatchUse = PatchUse::Training { epoch: 2 };

    #[test]
    fn the_steps_of_patch_augment_transform_the_patch_that_was_cut() {
        let augment = "augment: [{ noise: { std: [0, 1] } }]";
        let plain = patches(&format!("{UNIFORM}\n{augment}"), TRAINING);
        let flip = "patch_augment: [{ flip: { probabilities: [1, 0, 0] } }]";
        let flipped = patches(&format!("{UNIFORM}\n{augment}\n{flip}"), TRAINING);
        for (plain, flipped) in plain.iter().zip(&flipped) {
            assert_eq!((plain.start, plain.shape), (flipped.start, [8, 6, 4]));
            let slices: Vec<f32> = plain.image.chunks_exact(24).rev().flatten().copied().collect();
            assert_eq!(slices, flipped.image);
            let slices: Vec<_> = plain.label.chunks_exact(24).rev().flatten().copied().collect();
            assert_eq!(slices, flipped.label);
            // The sampled parameters follow those of the volume.
            assert_eq!((flipped.params.len(), &flipped.params[..1]), (2, &plain.params[..]));
        }
        assert!(plain.iter().any(|patch| patch.label.iter().any(|label| *label > 0)));
    }

    #[test]
    fn statistics_are_those_of_the_patch() {
        let augment = "patch_augment: [{ z_normalize: {} }]";
        for patch in patches(&format!("sampler: {{ label: {{ patch: [8, 8, 8] }} }}\n{augment}"), TRAINING) {
            let values = || patch.image.iter().copied().map(f64::from);
            let mean = values().sum::<f64>() / 512.0;
            let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / 511.0;
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
        }
    }

    #[test]
    fn a_step_gets_the_voxels_around_the_patch_and_zeros_outside_the_volume() {
        let plain = patches(UNIFORM, TRAINING);
        // What is cut in addition is cropped again.
        let crop = "{ crop: { start: [2, 1, 0], end: [3, 1, 20] } }";
        let cropped = patches(&format!("{UNIFORM}\npatch_augment: [{crop}]"), TRAINING);
        let mut num_outside = 0;
        for (plain, cropped) in plain.iter().zip(&cropped) {
            let [x, y, z] = plain.start;
            // The margin of 5, 2 and 20 voxels is divided equally, and its odd voxel is at the end.
            assert_eq!(cropped.start, [x - 2, y - 1, z - 10]);
            for (voxel, value) in cropped.image.iter().enumerate() {
                let local = volume::unravel_index([8, 6, 4], voxel);
                // Along z the patch is ten voxels lower, so that much of it is outside.
                if z + (local[2] as isize) < 10 {
                    assert_eq!((*value, cropped.label[voxel]), (0.0, 0));
                    num_outside += 1;
                }
            }
        }
        assert!(num_outside > 100, "{num_outside}");
        let crop = "{ crop: { start: [2, 1, 10], end: [3, 1, 10] } }";
        let centred = patches(&format!("{UNIFORM}\npatch_augment: [{crop}]"), TRAINING);
        for (plain, centred) in plain.iter().zip(&centred) {
            assert_eq!((&plain.image, &plain.label), (&centred.image, &centred.label));
        }
    }

    #[test]
    fn the_weights_of_voxels_follow_the_chains_of_augmentation() {
        let map = Voxels::new(1, [4, 3, 2], (1..=24).map(|value| value as f32).collect::<Vec<_>>());
        let grid = Grid { shape: [4, 3, 2], affine: Affine::IDENTITY };
        let chain: Vec<Transform> = serde_json::from_str(r#"[{"flip": {"probabilities": [1, 0, 0]}}]"#).unwrap();
        let mut rng = random::Seed(1).stream(Purpose::Augment, 0, "", 0);
        let incoming = Incoming { grid, channels: 1 };
        let params = sample_params(&chain, &mut rng, &incoming);
        let flipped = lazy::index_mapping(&chain, &params, &grid);
        // The first plane is outside the volume. The second flip returns it to the end of the patch.
        let block = Block::new((&grid, 1), [-1, 0, 1], (&chain, [2, 3, 1]), &mut rng);
        let weights = loss_weights(&map, [2, 3, 1], block.source(&flipped));
        assert_eq!(weights, [20.0, 22.0, 24.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_background_of_patches_is_0_after_augmentation() {
        let preprocess = "{ clamp: { min: 0, max: 250 } }, { crop_to_nonzero: {} }";
        let sampler = "sampler: { foreground_oversample: { patch: [24, 16, 16], border: pad } }";
        let with = |steps: &str| patches_after(preprocess, &format!("{sampler}\npatch_augment: [{steps}]"), TRAINING);
        let noise = "{ noise: { std: 9 } }, { flip: { probabilities: [0, 1, 0] } }";
        let (plain, noisy) = (with("{ flip: { probabilities: [0, 1, 0] } }"), with(noise));
        let masked = with(&format!("{noise}, {{ mask_background: {{}} }}"));
        let (mut num_masked, mut num_outside) = (0, 0);
        for ((plain, noisy), masked) in plain.iter().zip(&noisy).zip(&masked) {
            assert!(plain.start == masked.start && plain.label == masked.label);
            for (voxel, value) in masked.image.iter().enumerate() {
                let is_masked = *value == 0.0;
                assert!(is_masked || *value == noisy.image[voxel]);
                assert!(!is_masked || (plain.image[voxel], plain.label[voxel]) == (0.0, 0), "{voxel}");
                let [x, ..] = volume::unravel_index([24, 16, 16], voxel);
                let is_outside = plain.start[0] + (x as isize) < 0;
                assert!(is_masked || !is_outside);
                num_masked += usize::from(is_masked);
                num_outside += usize::from(is_outside);
            }
        }
        assert!(num_outside > 100 && num_masked > num_outside + 1000, "{num_masked} {num_outside}");
        assert!(num_masked + 1000 < 6 * 24 * 16 * 16, "{num_masked}");
    }

    #[test]
    fn validation_patches_are_not_augmented() {
        let augment = "patch_augment: [{ noise: { std: 5 } }]";
        let plain = patches(UNIFORM, PatchUse::Validation);
        let augmented = patches(&format!("{UNIFORM}\n{augment}"), PatchUse::Validation);
        assert_eq!(plain, augmented);
        assert_ne!(plain, patches(&format!("{UNIFORM}\n{augment}"), TRAINING));
    }

    #[test]
    fn padded_patches_of_small_volumes_are_zero_outside() {
        let sampler = "sampler: { foreground_oversample: { patch: [24, 16, 8], border: pad } }";
        for patch in patches(sampler, TRAINING) {
            assert!((-4..=3).contains(&patch.start[0]), "{:?}", patch.start);
            for (voxel, value) in patch.image.iter().enumerate() {
                let local = volume::unravel_index([24, 16, 8], voxel);
                let index: [isize; 3] = std::array::from_fn(|axis| patch.start[axis] + local[axis] as isize);
                let is_inside = index.iter().all(|index| (0..16).contains(index));
                assert!(is_inside || (*value, patch.label[voxel]) == (0.0, 0));
            }
            assert!(patch.label.iter().any(|label| *label > 0));
        }
    }
}
