//! Linear interpolation of a row of values at increasing positions.

/// Values past those of a row that [`interpolate_row`] may read.
pub const ROW_PADDING: usize = 32;

/// Computes `row[i] + (row[i + 1] - row[i]) * weight` for each index i and its weight. Fastest if the row is longer than its
/// values by [`ROW_PADDING`], with any values there, and if the indices increase slowly.
///
/// # Panics
/// When an index is not that of a value with a next one, or the lists differ in length.
pub fn interpolate_row(row: &[f32], indices: &[u32], weights: &[f32], out: &mut [f32]) {
    fill::<false>(row, indices, weights, out);
}

/// Computes `row[i] * (1 - weight) + row[i + 1] * weight`, which may differ from [`interpolate_row`] by rounding, as the latter.
///
/// # Panics
/// As [`interpolate_row`].
pub fn mix_row(row: &[f32], indices: &[u32], weights: &[f32], out: &mut [f32]) {
    fill::<true>(row, indices, weights, out);
}

fn fill<const MIX: bool>(row: &[f32], indices: &[u32], weights: &[f32], out: &mut [f32]) {
    assert!(indices.len() == out.len() && weights.len() == out.len(), "each result has its index and its weight");
    let done = in_groups(MIX, row, indices, weights, out);
    for ((out, index), weight) in out.iter_mut().zip(indices).zip(weights).skip(done) {
        *out = interpolated(MIX, row, *index, *weight);
    }
}

#[inline(always)]
fn interpolated(mixes: bool, row: &[f32], index: u32, weight: f32) -> f32 {
    let [low, high] = [row[index as usize], row[index as usize + 1]];
    if mixes { low * (1.0 - weight) + high * weight } else { low + (high - low) * weight }
}

#[cfg(not(target_arch = "x86_64"))]
fn in_groups(_: bool, _: &[f32], _: &[u32], _: &[f32], _: &mut [f32]) -> usize {
    0
}

/// Computes the first results in groups of 16; returns their number.
#[cfg(target_arch = "x86_64")]
fn in_groups(mixes: bool, row: &[f32], indices: &[u32], weights: &[f32], out: &mut [f32]) -> usize {
    avx512::in_groups(mixes, row, indices, weights, out).unwrap_or(0)
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    const LANES: usize = 16;

    crate::for_avx512! {
        /// Computes results in groups of 16 and returns their number. A group whose values are close together is taken from
        /// two registers of consecutive values.
        pub(super) fn in_groups(
            mixes: bool,
            row: &[f32],
            indices: &[u32],
            weights: &[f32],
            out: &mut [f32],
        ) -> usize {
            let (groups, _) = indices.as_chunks::<LANES>();
            let weights = weights.as_chunks::<LANES>().0;
            for ((indices, weights), out) in groups.iter().zip(weights).zip(out.as_chunks_mut::<LANES>().0) {
                let first = indices[0] as usize;
                let values = row.get(first..).and_then(|values| values.first_chunk::<{ 2 * LANES }>());
                let is_close = indices.iter().all(|index| index.wrapping_sub(first as u32) < 2 * LANES as u32 - 1);
                match values {
                    Some(values) if is_close => interpolate_group(mixes, values, first as u32, indices, weights, out),
                    _ => {
                        for lane in 0..LANES {
                            out[lane] = super::interpolated(mixes, row, indices[lane], weights[lane]);
                        }
                    }
                }
            }
            groups.len() * LANES
        }
    }

    /// Interpolates between 32 values, of which the first one has the index `first`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn interpolate_group(
        mixes: bool,
        values: &[f32; 2 * LANES],
        first: u32,
        indices: &[u32; LANES],
        weights: &[f32; LANES],
        out: &mut [f32; LANES],
    ) {
        // SAFETY: reads 32 and 16 numbers of four bytes.
        let [front, back, weights] = unsafe {
            [
                _mm512_loadu_ps(values.as_ptr()),
                _mm512_loadu_ps(values.as_ptr().add(LANES)),
                _mm512_loadu_ps(weights.as_ptr()),
            ]
        };
        // SAFETY: reads 16 numbers of four bytes.
        let indices = unsafe { _mm512_loadu_si512(indices.as_ptr().cast()) };
        let local = _mm512_sub_epi32(indices, _mm512_set1_epi32(first as i32));
        let next = _mm512_add_epi32(local, _mm512_set1_epi32(1));
        let low = _mm512_permutex2var_ps(front, local, back);
        let high = _mm512_permutex2var_ps(front, next, back);
        let result = if mixes {
            let other = _mm512_sub_ps(_mm512_set1_ps(1.0), weights);
            _mm512_add_ps(_mm512_mul_ps(low, other), _mm512_mul_ps(high, weights))
        } else {
            _mm512_add_ps(low, _mm512_mul_ps(_mm512_sub_ps(high, low), weights))
        };
        // SAFETY: writes 16 numbers of four bytes.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), result) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_interpolated_as_value_by_value() {
        let row: Vec<f32> = (0..70 + ROW_PADDING).map(|i| (i as f32 * 1.7).sin()).collect();
        for (count, step) in [(50, 0.3), (64, 1.0), (33, 2.1), (20, 3.4), (7, 0.9), (0, 1.0)] {
            let positions: Vec<f32> = (0..count).map(|i| i as f32 * step).collect();
            for reversed in [false, true] {
                let order = |i: usize| if reversed { count - 1 - i } else { i };
                let indices: Vec<u32> = (0..count).map(|i| positions[order(i)] as u32).collect();
                let weights: Vec<f32> = (0..count).map(|i| positions[order(i)].fract()).collect();
                for mixes in [false, true] {
                    let mut out = vec![0.0; count];
                    let fill = if mixes { mix_row } else { interpolate_row };
                    fill(&row, &indices, &weights, &mut out);
                    for (i, value) in out.iter().enumerate() {
                        let expected = interpolated(mixes, &row, indices[i], weights[i]);
                        assert_eq!(value.to_bits(), expected.to_bits(), "{count} {step} {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_index_outside_the_row_panics() {
        for last in [40, 41, u32::MAX] {
            let mut indices = [20; 16];
            indices[15] = last;
            let run = move || interpolate_row(&[0.0; 41], &indices, &[0.0; 16], &mut [0.0; 16]);
            assert!(std::panic::catch_unwind(run).is_err(), "{last}");
        }
    }
}
