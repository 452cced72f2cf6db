//! Label maps after a chain, without the image that they belong to.

use super::chain::unroll;
use super::error::PipelineError;
use super::extrapolate::extrapolate;
use super::index_mapping::IndexMapping;
use super::resample::{self, LabelSource};
use super::stage::compile;
use super::view::{insert, inside};
use crate::{Transform, TransformParams};
use volume::{Grid, Label, Volume, Voxels, buffer_pool};

/// A second label map of a volume after a chain, computed on demand: it moves with the volume, by the interpolation of
/// labels, and keeps its label values, also where the chain changes those of the volume's own label map.
#[derive(Debug)]
pub struct LabelView {
    /// The labels, or the block of them that the chain reads.
    source: Voxels<Label>,
    /// First voxel of that block.
    first: [usize; 3],
    /// The mapping from voxels after the chain to those of the labels.
    mapping: IndexMapping,
    grid: Grid,
}

impl LabelView {
    /// Returns a view of the label map of a volume on `grid` through `chain` with the parameters of the volume.
    ///
    /// # Panics
    /// When the label map has another shape than the grid.
    pub fn new(mut labels: Voxels<Label>, grid: Grid, chain: &[Transform], params: &[TransformParams]) -> Self {
        assert_eq!(labels.shape, grid.shape, "the label map is on the grid of the volume");
        let mut grid = grid;
        let mut pending = Vec::with_capacity(chain.len());
        unroll(chain, params, &mut |step, params| {
            let component = step.component();
            if !component.zooms() && component.extension().is_none() {
                if !component.relabels() {
                    pending.push((step, params));
                }
                return;
            }
            // These steps need the whole label map.
            let view = Self::through(labels.clone(), [0; 3], grid, &std::mem::take(&mut pending));
            (labels, grid) = (view.whole(), view.grid);
            if let (Some(zoom), Some(mapping)) = (component.zoom(&grid), component.map_grid(params, &grid)) {
                (labels, grid) = (zoom.forward.labels(&labels), mapping.grid);
            } else if let (Some(extension), Some(mapping)) = (component.extension(), component.map_grid(params, &grid))
            {
                let image = Voxels::new(0, grid.shape, Vec::new());
                let volume = Volume { grid, image, label: Some(labels.clone()) };
                let padded = extrapolate(&volume, &mapping, extension);
                (labels, grid) = (padded.label.expect("the volume has labels"), mapping.grid);
            }
        });
        Self::through(labels, [0; 3], grid, &pending)
    }

    /// Returns a view of the label map of a volume on `incoming`, given only the `block` of it from the voxel `first` on, which
    /// is the [`required_region`](super::required_region) of the chain. No step may resample whole volumes or pad them with
    /// their content.
    pub fn of_block(
        block: Voxels<Label>,
        first: [usize; 3],
        incoming: Grid,
        chain: &[Transform],
        params: &[TransformParams],
    ) -> Self {
        let mut steps = Vec::with_capacity(chain.len());
        unroll(chain, params, &mut |step, params| steps.push((step, params)));
        Self::through(block, first, incoming, &steps)
    }

    fn through(
        source: Voxels<Label>,
        first: [usize; 3],
        incoming: Grid,
        steps: &[(&Transform, &TransformParams)],
    ) -> Self {
        let (stages, mapping) = compile(&incoming, steps);
        let grid = stages.last().map_or(incoming, |stage| stage.grid);
        Self { source, first, mapping, grid }
    }

    /// Returns the whole label map after the chain.
    pub fn whole(&self) -> Voxels<Label> {
        Voxels::new(1, self.grid.shape, self.window([0; 3], self.grid.shape))
    }

    fn window(&self, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
        let source =
            LabelSource { labels: &self.source, start: self.first, shape: self.source.shape, empty: None, outside: 0 };
        resample::labels(source, &self.mapping, start, shape)
    }

    /// Computes a window `[x, y, z]` of the label map after the chain, which may extend past the volume; voxels outside have
    /// label 0.
    ///
    /// # Errors
    /// When the window does not fit into memory.
    pub fn padded_window(&self, start: [isize; 3], shape: [usize; 3]) -> Result<Vec<Label>, PipelineError> {
        let (first, size) = inside(self.grid.shape, start, shape);
        if size == shape {
            return Ok(self.window(first, shape));
        }
        super::evaluator::require_memory("padding", 1, shape)?;
        let mut out = buffer_pool::acquire(shape.iter().product());
        out.fill(0);
        if !size.contains(&0) {
            let at = std::array::from_fn(|axis| (first[axis] as isize - start[axis]) as usize);
            let values = self.window(first, size);
            insert(&values, size, &mut out, shape, at);
            buffer_pool::release(values);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::{View, fixed_params, required_region};
    use crate::{Incoming, sample_params};
    use random::{Purpose, Seed};
    use volume::Affine;

    const SHAPE: [usize; 3] = [12, 9, 10];

    fn volume() -> Volume {
        let grid = Grid { shape: SHAPE, affine: Affine::scale_and_shift([1.0, 1.5, 2.0], [3.0, -4.0, 5.0]) };
        let values = |modulus: usize| (0..grid.num_voxels()).map(move |index| index * 7 / 5 % modulus);
        let image = Voxels::new(1, SHAPE, values(11).map(|value| value as f32 + 1.0).collect());
        Volume { grid, image, label: Some(Voxels::new(1, SHAPE, values(4).map(|value| value as Label).collect())) }
    }

    fn chain(text: &str) -> Vec<Transform> {
        serde_json::from_value(serde_yaml::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_second_label_map_moves_with_the_volume() {
        for text in [
            "[]",
            "[{ crop: { start: [1, 0, 2] } }, { z_normalize: {} }]",
            "[{ pad: { at_least: [14, 12, null], fill: reflect } }, { affine: { degrees: [-30, 30] } }]",
            "[{ z_normalize: {} }, { resample: { spacing_mm: [2, 2, 2], convention: nnunet } }, { flip: { probabilities: [1, 0, 1] } }]",
            "[{ affine: { degrees: [-20, 20] } }, { elastic_deformation: {} }, { rotate_and_scale: { degrees: [-40, 40] } }]",
        ] {
            let (chain, volume) = (chain(text), volume());
            let incoming = Incoming { grid: volume.grid, channels: 1 };
            let params = sample_params(&chain, &mut Seed(3).stream(Purpose::Augment, 0, "", 0), &incoming);
            let view = LabelView::new(volume.label.clone().unwrap(), volume.grid, &chain, &params);
            let expected = View::new(volume, &chain, &params).unwrap();
            assert_eq!(view.whole()[..], expected.volume().unwrap().label.unwrap()[..], "{text}");
            for (start, shape) in [([2, 1, 3], [3, 4, 2]), ([-2, 5, -1], [5, 9, 4]), ([40, 0, 0], [2, 2, 2])] {
                let window = expected.padded_window(start, shape).unwrap().1;
                assert_eq!(Some(view.padded_window(start, shape).unwrap()), window, "{text} {start:?}");
            }
        }
    }

    #[test]
    fn steps_that_change_labels_do_not_change_those_of_the_second_map() {
        let chain = chain("[{ remap_labels: { map: { 1: 3, 2: 0 } } }, { flip: { probabilities: [0, 0, 1] } }]");
        let volume = volume();
        let params = fixed_params(&chain, &Incoming { grid: volume.grid, channels: 1 });
        let labels = volume.label.unwrap();
        let moved = LabelView::new(labels.clone(), volume.grid, &chain, &params).whole();
        let flipped: Vec<Label> = labels.chunks_exact(SHAPE[2]).flat_map(|row| row.iter().rev().copied()).collect();
        assert_eq!(moved[..], flipped[..]);
    }

    #[test]
    fn a_block_suffices_for_a_patch() {
        let chain = chain(
            "[{ rotate_and_scale: { patch: [4, 4, 4], degrees: [-30, 30] } }, { flip: { probabilities: [0.5, 0.5, 0.5] } }]",
        );
        let volume = volume();
        let incoming = Incoming { grid: volume.grid, channels: 1 };
        let params = sample_params(&chain, &mut Seed(5).stream(Purpose::Augment, 0, "", 0), &incoming);
        let labels = volume.label.clone().unwrap();
        let whole = LabelView::new(labels.clone(), volume.grid, &chain, &params);
        let (first, size) = required_region(&chain, &params, &volume.grid);
        let block = LabelView::new(labels, volume.grid, &[], &[]);
        let block = block.padded_window(first.map(|index| index as isize), size).unwrap();
        let view = LabelView::of_block(Voxels::new(1, size, block), first, volume.grid, &chain, &params);
        assert_eq!(view.whole()[..], whole.whole()[..]);
        assert_eq!(view.whole().shape, [4, 4, 4]);
    }
}
