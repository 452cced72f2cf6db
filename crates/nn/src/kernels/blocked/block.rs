//! Voxels of a box of cells, with their channels side by side.

use std::ops::Range;

use super::super::slab::Maps;
use super::boxes::CellBox;
use super::product::PANEL;

/// Channels that are copied together.
const GROUP: usize = 16;

/// The voxels of a grid that belong to cells.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The grid, `[x, y, z]`.
    pub grid: [usize; 3],
    /// Voxels per cell along each axis.
    pub cell: [usize; 3],
    /// Voxels before the first cell that are needed too.
    pub before: [usize; 3],
    /// Voxels behind the last cell that are needed too.
    pub after: [usize; 3],
}

/// Voxels of a box of cells, `[panel, patch, x, y, z, channel of the panel]`.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    frame: Frame,
    cells: CellBox,
    /// The coordinates of the first voxel in the grid.
    origin: [isize; 3],
    extent: [usize; 3],
    panels: usize,
}

impl Frame {
    /// Returns the voxels of a box with a number of channels.
    pub fn block(self, cells: CellBox, channels: usize) -> Block {
        let [_, x, y] = cells.start;
        let (first, [_, count @ ..]) = ([x, y, 0], cells.count);
        let Self { cell, before, after, .. } = self;
        Block {
            frame: self,
            cells,
            origin: std::array::from_fn(|axis| (first[axis] * cell[axis]) as isize - before[axis] as isize),
            extent: std::array::from_fn(|axis| before[axis] + count[axis] * cell[axis] + after[axis]),
            panels: channels.div_ceil(PANEL),
        }
    }
}

impl Block {
    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.panels * self.panel_len()
    }

    /// Returns the number of values of a panel.
    pub fn panel_len(&self) -> usize {
        self.strides()[0] * self.cells.count[0]
    }

    /// Returns the number of panels.
    pub fn panels(&self) -> usize {
        self.panels
    }

    /// Returns the distances between patches and between neighbours along x, y and z.
    pub fn strides(&self) -> [usize; 4] {
        let [x, y, z] = self.extent;
        [x * y * z, y * z, z, 1].map(|voxels| voxels * PANEL)
    }

    /// Returns the distance between voxels that are shifted along x, y and z.
    pub fn offset(&self, shift: [usize; 3]) -> usize {
        let [_, strides @ ..] = self.strides();
        shift.iter().zip(strides).map(|(shift, stride)| shift * stride).sum()
    }

    /// Returns the index of the first value of each cell in the first panel.
    pub fn starts(&self) -> Vec<usize> {
        let ([patches, x, y, z], cell, strides) = (self.cells.count, self.frame.cell, self.strides());
        let steps = [strides[0], cell[0] * strides[1], cell[1] * strides[2], cell[2] * strides[3]];
        let mut starts = Vec::with_capacity(self.cells.len());
        for index in 0..patches * x * y {
            let start = index / (x * y) * steps[0] + index / y % x * steps[1] + index % y * steps[2];
            starts.extend((0..z).map(|z| start + z * steps[3]));
        }
        starts
    }

    /// Copies some channels of the concatenation of maps into the block; voxels outside the grid become 0.
    pub fn fill(&self, maps: &[Maps], channels: Range<usize>, out: &mut [f32]) {
        let [_, _, z] = self.extent;
        let start = self.frame.before[2] * PANEL;
        let end = start + self.frame.grid[2] * PANEL;
        let panels = out.chunks_exact_mut(self.panel_len()).take(self.panels).enumerate();
        for (panel, out) in panels {
            let first = channels.start + panel * PANEL;
            let channels = first..channels.end.min(first + PANEL);
            for (index, row) in out.chunks_exact_mut(z * PANEL).enumerate() {
                if self.row(index).is_some() {
                    row[..start].fill(0.0);
                    row[end..].fill(0.0);
                } else {
                    row.fill(0.0);
                }
            }
            // Row by row for some channels, since their volumes are far apart in memory.
            for first in channels.clone().step_by(GROUP) {
                let group = first..channels.end.min(first + GROUP);
                for (index, row) in out.chunks_exact_mut(z * PANEL).enumerate() {
                    if let Some(position) = self.row(index) {
                        self.fill_row(maps, &group, position, &mut row[start + first - channels.start..]);
                    }
                }
            }
        }
    }

    /// Copies the channels of a row of the grid.
    fn fill_row(&self, maps: &[Maps], channels: &Range<usize>, [patch, x, y]: [usize; 3], row: &mut [f32]) {
        let [_, lines, length] = self.frame.grid;
        let voxels: usize = self.frame.grid.iter().product();
        let mut before = 0;
        for map in maps {
            let [start, end] =
                [channels.start, channels.end].map(|channel| channel.clamp(before, before + map.channels));
            if start < end {
                let first = (patch * map.channels + start - before) * voxels + (x * lines + y) * length;
                let row = &mut row[start - channels.start..];
                simd::transpose(&map.values[first..], voxels, [end - start, length], row, PANEL);
            }
            before += map.channels;
        }
    }

    /// Returns patch, x and y in the grid of a row of the block; `None` outside the grid.
    fn row(&self, index: usize) -> Option<[usize; 3]> {
        let [x, y, _] = self.extent;
        let coordinate = |axis: usize, index: usize| {
            let coordinate = usize::try_from(self.origin[axis] + index as isize).ok()?;
            (coordinate < self.frame.grid[axis]).then_some(coordinate)
        };
        Some([self.cells.start[0] + index / (x * y), coordinate(0, index / y % x)?, coordinate(1, index % y)?])
    }

    /// Copies the voxels in the grid to slices of the planes of each patch, channel and x, in this order.
    pub fn read(&self, values: &[f32], channels: usize, planes: &mut [&mut [f32]]) {
        let ([x, y, z], length) = (self.extent, self.frame.grid[2]);
        let num_planes = planes.len() / (channels * self.cells.count[0]);
        // Rows without padding are copied together.
        let (num_rows, length) = if z == length { (1, y * z) } else { (y, length) };
        for (panel, values) in values.chunks_exact(self.panel_len()).take(self.panels).enumerate() {
            let in_panel = panel * PANEL..channels.min((panel + 1) * PANEL);
            for (index, values) in values.chunks_exact(y * z * PANEL).enumerate() {
                let (patch, plane) = (index / x, index % x);
                if plane >= num_planes {
                    continue;
                }
                let planes = &mut planes[patch * channels * num_planes..][..channels * num_planes];
                let planes = planes.chunks_exact_mut(num_planes).map(|planes| &mut planes[plane][..]);
                let mut planes: Vec<&mut [f32]> = planes.skip(in_panel.start).take(in_panel.len()).collect();
                for row in 0..num_rows {
                    let row_values = &values[row * z * PANEL..];
                    let mut rows: Vec<&mut [f32]> = Vec::with_capacity(PANEL);
                    for plane in &mut planes {
                        let length = length.min(plane.len());
                        let (row, rest) = std::mem::take(plane).split_at_mut(length);
                        rows.push(row);
                        *plane = rest;
                    }
                    simd::transpose_into(row_values, PANEL, &mut rows);
                }
            }
        }
    }
}
