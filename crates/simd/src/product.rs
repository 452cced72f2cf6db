//! Products of matrices in panels of 32 columns.

use pulp::Simd;

/// Columns of a matrix that are stored together.
pub const PANEL: usize = 32;

/// Registers of a panel that are accumulated together.
const REGISTERS: usize = 2;

/// Segments whose products are summed before they are added to the total, so that rounding errors grow with the square
/// root of their depth instead of that of all segments.
const SUM_SEGMENTS: usize = 2;

/// One row of a panel.
pub type Panel = [f32; PANEL];

/// Consecutive values of rows of a left matrix, which are multiplied by as many rows of the right one.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// The index of the first value, relative to the start of the row.
    pub offset: usize,
    /// The number of values.
    pub depth: usize,
}

/// Rows inside a slice.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The slice.
    pub values: &'a [f32],
    /// The index of the first value of each row.
    pub starts: &'a [usize],
}

/// Rows of a panel inside a slice to which results are written.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// The slice.
    pub values: &'a mut [f32],
    /// The index of the first value of each row.
    pub starts: &'a [usize],
    /// What is added to the results.
    pub addend: Addend<'a>,
}

/// What is added to the rows of a result.
#[derive(Clone, Copy, Debug)]
pub enum Addend<'a> {
    /// The values that the rows have.
    Values,
    /// The same row of a panel.
    Row(&'a Panel),
}

impl RowsMut<'_> {
    /// Returns whether rows may be computed twice.
    #[inline(always)]
    fn is_repeatable(&self) -> bool {
        matches!(self.addend, Addend::Row(_))
    }

    /// Checks that rows of a panel are inside the slice.
    fn check(&self) {
        let last = self.starts.iter().max().map_or(0, |start| start + PANEL);
        assert!(last <= self.values.len(), "the rows of the result are inside the slice");
    }
}

/// Multiplies rows by a panel, whose rows follow each other in the order of the segments; at least the first `columns`
/// columns of the result are computed.
///
/// # Panics
/// If values are outside their slices, or the numbers of rows differ.
#[inline(always)]
pub fn multiply<S: Simd>(
    simd: S,
    left: Rows<'_>,
    segments: &[Segment],
    right: &[Panel],
    columns: usize,
    mut out: RowsMut<'_>,
) {
    let end = segments.iter().map(|segment| segment.offset + segment.depth).max().unwrap_or(0);
    let last = left.starts.iter().max().map_or(0, |start| start + end);
    assert!(last <= left.values.len(), "the rows are inside the slice");
    assert!(segments.iter().map(|segment| segment.depth).sum::<usize>() <= right.len(), "each value has a row");
    assert_eq!(left.starts.len(), out.starts.len(), "there are as many results as rows");
    assert!(columns <= PANEL, "there are at most {PANEL} columns");
    out.check();
    let rows = left.starts.len();
    for first in (0..columns.div_ceil(S::F32_LANES)).step_by(REGISTERS) {
        let mut row = 0;
        while row < rows {
            // The last rows may be computed twice, unless they are added to themselves.
            let least = |count: usize| if out.is_repeatable() && rows >= count { count / 2 + 1 } else { count };
            let rest = rows - row;
            // SAFETY: the assertions hold for all rows and segments, and registers of a panel are below its length.
            row = unsafe {
                if S::F32_LANES == 16 && rest >= least(8) {
                    multiply_rows::<S, 8>(simd, left, segments, right, [row.min(rows - 8), first], &mut out)
                } else if rest >= least(4) {
                    multiply_rows::<S, 4>(simd, left, segments, right, [row.min(rows - 4), first], &mut out)
                } else {
                    multiply_rows::<S, 1>(simd, left, segments, right, [row, first], &mut out)
                }
            };
        }
    }
}

/// Multiplies `N` rows from `row` on by the register `first` of the panel and the next one; returns the next row.
///
/// # Safety
/// There are as many rows; all their segments, and the rows of the result, are inside their slices; the depths of the
/// segments add up to at most the rows of the panel, and the registers are inside it.
#[inline(always)]
unsafe fn multiply_rows<S: Simd, const N: usize>(
    simd: S,
    left: Rows<'_>,
    segments: &[Segment],
    right: &[Panel],
    [row, first]: [usize; 2],
    out: &mut RowsMut<'_>,
) -> usize {
    // SAFETY: the caller's promises.
    unsafe {
        let starts: [*const f32; N] =
            std::array::from_fn(|index| left.values.as_ptr().add(*left.starts.get_unchecked(row + index)));
        let mut panel = right.as_ptr().cast::<S::f32s>().add(first);
        let mut totals = [[simd.splat_f32s(0.0); REGISTERS]; N];
        for segments in segments.chunks(SUM_SEGMENTS) {
            let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; N];
            for segment in segments {
                let rows = starts.map(|start| start.add(segment.offset));
                for index in 0..segment.depth {
                    add_product(simd, rows.map(|row| *row.add(index)), panel, &mut sums);
                    panel = panel.add(PANEL / S::F32_LANES);
                }
            }
            for (totals, sums) in totals.iter_mut().zip(sums) {
                totals.iter_mut().zip(sums).for_each(|(total, sum)| *total = simd.add_f32s(*total, sum));
            }
        }
        write_rows(simd, totals, [row, first], out);
    }
    row + N
}

/// Multiplies the transpose of rows, of which as many values from `offset` on are used as there are rows of the result,
/// by a panel; at least the first `columns` columns of the result are computed.
///
/// # Panics
/// If values are outside their slices, or the panel has fewer rows.
#[inline(always)]
pub fn multiply_transposed<S: Simd>(
    simd: S,
    left: Rows<'_>,
    offset: usize,
    right: &[Panel],
    columns: usize,
    mut out: RowsMut<'_>,
) {
    let rows = out.starts.len();
    let last = left.starts.iter().max().map_or(0, |start| start + offset + rows);
    assert!(last <= left.values.len(), "the rows are inside the slice");
    assert!(left.starts.len() <= right.len(), "each row has a row of the panel");
    assert!(columns <= PANEL, "there are at most {PANEL} columns");
    out.check();
    for first in (0..columns.div_ceil(S::F32_LANES)).step_by(REGISTERS) {
        let mut row = 0;
        // SAFETY: the assertions hold for all rows, and registers of a panel are below its length.
        unsafe {
            while S::F32_LANES == 16 && row + 8 <= rows {
                multiply_columns::<S, 8>(simd, left, offset, right, [row, first], &mut out);
                row += 8;
            }
            while row + 4 <= rows {
                multiply_columns::<S, 4>(simd, left, offset, right, [row, first], &mut out);
                row += 4;
            }
            while row < rows {
                multiply_columns::<S, 1>(simd, left, offset, right, [row, first], &mut out);
                row += 1;
            }
        }
    }
}

/// Multiplies `N` columns from `column` on by the register `first` of the panel and the next one.
///
/// # Safety
/// The values from `offset + column` on of all rows, and the rows of the result, are inside their slices; the panel has
/// as many rows, and the registers are inside it.
#[inline(always)]
unsafe fn multiply_columns<S: Simd, const N: usize>(
    simd: S,
    left: Rows<'_>,
    offset: usize,
    right: &[Panel],
    [column, first]: [usize; 2],
    out: &mut RowsMut<'_>,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let values = left.values.as_ptr().add(offset + column);
        let mut panel = right.as_ptr().cast::<S::f32s>().add(first);
        let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; N];
        for start in left.starts {
            let row = values.add(*start);
            add_product(simd, std::array::from_fn(|index| *row.add(index)), panel, &mut sums);
            panel = panel.add(PANEL / S::F32_LANES);
        }
        write_rows(simd, sums, [column, first], out);
    }
}

/// Adds the products of some values and registers of a panel.
///
/// # Safety
/// The registers may be read; they need not be aligned.
#[inline(always)]
unsafe fn add_product<S: Simd, const N: usize>(
    simd: S,
    values: [f32; N],
    panel: *const S::f32s,
    sums: &mut [[S::f32s; REGISTERS]; N],
) {
    // SAFETY: the caller's promise.
    let panel: [S::f32s; REGISTERS] = std::array::from_fn(|register| unsafe { panel.add(register).read_unaligned() });
    for (sums, value) in sums.iter_mut().zip(values) {
        let value = simd.splat_f32s(value);
        for register in 0..REGISTERS {
            sums[register] = simd.mul_add_e_f32s(value, panel[register], sums[register]);
        }
    }
}

/// Writes rows of a result from `row` on, starting with the register `first`.
///
/// # Safety
/// The rows are inside the slice, and the registers inside a panel.
#[inline(always)]
unsafe fn write_rows<S: Simd, const N: usize>(
    simd: S,
    sums: [[S::f32s; REGISTERS]; N],
    [row, first]: [usize; 2],
    out: &mut RowsMut<'_>,
) {
    for (index, sums) in sums.into_iter().enumerate() {
        // SAFETY: the caller's promises.
        unsafe {
            let start = *out.starts.get_unchecked(row + index);
            let values = out.values.as_mut_ptr().add(start).cast::<S::f32s>().add(first);
            let addend = match out.addend {
                Addend::Values => values.cast_const(),
                Addend::Row(row) => row.as_ptr().cast::<S::f32s>().add(first),
            };
            for (register, sum) in sums.into_iter().enumerate() {
                let addend = addend.add(register).read_unaligned();
                values.add(register).write_unaligned(simd.add_f32s(addend, sum));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, Simd, WithSimd};

    use super::*;

    /// Returns small whole numbers, whose sums of products are exact.
    fn values(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|index| (index * step % 17) as f32 - 8.0).collect()
    }

    struct Multiply<'a> {
        left: Rows<'a>,
        segments: &'a [Segment],
        right: &'a [Panel],
        columns: usize,
        out: RowsMut<'a>,
    }

    impl WithSimd for Multiply<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            multiply(simd, self.left, self.segments, self.right, self.columns, self.out);
        }
    }

    struct MultiplyTransposed<'a> {
        left: Rows<'a>,
        offset: usize,
        right: &'a [Panel],
        columns: usize,
        out: RowsMut<'a>,
    }

    impl WithSimd for MultiplyTransposed<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            multiply_transposed(simd, self.left, self.offset, self.right, self.columns, self.out);
        }
    }

    #[test]
    fn products_are_sums_over_segments() {
        let (segments, right) =
            ([Segment { offset: 3, depth: 5 }, Segment { offset: 40, depth: 2 }], values(7 * PANEL, 5));
        let right = right.as_chunks::<PANEL>().0;
        for (rows, columns) in [(1, 32), (3, 1), (4, 17), (5, 32), (7, 16), (8, 32), (13, 20), (23, 32)] {
            let left = values(400, 3);
            let starts: Vec<usize> = (0..rows).map(|row| row * 14 % 350).collect();
            let out_starts: Vec<usize> = (0..rows).rev().map(|row| row * (PANEL + 1)).collect();
            let bias: Panel = std::array::from_fn(|column| column as f32);
            for addend in [Addend::Values, Addend::Row(&bias)] {
                let before = values(rows * (PANEL + 1), 7);
                let mut after = before.clone();
                let out = RowsMut { values: &mut after, starts: &out_starts, addend };
                let left = Rows { values: &left, starts: &starts };
                Arch::new().dispatch(Multiply { left, segments: &segments, right, columns, out });
                for row in 0..rows {
                    for column in 0..columns {
                        let at = out_starts[row] + column;
                        let added = if let Addend::Row(bias) = addend { bias[column] } else { before[at] };
                        let terms = (3..8).chain(40..42).zip(right);
                        let sum: f32 = terms.map(|(k, right)| left.values[starts[row] + k] * right[column]).sum();
                        assert_eq!(after[at], added + sum, "{rows} rows, {columns} columns: {row}, {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn transposed_products_are_sums_over_rows() {
        let (depth, offset) = (6, 2);
        let (left, right) = (values(600, 3), values(depth * PANEL, 5));
        let (right, starts) = (right.as_chunks::<PANEL>().0, [0, 90, 10, 300, 301, 500]);
        for (rows, columns) in [(1, 32), (3, 2), (4, 17), (9, 32), (32, 32), (13, 16)] {
            let out_starts: Vec<usize> = (0..rows).map(|row| row * PANEL).collect();
            let before = values(rows * PANEL, 7);
            let mut after = before.clone();
            let out = RowsMut { values: &mut after, starts: &out_starts, addend: Addend::Values };
            let left = Rows { values: &left, starts: &starts };
            Arch::new().dispatch(MultiplyTransposed { left, offset, right, columns, out });
            for (row, start) in out_starts.iter().enumerate() {
                for column in 0..columns {
                    let terms = starts.iter().zip(right);
                    let sum: f32 = terms.map(|(k, right)| left.values[k + offset + row] * right[column]).sum();
                    assert_eq!(after[start + column], before[start + column] + sum, "{rows} rows: {row}, {column}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the rows are inside the slice")]
    fn rows_outside_the_slice_are_rejected() {
        let (left, right, mut out) = (vec![0.0; 10], [[0.0; PANEL]; 4], vec![0.0; PANEL]);
        let out = RowsMut { values: &mut out, starts: &[0], addend: Addend::Values };
        let left = Rows { values: &left, starts: &[7] };
        Arch::new().dispatch(Multiply {
            left,
            segments: &[Segment { offset: 0, depth: 4 }],
            right: &right,
            columns: 1,
            out,
        });
    }

    #[test]
    #[should_panic(expected = "the rows of the result are inside the slice")]
    fn results_outside_the_slice_are_rejected() {
        let (left, right, mut out) = (vec![0.0; 10], [[0.0; PANEL]; 4], vec![0.0; PANEL]);
        let out = RowsMut { values: &mut out, starts: &[1], addend: Addend::Values };
        let left = Rows { values: &left, starts: &[6] };
        Arch::new().dispatch(MultiplyTransposed { left, offset: 0, right: &right, columns: 1, out });
    }
}
