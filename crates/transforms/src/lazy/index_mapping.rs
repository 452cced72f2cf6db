//! Index mappings: from outgoing voxels to source voxels, for a whole chain.

use std::ops::Range;
use std::sync::Arc;

use super::fixed_point::{grid_bounds, grid_sample_bounds, nearest_index};
use super::line::Line;
use super::warp::{ElasticStep, Warp};
use crate::{Convention, GridMapping, Map};
use volume::Affine;

/// The source voxels of a grid: the spatial steps of a chain, composed into one map.
///
/// An outgoing voxel takes the label of the source voxel nearest to its mapped centre, or the label that
/// [`Convention::GridSample`] interpolates if a step of the chain does, if the centre is inside every grid that the chain
/// passed through; otherwise its label is 0.
#[derive(Clone, Debug)]
pub struct IndexMapping {
    /// Voxels of the outgoing grid along x, y and z.
    pub shape: [usize; 3],
    /// Voxels of the source along x, y and z.
    pub source_shape: [usize; 3],
    /// From outgoing voxel indices, or the points after the last displacement, to source voxel indices.
    pub map: Affine,
    /// Intermediate grids, each of which must contain the mapped point: the map to its indices, from the same points as
    /// `map`, and its shape.
    pub intermediate_grids: Vec<(Affine, [usize; 3])>,
    /// Elastic displacements before `map`, in the order in which they apply to an outgoing voxel.
    pub displacements: Vec<ElasticStep>,
    /// The whole mapping, if there are displacements.
    pub(super) warp: Warp,
    /// The convention of the interpolation.
    pub(super) convention: Convention,
}

impl IndexMapping {
    /// Returns the mapping of a chain that moves nothing.
    pub fn identity(shape: [usize; 3]) -> Self {
        let (map, warp) = (Affine::IDENTITY, Warp::default());
        let (intermediate_grids, displacements) = (Vec::new(), Vec::new());
        let convention = Convention::Itk;
        Self { shape, source_shape: shape, map, intermediate_grids, displacements, warp, convention }
    }

    /// Returns the mapping of one affine map, from voxel indices of the outgoing grid to those of the source.
    pub fn affine(map: Affine, shape: [usize; 3], source_shape: [usize; 3]) -> Self {
        Self { shape, map, ..Self::identity(source_shape) }
    }

    /// Appends a step to the chain; its incoming grid is the outgoing one so far.
    pub fn append_step(&mut self, step: &GridMapping) {
        self.append(&step.map, step.grid.shape);
        if step.convention == Convention::GridSample {
            self.convention = Convention::GridSample;
        }
    }

    /// Appends a map to the chain: its outgoing grid has this shape, its incoming grid is the outgoing one so far.
    pub fn append(&mut self, step: &Map, shape: [usize; 3]) {
        self.prepend_map(step, shape);
        if !self.displacements.is_empty() {
            let source = (self.map, self.source_shape);
            self.warp = Warp::new(&self.displacements, self.intermediate_grids.iter().chain([&source]));
        }
    }

    /// Adds a step at the outgoing end of the mapping.
    fn prepend_map(&mut self, step: &Map, shape: [usize; 3]) {
        let incoming = self.shape;
        self.shape = shape;
        let affine = match step {
            Map::Lattice(lattice) => lattice.affine(),
            Map::Warp(map) => *map,
            Map::Elastic(field) => {
                self.pass_grid(&Affine::IDENTITY, incoming);
                let (map, intermediate_grids) = (Affine::IDENTITY, Vec::new());
                let step = ElasticStep { map, intermediate_grids, field: Arc::clone(field) };
                return self.displacements.insert(0, step);
            }
        };
        self.pass_grid(&affine, incoming);
        let map = self.displacements.first_mut().map_or(&mut self.map, |step| &mut step.map);
        *map = map.after(&affine);
    }

    /// Composes the intermediate grids with a map into `grid`, which becomes one of them unless it is the source itself.
    fn pass_grid(&mut self, map: &Affine, grid: [usize; 3]) {
        let is_source = self.displacements.is_empty() && self.map == Affine::IDENTITY && grid == self.source_shape;
        let first = self.displacements.first_mut();
        let grids = first.map_or(&mut self.intermediate_grids, |step| &mut step.intermediate_grids);
        grids.iter_mut().for_each(|(to_grid, _)| *to_grid = to_grid.after(map));
        if !is_source {
            grids.push((*map, grid));
        }
    }

    /// Returns the source voxel of an outgoing voxel, or `None` where it is outside.
    pub fn source(&self, voxel: [usize; 3]) -> Option<[usize; 3]> {
        let point = if self.displacements.is_empty() {
            let (inside, line) = self.row_inside(voxel[0], voxel[1], voxel[2]..voxel[2] + 1);
            (!inside.is_empty()).then(|| line.at(voxel[2]))
        } else {
            self.warp.source(voxel)
        };
        Some(point?.map(|coordinate| nearest_index(coordinate) as usize))
    }

    /// Returns which voxels of a row along z are inside, counted from the first of `along`, and the row's source points.
    /// Only for mappings without displacements.
    #[inline(always)]
    pub(super) fn row_inside(&self, x: usize, y: usize, along: Range<usize>) -> (Range<usize>, Line) {
        self.row_within(grid_bounds(self.source_shape), x, y, along)
    }

    /// Returns which voxels of a row along z depend on voxels of the source, with the row's source points, as
    /// [`row_inside`](Self::row_inside).
    #[inline(always)]
    pub(super) fn row_sampled(&self, x: usize, y: usize, along: Range<usize>) -> (Range<usize>, Line) {
        let bounds = match self.convention {
            Convention::Itk => grid_bounds(self.source_shape),
            Convention::GridSample => grid_sample_bounds(self.source_shape),
        };
        self.row_within(bounds, x, y, along)
    }

    #[inline(always)]
    fn row_within(
        &self,
        source_bounds: ([i64; 3], [i64; 3]),
        x: usize,
        y: usize,
        along: Range<usize>,
    ) -> (Range<usize>, Line) {
        let mut inside = 0..along.len();
        let intermediate = self.intermediate_grids.iter().map(|(map, shape)| (map, grid_bounds(*shape)));
        let mut line = Line::from_parts([0; 3], [0; 3]);
        for (map, (low, high)) in intermediate.chain([(&self.map, source_bounds)]) {
            line = Line::new(map, x as f64, y as f64);
            let within = line.range_within(low, high, along.start, along.len());
            inside = inside.start.max(within.start)..inside.end.min(within.end);
        }
        (if inside.start < inside.end { inside } else { 0..0 }, line)
    }

    /// Returns the region of the source that interpolation of a block of outgoing voxels may read: its first voxel and
    /// its shape.
    pub(super) fn source_region(&self, start: [usize; 3], shape: [usize; 3]) -> ([usize; 3], [usize; 3]) {
        let mut low = start.map(|index| index as f64);
        let mut high: [f64; 3] = std::array::from_fn(|axis| (start[axis] + shape[axis] - 1) as f64);
        for step in &self.displacements {
            (low, high) = step.map.map_box(low, high);
            for (axis, distance) in step.field.max_displacement().into_iter().enumerate() {
                low[axis] -= distance;
                high[axis] += distance;
            }
        }
        (low, high) = self.map.map_box(low, high);
        let size = self.source_shape;
        let first: [usize; 3] =
            std::array::from_fn(|axis| (low[axis].floor() - 1.0).clamp(0.0, size[axis] as f64 - 1.0) as usize);
        let end: [usize; 3] = std::array::from_fn(|axis| {
            (high[axis].ceil() + 2.0).clamp(first[axis] as f64 + 1.0, size[axis] as f64) as usize
        });
        (first, std::array::from_fn(|axis| end[axis] - first[axis]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::fixed_point::{HALF, fixed};
    use crate::lazy::warp::SourceRow;
    use crate::{ElasticDisplacement, Lattice};
    use random::{Purpose, Seed};
    use volume::Grid;

    const SHAPE: [usize; 3] = [20, 24, 30];

    /// Two displacements with affine maps between them and before the source.
    fn elastic_mapping() -> IndexMapping {
        let mut rng = Seed(1).stream(Purpose::Augment, 0, "", 0);
        let mut field = |points: [usize; 3]| {
            let count = points.iter().product();
            let values: Vec<[f64; 3]> = (0..count).map(|_| std::array::from_fn(|_| 3.0 * (rng.unit() - 0.5))).collect();
            let grid = Grid { shape: SHAPE, affine: Affine::IDENTITY };
            Map::Elastic(Arc::new(ElasticDisplacement::new(points, &values, &grid)))
        };
        let affine = Affine([[0.9, 0.2, -0.1, 0.6], [-0.2, 1.1, 0.05, 1.3], [0.1, 0.03, 0.95, -0.4]]);
        let mut mapping = IndexMapping::identity(SHAPE);
        for map in
            [Map::Warp(affine), field([7, 5, 6]), Map::Warp(affine), Map::Lattice(Lattice::IDENTITY), field([4, 9, 5])]
        {
            mapping.append(&map, SHAPE);
        }
        mapping
    }

    #[test]
    fn a_row_has_the_bits_of_its_voxels_one_by_one() {
        let mapping = elastic_mapping();
        let mut num_inside = 0;
        for length in [1, 7, 8, 13, 30] {
            let (mut row, mut each) = (SourceRow::new(length), SourceRow::new(length));
            for (x, y) in (0..SHAPE[0]).flat_map(|x| (0..SHAPE[1]).map(move |y| (x, y))) {
                let z = SHAPE[2] - length;
                row.compute(&mapping.warp, [x, y, z]);
                each.compute_one_by_one(&mapping.warp, [x, y, z]);
                for index in 0..length {
                    let alone = mapping.warp.source([x, y, z + index]);
                    assert_eq!((row.source(index), each.source(index)), (alone, alone), "{x} {y} {index}");
                    num_inside += usize::from(alone.is_some());
                }
            }
        }
        assert!(num_inside > 5000, "{num_inside}");
    }

    #[test]
    fn points_are_those_of_the_maps_in_double_precision() {
        let mapping = elastic_mapping();
        let mut compared = 0;
        for x in 0..SHAPE[0] {
            for z in 0..SHAPE[2] {
                let voxel = [x, 11, z];
                let mut point = voxel.map(|index| index as f64);
                for step in &mapping.displacements {
                    point = step.map.apply(point);
                    let displacement = step.field.at(point);
                    point = std::array::from_fn(|axis| point[axis] + displacement[axis]);
                }
                let expected = mapping.map.apply(point);
                if let Some(source) = mapping.warp.source(voxel) {
                    for axis in 0..3 {
                        let off = (source[axis] - fixed(expected[axis])).abs();
                        assert!(off < HALF / 100_000, "{voxel:?} {axis}: {off}");
                    }
                    compared += 1;
                }
            }
        }
        assert!(compared > 200, "{compared}");
    }
}
