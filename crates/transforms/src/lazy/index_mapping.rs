//! Where the label of each voxel comes from, without making the label map.

use std::ops::Range;
use std::sync::Arc;

use crate::lazy::fixed_point::{HALF, Line, bounds};
use crate::lazy::warp::WarpPath;
use crate::{ElasticDisplacement, Map};
use volume::Affine;

/// Where the voxels of a grid come from: spatial steps, composed into one map.
///
/// An outgoing voxel takes the label of the source voxel nearest to its mapped centre, provided that
/// it falls inside every grid that the steps went through; otherwise its label is 0.
#[derive(Clone, Debug)]
pub struct IndexMapping {
    /// Voxels of the outgoing grid along x, y and z.
    pub shape: [usize; 3],
    /// Voxels of the source along x, y and z.
    pub source_shape: [usize; 3],
    /// From outgoing voxel indices, or the places after the last bend, to source voxel indices.
    pub map: Affine,
    /// The grids in between: a map to their indices from where `map` begins, and their shape.
    pub intermediate_grids: Vec<(Affine, [usize; 3])>,
    /// Displacements on the way, in the order in which an outgoing voxel meets them.
    pub displacements: Vec<ElasticStep>,
    /// The whole way, where something displacements on it.
    pub(super) path: WarpPath,
}

/// A displacement on the way from an outgoing voxel to its source.
#[derive(Clone, Debug)]
pub struct ElasticStep {
    /// From outgoing voxel indices, or the places after the bend before, to those of the displaced grid.
    pub map: Affine,
    /// The grids in between: a map to their indices from where `map` begins, and their shape.
    pub intermediate_grids: Vec<(Affine, [usize; 3])>,
    /// How places of the grid move.
    pub field: Arc<ElasticDisplacement>,
}

impl IndexMapping {
    /// The mapping of a chain that moves nothing.
    pub fn identity(shape: [usize; 3]) -> Self {
        let (map, path) = (Affine::IDENTITY, WarpPath::default());
        Self { shape, source_shape: shape, map, intermediate_grids: Vec::new(), displacements: Vec::new(), path }
    }

    /// One affine map, from voxel indices of the outgoing grid to those of the source.
    pub fn affine(map: Affine, shape: [usize; 3], source_shape: [usize; 3]) -> Self {
        Self { shape, map, ..Self::identity(source_shape) }
    }

    /// Puts a step behind the others: it makes a grid of this shape, whose voxels come from the outgoing ones so far.
    pub fn extend(&mut self, step: &Map, shape: [usize; 3]) {
        self.put_behind(step, shape);
        if !self.displacements.is_empty() {
            self.path = WarpPath::new(self);
        }
    }

    fn put_behind(&mut self, step: &Map, shape: [usize; 3]) {
        let incoming = self.shape;
        self.shape = shape;
        let affine = match step {
            Map::Lattice(lattice) => lattice.affine(),
            Map::Warp(map) => *map,
            Map::Elastic(field) => {
                self.go_through(&Affine::IDENTITY, incoming);
                let (map, between) = (Affine::IDENTITY, Vec::new());
                return self
                    .displacements
                    .insert(0, ElasticStep { map, intermediate_grids: between, field: Arc::clone(field) });
            }
        };
        self.go_through(&affine, incoming);
        let map = self.displacements.first_mut().map_or(&mut self.map, |bend| &mut bend.map);
        *map = map.after(&affine);
    }

    /// A map before the first one, into a grid that is one to stay inside of, unless it is the source itself.
    fn go_through(&mut self, map: &Affine, grid: [usize; 3]) {
        let is_source = self.displacements.is_empty() && self.map == Affine::IDENTITY && grid == self.source_shape;
        let between =
            self.displacements.first_mut().map_or(&mut self.intermediate_grids, |bend| &mut bend.intermediate_grids);
        between.iter_mut().for_each(|(to_grid, _)| *to_grid = to_grid.after(map));
        if !is_source {
            between.push((*map, grid));
        }
    }

    /// The source voxel whose label an outgoing voxel takes, or `None` where it lies outside.
    pub fn source(&self, voxel: [usize; 3]) -> Option<[usize; 3]> {
        let place = if self.displacements.is_empty() {
            let (inside, line) = self.inside(voxel[0], voxel[1], voxel[2]..voxel[2] + 1);
            (!inside.is_empty()).then(|| line.at(voxel[2]))
        } else {
            self.path.source(voxel)
        };
        Some(place?.map(|place| ((place + HALF) >> 32) as usize))
    }

    /// Of a row of outgoing voxels along z those that lie inside, counted from the first of `along`, and the row's places in the source. Only
    /// where nothing displacements.
    #[inline(always)]
    pub(super) fn inside(&self, x: usize, y: usize, along: Range<usize>) -> (Range<usize>, Line) {
        let mut inside = 0..along.len();
        let own = (&self.map, self.source_shape);
        let mut line = Line::of([0; 3], [0; 3]);
        for (map, shape) in self.intermediate_grids.iter().map(|(map, shape)| (map, *shape)).chain([own]) {
            line = Line::new(map, x as f64, y as f64);
            let (low, high) = (shape.map(|size| bounds(size).0), shape.map(|size| bounds(size).1));
            let within = line.between(low, high, along.start, along.len());
            inside = inside.start.max(within.start)..inside.end.min(within.end);
        }
        (if inside.start < inside.end { inside } else { 0..0 }, line)
    }

    /// The source voxels that a block of outgoing ones may touch: the first one and how many along each axis.
    pub(super) fn touched(&self, start: [usize; 3], shape: [usize; 3]) -> ([usize; 3], [usize; 3]) {
        let mut low = start.map(|index| index as f64);
        let mut high: [f64; 3] = std::array::from_fn(|axis| (start[axis] + shape[axis] - 1) as f64);
        for bend in &self.displacements {
            (low, high) = bend.map.map_box(low, high);
            for (axis, far) in bend.field.farthest().into_iter().enumerate() {
                low[axis] -= far;
                high[axis] += far;
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

    /// The constant size, along each axis, of a box that holds every outgoing voxel with a given source; `None` where the map cannot be undone.
    ///
    /// With the returned map from source to outgoing indices, [`CandidateBoxes::start`] places the box.
    pub fn candidate_boxes(&self) -> Option<CandidateBoxes> {
        let inverse = self.map.inverse()?;
        let mut half = stretched(&inverse, [0.5; 3]);
        let (mut straight, mut loose) = (inverse, half);
        let mut displacements = Vec::with_capacity(self.displacements.len());
        for bend in self.displacements.iter().rev() {
            half = loosened(bend.field.slopes(), half)?;
            let inverse = bend.map.inverse()?;
            half = stretched(&inverse, half);
            let farthest = bend.field.farthest();
            loose = stretched(&inverse, std::array::from_fn(|axis| loose[axis] + farthest[axis]));
            straight = inverse.after(&straight);
            displacements.push((Arc::clone(&bend.field), inverse));
        }
        // Fields are undone to a thousandth of a voxel, which steep ones stretch.
        let room = if displacements.is_empty() { 1e-6 } else { 1e-2 };
        let half = half.map(|half| half + room);
        let loose = loose.map(|half| half + room);
        Some(CandidateBoxes {
            inverse,
            displacements,
            straight,
            loose,
            half,
            shape: half.map(|half| (2.0 * half).floor() as usize + 1),
        })
    }
}

/// Half the size of a box that holds the image of a box of half that size.
fn stretched(map: &Affine, half: [f64; 3]) -> [f64; 3] {
    map.linear().map(|row| row.iter().zip(half).map(|(value, half)| value.abs() * half).sum())
}

/// Half the size of a box of places that a field may take into a box: `h = half + slopes h`. `None` where the slopes
/// are so steep that the field may fold.
fn loosened(slopes: [[f64; 3]; 3], half: [f64; 3]) -> Option<[f64; 3]> {
    let mut wide = half;
    for _ in 0..MAX_ITERATIONS {
        let next: [f64; 3] =
            std::array::from_fn(|axis| half[axis] + (0..3).map(|along| slopes[axis][along] * wide[along]).sum::<f64>());
        if (0..3).all(|axis| next[axis] - wide[axis] < 1e-6) {
            return (next.iter().all(|half| *half < MAX_BOX_VOXELS)).then_some(next);
        }
        wide = next;
    }
    None
}

/// Steps after which a fixed point is given up.
const MAX_ITERATIONS: usize = 200;

/// A box with more voxels along an axis is not worth drawing from.
const MAX_BOX_VOXELS: f64 = 8.0;

/// The boxes of outgoing voxels that may come from one source voxel; all have the same shape.
#[derive(Clone, Debug)]
pub struct CandidateBoxes {
    inverse: Affine,
    /// The displacements from the source's side: a field, and the map back from its grid.
    displacements: Vec<(Arc<ElasticDisplacement>, Affine)>,
    /// From source to outgoing indices as if nothing bent, and half the size of a box that holds what displacements make of it.
    straight: Affine,
    loose: [f64; 3],
    half: [f64; 3],
    /// Voxels of each box along x, y and z.
    pub shape: [usize; 3],
}

impl CandidateBoxes {
    /// Whether nothing displacements on the way.
    pub fn is_straight(&self) -> bool {
        self.displacements.is_empty()
    }

    /// The first outgoing index of the box of `source`; the box may stick out of the grid.
    pub fn start(&self, source: [usize; 3]) -> [i64; 3] {
        let mut centre = self.inverse.apply(source.map(|index| index as f64));
        for (field, inverse) in &self.displacements {
            centre = inverse.apply(before(field, centre));
        }
        std::array::from_fn(|axis| (centre[axis] - self.half[axis]).ceil() as i64)
    }
}

impl CandidateBoxes {
    /// The first and the last outgoing index that may come from a box of source voxels, from its first to its last; a
    /// rough bound where something displacements on the way.
    pub fn of_box(&self, low: [usize; 3], high: [usize; 3]) -> ([i64; 3], [i64; 3]) {
        let (low, high) = self.straight.map_box(low.map(|index| index as f64), high.map(|index| index as f64));
        (
            std::array::from_fn(|axis| (low[axis] - self.loose[axis]).ceil() as i64),
            std::array::from_fn(|axis| (high[axis] + self.loose[axis]).floor() as i64),
        )
    }
}

/// The place that a field moves to `place`.
fn before(field: &ElasticDisplacement, place: [f64; 3]) -> [f64; 3] {
    let mut from = place;
    for _ in 0..MAX_ITERATIONS {
        let moved = field.at(from);
        let next: [f64; 3] = std::array::from_fn(|axis| place[axis] - moved[axis]);
        let is_settled = (0..3).all(|axis| (next[axis] - from[axis]).abs() < 1e-3);
        from = next;
        if is_settled {
            break;
        }
    }
    from
}
