//! The way of outgoing voxels to their source where fields bend it.
//!
//! A place on it is the place to which the voxel would come if nothing bent, in fixed point, and an offset in single
//! precision: the displacements so far, as the maps since have turned them. Both are the same for a voxel alone, in a
//! row, and eight at once.

#[cfg(target_arch = "x86_64")]
mod avx2;

use std::sync::Arc;

use crate::lazy::fixed_point::{Line, bounds, fixed, is_inside, split};
use crate::lazy::index_mapping::IndexMapping;
use crate::{EIGHTS, ElasticDisplacement};
#[cfg(target_arch = "x86_64")]
use simd::has_avx2;
use volume::Affine;

/// The way from outgoing voxels to their source, segment by segment; the last one leads to the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct WarpPath(Vec<Segment>);

/// A part of the way.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// From outgoing voxels, as if nothing bent.
    pub(super) map: Affine,
    /// What the segment makes of the offset.
    pub(super) turn: Turn,
    pub(super) end: End,
}

/// What a map makes of an offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    /// There is no offset yet.
    Nothing,
    /// It stays as it is.
    Kept,
    /// A product with a matrix.
    Matrix([[f32; 3]; 3]),
}

/// Where a segment leads.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// To a grid of so many voxels, to be inside of; the way goes on from where the segment began.
    Grid([usize; 3]),
    /// To the control points of a field, whose displacement joins the offset in voxels of the field's grid.
    Field(Arc<ElasticDisplacement>),
}

impl Segment {
    /// Whether it is a grid inside of which a whole row surely stays.
    fn has_all(&self, line: &Line, first: usize, length: usize) -> bool {
        match (self.turn, &self.end) {
            (Turn::Nothing, End::Grid(shape)) => {
                let (low, high) = (shape.map(|size| bounds(size).0), shape.map(|size| bounds(size).1));
                line.between(low, high, first, length) == (0..length)
            }
            _ => false,
        }
    }
}

impl Turn {
    /// Of a map that offsets meet.
    fn new(map: &Affine, is_first: bool) -> Self {
        match map.linear() {
            _ if is_first => Self::Nothing,
            linear if linear == Affine::IDENTITY.linear() => Self::Kept,
            linear => Self::Matrix(linear.map(|row| row.map(|value| value as f32))),
        }
    }

    fn apply(self, offset: [f32; 3]) -> [f32; 3] {
        match self {
            Self::Nothing | Self::Kept => offset,
            Self::Matrix(rows) => rows.map(|[a, b, c]| a * offset[0] + b * offset[1] + c * offset[2]),
        }
    }
}

impl WarpPath {
    /// The way of an mapping on which something displacements.
    pub(super) fn new(mapping: &IndexMapping) -> Self {
        let mut segments = Vec::new();
        let mut straight = Affine::IDENTITY;
        for (index, bend) in mapping.displacements.iter().enumerate() {
            let is_first = index == 0;
            for (map, shape) in &bend.intermediate_grids {
                segments.push(Segment {
                    map: map.after(&straight),
                    turn: Turn::new(map, is_first),
                    end: End::Grid(*shape),
                });
            }
            straight = bend.map.after(&straight);
            let (map, turn) = (bend.field.knots().after(&straight), Turn::new(&bend.map, is_first));
            segments.push(Segment { map, turn, end: End::Field(Arc::clone(&bend.field)) });
        }
        for (map, shape) in mapping.intermediate_grids.iter().chain([&(mapping.map, mapping.source_shape)]) {
            segments.push(Segment { map: map.after(&straight), turn: Turn::new(map, false), end: End::Grid(*shape) });
        }
        Self(segments)
    }

    /// The place in the source of an outgoing voxel, or `None` where it lies outside.
    pub(super) fn source(&self, [x, y, z]: [usize; 3]) -> Option<[i64; 3]> {
        follow(self.0.iter().map(|segment| (segment, Line::new(&segment.map, x as f64, y as f64))), z)
    }
}

/// Along segments whose lines are those of a row.
fn follow<'a>(segments: impl Iterator<Item = (&'a Segment, Line)>, z: usize) -> Option<[i64; 3]> {
    let mut offset = [0.0f32; 3];
    let mut place = [0; 3];
    for (segment, line) in segments {
        let turned = segment.turn.apply(offset);
        match &segment.end {
            End::Grid(shape) => {
                place = moved(line.at(z), turned);
                if !is_inside(place, *shape) {
                    return None;
                }
            }
            End::Field(field) => {
                let density = field.density();
                let knots = moved(line.at(z), std::array::from_fn(|axis| density[axis] * turned[axis]));
                let by = field.between_points(knots.map(split));
                offset = std::array::from_fn(|axis| turned[axis] + by[axis]);
            }
        }
    }
    Some(place)
}

/// A place with its offset.
fn moved(place: [i64; 3], offset: [f32; 3]) -> [i64; 3] {
    std::array::from_fn(|axis| place[axis] + fixed(f64::from(offset[axis])))
}

/// Voxels of a row that share a byte that tells which of them lie inside.
pub(super) const GROUP: usize = 8;

/// The places in the source of a row of outgoing voxels along z.
pub(super) struct Row {
    length: usize,
    /// Of each group the voxels that lie inside, the first one in the lowest bit. Groups are whole, and as many as are
    /// taken at once: the last ones may reach beyond the row.
    is_inside: Vec<u8>,
    /// How far from its straight way each voxel is.
    offsets: [Vec<[f32; GROUP]>; 3],
    /// Where each voxel comes from; of those outside anything.
    sources: [Vec<[i64; GROUP]>; 3],
}

impl Row {
    /// Room for rows of so many voxels.
    pub(super) fn new(length: usize) -> Self {
        let groups = length.div_ceil(GROUP).next_multiple_of(EIGHTS);
        Self {
            length,
            is_inside: vec![0; groups],
            offsets: std::array::from_fn(|_| vec![[0.0; GROUP]; groups]),
            sources: std::array::from_fn(|_| vec![[0; GROUP]; groups]),
        }
    }

    /// Follows the row that starts at an outgoing voxel.
    pub(super) fn follow(&mut self, path: &WarpPath, [x, y, z]: [usize; 3]) {
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            self.is_inside.fill(u8::MAX);
            for segment in &path.0 {
                let line = Line::new(&segment.map, x as f64, y as f64);
                if segment.has_all(&line, z, self.length) {
                    continue;
                }
                avx2::follow(segment, &line, z, self).expect("the processor has AVX2");
            }
            return;
        }
        self.follow_each(path, [x, y, z]);
    }

    fn follow_each(&mut self, path: &WarpPath, [x, y, z]: [usize; 3]) {
        let lines: Vec<Line> = path.0.iter().map(|segment| Line::new(&segment.map, x as f64, y as f64)).collect();
        self.is_inside.fill(0);
        for index in 0..self.length {
            if let Some(place) = follow(path.0.iter().zip(lines.iter().copied()), z + index) {
                self.is_inside[index / GROUP] |= 1 << (index % GROUP);
                (0..3).for_each(|axis| self.sources[axis][index / GROUP][index % GROUP] = place[axis]);
            }
        }
    }

    /// The place of a voxel's source, where it lies inside.
    pub(super) fn source(&self, index: usize) -> Option<[i64; 3]> {
        let is_inside = self.is_inside[index / GROUP] >> (index % GROUP) & 1 == 1;
        is_inside.then(|| std::array::from_fn(|axis| self.sources[axis][index / GROUP][index % GROUP]))
    }

    /// Which voxels of a group lie inside, the first one in the lowest bit, and their places.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn group(&self, group: usize) -> (u8, [&[i64; GROUP]; 3]) {
        (self.is_inside[group], self.sources.each_ref().map(|sources| &sources[group]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lazy::fixed_point::HALF;
    use crate::{Lattice, Map};
    use random::{Purpose, Seed};
    use volume::Grid;

    const SHAPE: [usize; 3] = [20, 24, 30];

    fn mapping() -> IndexMapping {
        let mut rng = Seed(1).stream(Purpose::Augment, 0, "", 0);
        let mut field = |points: [usize; 3]| {
            let count = points.iter().product();
            let values: Vec<[f64; 3]> = (0..count).map(|_| std::array::from_fn(|_| 3.0 * (rng.unit() - 0.5))).collect();
            let grid = Grid { shape: SHAPE, affine: Affine::IDENTITY };
            Map::Elastic(Arc::new(ElasticDisplacement::new(points, &values, &grid)))
        };
        let turned = Affine([[0.9, 0.2, -0.1, 0.6], [-0.2, 1.1, 0.05, 1.3], [0.1, 0.03, 0.95, -0.4]]);
        let mut mapping = IndexMapping::identity(SHAPE);
        for map in
            [Map::Warp(turned), field([7, 5, 6]), Map::Warp(turned), Map::Lattice(Lattice::IDENTITY), field([4, 9, 5])]
        {
            mapping.extend(&map, SHAPE);
        }
        mapping
    }

    #[test]
    fn a_row_has_the_bits_of_its_voxels_one_by_one() {
        let mapping = mapping();
        let mut inside = 0;
        for length in [1, 7, 8, 13, 30] {
            let (mut row, mut each) = (Row::new(length), Row::new(length));
            for (x, y) in (0..SHAPE[0]).flat_map(|x| (0..SHAPE[1]).map(move |y| (x, y))) {
                let z = SHAPE[2] - length;
                row.follow(&mapping.path, [x, y, z]);
                each.follow_each(&mapping.path, [x, y, z]);
                for index in 0..length {
                    let alone = mapping.path.source([x, y, z + index]);
                    assert_eq!((row.source(index), each.source(index)), (alone, alone), "{x} {y} {index}");
                    inside += usize::from(alone.is_some());
                }
            }
        }
        assert!(inside > 5000, "{inside}");
    }

    #[test]
    fn places_are_those_of_the_maps_in_double_precision() {
        let mapping = mapping();
        let mut compared = 0;
        for x in 0..SHAPE[0] {
            for z in 0..SHAPE[2] {
                let voxel = [x, 11, z];
                let mut place = voxel.map(|index| index as f64);
                for bend in &mapping.displacements {
                    place = bend.map.apply(place);
                    let by = bend.field.at(place);
                    place = std::array::from_fn(|axis| place[axis] + by[axis]);
                }
                let expected = mapping.map.apply(place);
                if let Some(found) = mapping.path.source(voxel) {
                    for axis in 0..3 {
                        let off = (found[axis] - fixed(expected[axis])).abs();
                        assert!(off < HALF / 100_000, "{voxel:?} {axis}: {off}");
                    }
                    compared += 1;
                }
            }
        }
        assert!(compared > 200, "{compared}");
    }
}
