//! Resampling of images, one axis after the other.

use rayon::prelude::*;

use super::spline::{CubicAxis, row_coefficients};
use super::{LinearSample, Zoom};
use crate::Interpolation;
use volume::Voxels;

/// How an axis is resampled.
#[derive(Debug)]
enum Axis {
    /// Its voxels stay as they are.
    Kept,
    /// Each outgoing voxel is an incoming one.
    Nearest(Vec<usize>),
    Linear(Vec<LinearSample>),
    Cubic(CubicAxis),
}

/// Buffers of a thread.
#[derive(Default)]
struct Buffers {
    line: Vec<f64>,
    coefficients: Vec<f32>,
    plane: Vec<f32>,
}

impl Zoom {
    /// Resamples an image. Splines are clipped to the range of the channel, or of the slice where slices are resampled one by
    /// one, as by skimage.
    ///
    /// Planes along x are resampled in y and z first, then all of them along x; so at most one volume of the size in between
    /// is held besides the image and the result.
    ///
    /// # Panics
    /// When the image has another shape than the zoom.
    pub fn image(&self, image: Voxels<f32>) -> Voxels<f32> {
        assert_eq!(image.shape, self.from, "the image has the shape from which the zoom starts");
        if self.from == self.to {
            return image;
        }
        let channels = image.channels;
        let clips: Vec<Clip> = (0..channels).map(|channel| Clip::new(self, image.channel(channel))).collect();
        let [along_x, along_y, along_z] = std::array::from_fn(|axis| self.axis(axis));
        let between = if self.keeps(1) && self.keeps(2) {
            image
        } else {
            let values = self.planes(&image, [&along_y, &along_z]);
            drop(image);
            Voxels::new(channels, [self.from[0], self.to[1], self.to[2]], values)
        };
        let mut out = match (&along_x, between.shape == self.to) {
            (Axis::Kept, true) => match between.into_values() {
                Some(values) => values,
                None => unreachable!("planes were computed, since the shapes differ"),
            },
            _ => self.across_planes(&between, &along_x),
        };
        let plane = self.to[1] * self.to[2];
        out.par_chunks_exact_mut(plane).enumerate().for_each(|(index, plane)| {
            clips[index / self.to[0]].apply(index % self.to[0], plane, self.to);
        });
        Voxels::new(channels, self.to, out)
    }

    fn axis(&self, axis: usize) -> Axis {
        if self.keeps(axis) {
            return Axis::Kept;
        }
        match self.interpolation {
            _ if self.separate_axis == Some(axis) => Axis::Nearest(self.nearest(axis)),
            Interpolation::Nearest => Axis::Nearest(self.nearest(axis)),
            Interpolation::Linear => Axis::Linear(self.linear(axis)),
            Interpolation::Cubic => {
                Axis::Cubic(CubicAxis::new((0..self.to[axis]).map(|index| self.point(axis, index))))
            }
        }
    }

    /// Resamples each plane along x in y and z.
    fn planes(&self, image: &[f32], [along_y, along_z]: [&Axis; 2]) -> Vec<f32> {
        let ([_, from_y, from_z], [_, to_y, to_z]) = (self.from, self.to);
        let planes = image.len() / (from_y * from_z);
        let mut out = vec![0.0; planes * to_y * to_z];
        let both = image.par_chunks_exact(from_y * from_z).zip(out.par_chunks_exact_mut(to_y * to_z));
        both.for_each_init(Buffers::default, |buffers, (plane, out)| {
            let Buffers { line, coefficients, plane: rows } = buffers;
            rows.resize(from_y * to_z, 0.0);
            for (row, out) in plane.chunks_exact(from_z).zip(rows.chunks_exact_mut(to_z)) {
                along_z.line(row, line, out);
            }
            let out_rows: Vec<&mut [f32]> = out.chunks_exact_mut(to_z).collect();
            along_y.rows(&rows.chunks_exact(to_z).collect::<Vec<_>>(), coefficients, out_rows);
        });
        out
    }

    /// Resamples along x.
    fn across_planes(&self, image: &Voxels<f32>, along_x: &Axis) -> Vec<f32> {
        let [to_x, to_y, to_z] = self.to;
        let mut out = vec![0.0; image.channels * to_x * to_y * to_z];
        for (channel, out) in out.chunks_exact_mut(to_x * to_y * to_z).enumerate() {
            let image = image.channel(channel);
            // The rows at each y, of all planes.
            let mut columns: Vec<Vec<&mut [f32]>> = (0..to_y).map(|_| Vec::with_capacity(to_x)).collect();
            for plane in out.chunks_exact_mut(to_y * to_z) {
                columns.iter_mut().zip(plane.chunks_exact_mut(to_z)).for_each(|(column, row)| column.push(row));
            }
            columns.into_par_iter().enumerate().for_each_init(Vec::new, |coefficients, (y, out)| {
                let rows: Vec<&[f32]> = (0..self.from[0]).map(|x| &image[(x * to_y + y) * to_z..][..to_z]).collect();
                along_x.rows(&rows, coefficients, out);
            });
        }
        out
    }
}

impl Axis {
    /// Resamples a line.
    fn line(&self, values: &[f32], buffer: &mut Vec<f64>, out: &mut [f32]) {
        match self {
            Self::Kept => out.copy_from_slice(values),
            Self::Nearest(sources) => out.iter_mut().zip(sources).for_each(|(out, source)| *out = values[*source]),
            Self::Linear(samples) => {
                for (out, LinearSample { low, high, weight }) in out.iter_mut().zip(samples) {
                    *out = between(values[*low], values[*high], *weight as f32);
                }
            }
            Self::Cubic(axis) => axis.line(values, buffer, out),
        }
    }

    /// Resamples across rows.
    fn rows(&self, rows: &[&[f32]], coefficients: &mut Vec<f32>, mut out: Vec<&mut [f32]>) {
        match self {
            Self::Kept => out.iter_mut().zip(rows).for_each(|(out, row)| out.copy_from_slice(row)),
            Self::Nearest(sources) => {
                out.iter_mut().zip(sources).for_each(|(out, source)| out.copy_from_slice(rows[*source]));
            }
            Self::Linear(samples) => {
                for (out, LinearSample { low, high, weight }) in out.iter_mut().zip(samples) {
                    for ((out, low), high) in out.iter_mut().zip(rows[*low]).zip(rows[*high]) {
                        *out = between(*low, *high, *weight as f32);
                    }
                }
            }
            Self::Cubic(axis) => {
                let width = rows[0].len();
                row_coefficients(rows.iter().copied(), width, coefficients);
                axis.rows(coefficients, &mut out);
            }
        }
    }
}

fn between(low: f32, high: f32, weight: f32) -> f32 {
    low * (1.0 - weight) + high * weight
}

/// The range to which an image is clipped: of each slice along an axis, or of all.
struct Clip {
    axis: Option<usize>,
    /// The smallest and the largest value of each outgoing slice, or of all.
    ranges: Vec<[f32; 2]>,
}

const EMPTY: [f32; 2] = [f32::INFINITY, f32::NEG_INFINITY];

fn widen(range: &mut [f32; 2], values: &[f32]) {
    for value in values {
        *range = [range[0].min(*value), range[1].max(*value)];
    }
}

impl Clip {
    /// Measures a channel `[x, y, z]`.
    fn new(zoom: &Zoom, image: &[f32]) -> Self {
        if zoom.interpolation != Interpolation::Cubic {
            return Self { axis: None, ranges: vec![[f32::NEG_INFINITY, f32::INFINITY]] };
        }
        let [_, size_y, size_z] = zoom.from;
        let slices = zoom.separate_axis.map_or(1, |axis| zoom.from[axis]);
        let of_plane = |(x, plane): (usize, &[f32])| {
            let mut ranges = vec![EMPTY; slices];
            match zoom.separate_axis {
                None => widen(&mut ranges[0], plane),
                Some(0) => widen(&mut ranges[x], plane),
                Some(1) => plane.chunks_exact(size_z).zip(&mut ranges).for_each(|(row, range)| widen(range, row)),
                Some(_) => {
                    for row in plane.chunks_exact(size_z) {
                        row.iter()
                            .zip(&mut ranges)
                            .for_each(|(value, range)| widen(range, std::slice::from_ref(value)));
                    }
                }
            }
            ranges
        };
        let merge = |mut a: Vec<[f32; 2]>, b: Vec<[f32; 2]>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = [a[0].min(b[0]), a[1].max(b[1])]);
            a
        };
        let planes = image.par_chunks_exact(size_y * size_z).enumerate().map(of_plane);
        let ranges = planes.reduce(|| vec![EMPTY; slices], merge);
        match zoom.separate_axis {
            None => Self { axis: None, ranges },
            Some(axis) => {
                let ranges = zoom.nearest(axis).into_iter().map(|slice| ranges[slice]).collect();
                Self { axis: Some(axis), ranges }
            }
        }
    }

    /// Clips the plane at `x` of a volume of shape `to`.
    fn apply(&self, x: usize, plane: &mut [f32], to: [usize; 3]) {
        let clip = |value: &mut f32, [low, high]: [f32; 2]| *value = value.max(low).min(high);
        match self.axis {
            None => plane.iter_mut().for_each(|value| clip(value, self.ranges[0])),
            Some(0) => plane.iter_mut().for_each(|value| clip(value, self.ranges[x])),
            Some(1) => {
                for (row, range) in plane.chunks_exact_mut(to[2]).zip(&self.ranges) {
                    row.iter_mut().for_each(|value| clip(value, *range));
                }
            }
            Some(_) => {
                for row in plane.chunks_exact_mut(to[2]) {
                    row.iter_mut().zip(&self.ranges).for_each(|(value, range)| clip(value, *range));
                }
            }
        }
    }
}
