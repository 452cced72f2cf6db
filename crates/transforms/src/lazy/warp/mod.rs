//! Warps with elastic displacements: the source point of each outgoing voxel.
//!
//! A source point is represented by two parts: the point without any displacement, in fixed point, and an offset in single
//! precision, the sum of the displacements so far under the maps that follow them. Both parts have the same bits
//! whether a voxel is computed alone, in a row, or as one of eight.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod row;

use std::sync::Arc;

use super::fixed_point::{fixed, grid_bounds, is_inside, split};
use super::line::Line;
use crate::ElasticDisplacement;
pub(super) use row::SourceRow;
use volume::Affine;

/// An affine map followed by an elastic displacement.
#[derive(Clone, Debug)]
pub struct ElasticStep {
    /// From outgoing voxel indices, or the points after the previous displacement, to those of the displaced grid.
    pub map: Affine,
    /// Intermediate grids, each of which must contain the mapped point: the map to its indices, from the same points as
    /// `map`, and its shape.
    pub intermediate_grids: Vec<(Affine, [usize; 3])>,
    /// The displacement of the points of the grid.
    pub field: Arc<ElasticDisplacement>,
}

/// The map from outgoing voxels to the source as a list of segments; the last one ends in the source.
#[derive(Clone, Debug, Default)]
pub(super) struct Warp(Vec<Segment>);

/// One segment of a warp.
#[derive(Clone, Debug)]
struct Segment {
    /// From outgoing voxels, without any displacement.
    map: Affine,
    /// The effect of the segment on the offset.
    offset_map: OffsetMap,
    target: Target,
}

/// The linear map that a segment applies to the offset.
#[derive(Clone, Copy, Debug, PartialEq)]
enum OffsetMap {
    /// There is no displacement yet, so the offset is 0.
    Zero,
    /// The offset does not change.
    Identity,
    /// A product with a matrix.
    Matrix([[f32; 3]; 3]),
}

/// The end of a segment.
#[derive(Clone, Debug)]
enum Target {
    /// A grid of this shape that the point must be inside of; the next segment starts where this one did.
    Grid([usize; 3]),
    /// The control points of a field, whose displacement is added to the offset, in voxels of the field's grid.
    Field(Arc<ElasticDisplacement>),
}

impl Segment {
    /// Returns whether the target is a grid that certainly contains the points of a whole row.
    fn contains_row(&self, line: &Line, first: usize, length: usize) -> bool {
        match (self.offset_map, &self.target) {
            (OffsetMap::Zero, Target::Grid(shape)) => {
                let (low, high) = grid_bounds(*shape);
                line.range_within(low, high, first, length) == (0..length)
            }
            _ => false,
        }
    }
}

impl OffsetMap {
    /// Returns the effect of a map on the offset.
    fn new(map: &Affine, is_first: bool) -> Self {
        match map.linear() {
            _ if is_first => Self::Zero,
            linear if linear == Affine::IDENTITY.linear() => Self::Identity,
            linear => Self::Matrix(linear.map(|row| row.map(|value| value as f32))),
        }
    }

    fn apply(self, offset: [f32; 3]) -> [f32; 3] {
        match self {
            Self::Zero | Self::Identity => offset,
            Self::Matrix(rows) => rows.map(|[a, b, c]| a * offset[0] + b * offset[1] + c * offset[2]),
        }
    }
}

impl Warp {
    /// Returns the warp through `steps`, then through `grids` in the source's direction; the last grid is the source.
    pub(super) fn new<'a>(steps: &[ElasticStep], grids: impl Iterator<Item = &'a (Affine, [usize; 3])>) -> Self {
        let mut segments = Vec::new();
        let mut affine = Affine::IDENTITY;
        for (index, step) in steps.iter().enumerate() {
            let is_first = index == 0;
            for (map, shape) in &step.intermediate_grids {
                let offset_map = OffsetMap::new(map, is_first);
                segments.push(Segment { map: map.after(&affine), offset_map, target: Target::Grid(*shape) });
            }
            affine = step.map.after(&affine);
            let (map, offset_map) = (step.field.knots().after(&affine), OffsetMap::new(&step.map, is_first));
            segments.push(Segment { map, offset_map, target: Target::Field(Arc::clone(&step.field)) });
        }
        for (map, shape) in grids {
            let offset_map = OffsetMap::new(map, false);
            segments.push(Segment { map: map.after(&affine), offset_map, target: Target::Grid(*shape) });
        }
        Self(segments)
    }

    /// Returns the source point of an outgoing voxel, or `None` where it is outside.
    pub(super) fn source(&self, [x, y, z]: [usize; 3]) -> Option<[i64; 3]> {
        source_point(self.0.iter().map(|segment| (segment, Line::new(&segment.map, x as f64, y as f64))), z)
    }
}

/// Returns the source point of a voxel of a row, through segments with the row's lines.
fn source_point<'a>(segments: impl Iterator<Item = (&'a Segment, Line)>, z: usize) -> Option<[i64; 3]> {
    let mut offset = [0.0f32; 3];
    let mut point = [0; 3];
    for (segment, line) in segments {
        let mapped = segment.offset_map.apply(offset);
        match &segment.target {
            Target::Grid(shape) => {
                point = displaced(line.at(z), mapped);
                if !is_inside(point, *shape) {
                    return None;
                }
            }
            Target::Field(field) => {
                let density = field.density();
                let knots = displaced(line.at(z), std::array::from_fn(|axis| density[axis] * mapped[axis]));
                let displacement = field.interpolate(knots.map(split));
                offset = std::array::from_fn(|axis| mapped[axis] + displacement[axis]);
            }
        }
    }
    Some(point)
}

/// Returns a point plus its offset.
fn displaced(point: [i64; 3], offset: [f32; 3]) -> [i64; 3] {
    std::array::from_fn(|axis| point[axis] + fixed(f64::from(offset[axis])))
}
