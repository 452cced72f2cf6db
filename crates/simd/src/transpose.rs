//! Transposition of matrices.

/// Rows and columns that are transposed together.
const TILE: usize = 8;

/// Transposes a matrix: `out[column * out_stride + row] = source[row * stride + column]`. Values of `out` between its
/// rows are left as they are.
///
/// # Panics
/// If a row of the source or of the result is not inside its slice.
pub fn transpose(source: &[f32], stride: usize, [rows, columns]: [usize; 2], out: &mut [f32], out_stride: usize) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * stride + columns <= source.len(), "the source has {rows} rows of {columns} values");
    assert!((columns - 1) * out_stride + rows <= out.len(), "the result has {columns} rows of {rows} values");
    #[cfg(target_arch = "x86_64")]
    if rows >= TILE && columns >= TILE && x86::by_tiles(source, stride, [rows, columns], out, out_stride).is_some() {
        return;
    }
    for row in 0..rows {
        for column in 0..columns {
            out[column * out_stride + row] = source[row * stride + column];
        }
    }
}

/// Transposes a matrix into slices, one for each column: `out[column][row] = source[row * stride + column]`.
///
/// # Panics
/// If the slices differ in length, or a row of the source is not inside its slice.
pub fn transpose_into(source: &[f32], stride: usize, out: &mut [&mut [f32]]) {
    let (rows, columns) = (out.first().map_or(0, |column| column.len()), out.len());
    if rows == 0 {
        return;
    }
    assert!((rows - 1) * stride + columns <= source.len(), "the source has {rows} rows of {columns} values");
    assert!(out.iter().all(|column| column.len() == rows), "the columns have the same length");
    #[cfg(target_arch = "x86_64")]
    if rows >= TILE && columns >= TILE && x86::into_by_tiles(source, stride, out).is_some() {
        return;
    }
    for (column, out) in out.iter_mut().enumerate() {
        out.iter_mut().zip(source[column..].iter().step_by(stride)).for_each(|(out, value)| *out = *value);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::TILE;
    use crate::registers::{load_f32x8, store_f32x8};

    crate::for_avx2! {
        /// Transposes a matrix of at least one tile. The last tiles of rows and columns overlap those before them.
        pub(super) fn by_tiles(
            source: &[f32],
            stride: usize,
            size: [usize; 2],
            out: &mut [f32],
            out_stride: usize,
        ) {
            let [rows, columns] = size;
            for row in (0..rows).step_by(TILE) {
                let row = row.min(rows - TILE);
                for column in (0..columns).step_by(TILE) {
                    let column = column.min(columns - TILE);
                    tile(&source[row * stride + column..], stride, &mut out[column * out_stride + row..], out_stride);
                }
            }
        }
    }

    crate::for_avx2! {
        /// Transposes a matrix of at least one tile into slices. The last tiles of rows and columns overlap those
        /// before them.
        pub(super) fn into_by_tiles(source: &[f32], stride: usize, out: &mut [&mut [f32]]) {
            let (rows, columns) = (out[0].len(), out.len());
            for column in (0..columns).step_by(TILE) {
                let column = column.min(columns - TILE);
                let out = &mut out[column..column + TILE];
                for row in (0..rows).step_by(TILE) {
                    let row = row.min(rows - TILE);
                    let values = transposed(load_rows(&source[row * stride + column..], stride));
                    for (values, out) in values.into_iter().zip(out.iter_mut()) {
                        let out = out[row..].first_chunk_mut().expect("a column of a tile has eight values");
                        store_f32x8(values, out);
                    }
                }
            }
        }
    }

    /// Transposes one tile.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn tile(source: &[f32], stride: usize, out: &mut [f32], out_stride: usize) {
        for (column, values) in transposed(load_rows(source, stride)).into_iter().enumerate() {
            let out = out[column * out_stride..].first_chunk_mut().expect("a column of a tile has eight values");
            store_f32x8(values, out);
        }
    }

    /// Loads the rows of one tile.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_rows(source: &[f32], stride: usize) -> [__m256; TILE] {
        [
            load(source, 0),
            load(source, stride),
            load(source, 2 * stride),
            load(source, 3 * stride),
            load(source, 4 * stride),
            load(source, 5 * stride),
            load(source, 6 * stride),
            load(source, 7 * stride),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(source: &[f32], start: usize) -> __m256 {
        load_f32x8(source[start..].first_chunk().expect("a row of a tile has eight values"))
    }

    /// Returns the columns of eight rows.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn transposed([a, b, c, d, e, f, g, h]: [__m256; TILE]) -> [__m256; TILE] {
        let (abcd, efgh) = (halves([a, b, c, d]), halves([e, f, g, h]));
        [
            _mm256_permute2f128_ps::<0x20>(abcd[0], efgh[0]),
            _mm256_permute2f128_ps::<0x20>(abcd[1], efgh[1]),
            _mm256_permute2f128_ps::<0x20>(abcd[2], efgh[2]),
            _mm256_permute2f128_ps::<0x20>(abcd[3], efgh[3]),
            _mm256_permute2f128_ps::<0x31>(abcd[0], efgh[0]),
            _mm256_permute2f128_ps::<0x31>(abcd[1], efgh[1]),
            _mm256_permute2f128_ps::<0x31>(abcd[2], efgh[2]),
            _mm256_permute2f128_ps::<0x31>(abcd[3], efgh[3]),
        ]
    }

    /// Returns columns 0 and 4, 1 and 5, 2 and 6, 3 and 7 of four rows, each pair in one register.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn halves([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
        let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0b0100_0100>(ab, cd),
            _mm256_shuffle_ps::<0b1110_1110>(ab, cd),
            _mm256_shuffle_ps::<0b0100_0100>(ab_high, cd_high),
            _mm256_shuffle_ps::<0b1110_1110>(ab_high, cd_high),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::{transpose, transpose_into};

    #[test]
    fn each_value_moves_to_its_place_and_no_other_is_written() {
        for size @ [rows, columns] in [[1, 1], [8, 8], [3, 20], [20, 3], [16, 9], [13, 27], [32, 40], [0, 4], [4, 0]] {
            let (stride, out_stride) = (columns + 2, rows + 3);
            let source: Vec<f32> = (0..rows * stride).map(|index| index as f32).collect();
            let mut out = vec![-1.0; columns * out_stride];
            transpose(&source, stride, size, &mut out, out_stride);
            for (index, value) in out.iter().enumerate() {
                let (column, row) = (index / out_stride, index % out_stride);
                let expected = if row < rows { source[row * stride + column] } else { -1.0 };
                assert_eq!(*value, expected, "{size:?} at {column}, {row}");
            }
        }
    }

    #[test]
    fn each_value_moves_to_the_slice_of_its_column() {
        for [rows, columns] in [[1, 1], [8, 8], [3, 20], [20, 3], [16, 9], [13, 27], [40, 32]] {
            let stride = columns + 2;
            let source: Vec<f32> = (0..rows * stride).map(|index| index as f32).collect();
            let mut out = vec![-1.0; columns * rows];
            transpose_into(&source, stride, &mut out.chunks_exact_mut(rows).collect::<Vec<_>>());
            for (index, value) in out.iter().enumerate() {
                let (column, row) = (index / rows, index % rows);
                assert_eq!(*value, source[row * stride + column], "{rows} rows, {columns} columns: {row}, {column}");
            }
        }
        transpose_into(&[], 4, &mut []);
    }

    #[test]
    #[should_panic(expected = "the columns have the same length")]
    fn columns_of_different_lengths_are_rejected() {
        let (mut first, mut second) = ([0.0; 2], [0.0; 1]);
        transpose_into(&[0.0; 8], 4, &mut [&mut first, &mut second]);
    }

    #[test]
    #[should_panic(expected = "the result has 9 rows of 8 values")]
    fn a_result_that_is_too_short_is_rejected() {
        transpose(&[0.0; 72], 9, [8, 9], &mut [0.0; 71], 8);
    }
}
