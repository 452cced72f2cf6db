//! Elementary functions of many numbers at once, with the same bits on every processor.
//!
//! Plain loops without branches, of which compilers make vector code. They are compiled once more for processors with
//! AVX2 and for those with AVX-512, and chosen at run time; no operation is fused. Polynomials: S. Moshier, Cephes, in
//! single precision.

use std::f32::consts::{LOG2_E, SQRT_2, TAU};

#[cfg(target_arch = "x86_64")]
use crate::{for_avx2, for_avx512};

/// ln 2 as a number of few digits, which whole numbers are multiplied by without rounding, and the rest.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// Added to a small number this one leaves its whole part in the lower digits, halves rounded to the even one.
const SHIFT: f32 = (3u32 << 22) as f32;

/// Defines a function on a slice, compiled for processors with AVX-512, with AVX2 and for others.
macro_rules! chosen_at_run_time {
    ($(#[$documentation:meta])* $name:ident($values:ident $(, $argument:ident: $type:ty)*) $body:block) => {
        $(#[$documentation])*
        pub fn $name($values: &mut [f32] $(, $argument: $type)*) {
            #[inline(always)]
            fn plain($values: &mut [f32] $(, $argument: $type)*) $body

            #[cfg(target_arch = "x86_64")]
            {
                for_avx512! {
                    fn longer_vectors($values: &mut [f32] $(, $argument: $type)*) {
                        plain($values $(, $argument)*);
                    }
                }
                for_avx2! {
                    fn vectors($values: &mut [f32] $(, $argument: $type)*) {
                        plain($values $(, $argument)*);
                    }
                }
                if longer_vectors($values $(, $argument)*).or_else(|| vectors($values $(, $argument)*)).is_some() {
                    return;
                }
            }
            plain($values $(, $argument)*);
        }
    };
}

chosen_at_run_time! {
    /// Raises magnitudes to a power above 0 and keeps signs; results between a millionth and a million are right to two
    /// millionths of themselves, others a little less. Numbers too small for all their digits count as 0.
    signed_pow(values, exponent: f32) {
        for value in values {
            let size = value.abs();
            let power = exp(ln(size) * exponent);
            let power = if size < f32::MIN_POSITIVE { 0.0 } else { power };
            // What is infinite or no number stays so.
            *value = if size < f32::INFINITY { power } else { size }.copysign(*value);
        }
    }
}

chosen_at_run_time! {
    /// Turns pairs of 32 random bits each, in the order of little-endian bytes, into pairs of standard normal numbers
    /// (Box and Muller, the cosine first, then the sine).
    box_muller(values) {
        let (mut radii, mut turns) = ([0.0; PAIRS], [0.0; PAIRS]);
        for values in values.chunks_mut(2 * PAIRS) {
            let (pairs, _) = values.as_chunks_mut::<2>();
            for (pair, (radius, turn)) in pairs.iter().zip(radii.iter_mut().zip(&mut turns)) {
                [*radius, *turn] = pair.map(|bits| unit(u32::from_le(f32::to_bits(bits))));
            }
            let count = pairs.len();
            for (radius, turn) in radii[..count].iter_mut().zip(&mut turns[..count]) {
                let length = (ln(1.0 - *radius) * -2.0).sqrt();
                let (sine, cosine) = sine_and_cosine(*turn * TAU);
                (*radius, *turn) = (length * cosine, length * sine);
            }
            for (pair, (first, second)) in pairs.iter_mut().zip(radii.iter().zip(&turns)) {
                *pair = [*first, *second];
            }
        }
    }
}

/// Pairs that are made at once.
const PAIRS: usize = 64;

/// A number in `[0, 1)` on a grid of 2⁻²⁴.
#[inline(always)]
fn unit(bits: u32) -> f32 {
    // By way of i32, which processors turn into floats many at a time.
    (bits >> 8) as i32 as f32 * (1.0 / (1u32 << 24) as f32)
}

/// The natural logarithm of a normal number above 0.
#[inline(always)]
fn ln(number: f32) -> f32 {
    const C: [f32; 9] = [
        3.333_333e-1,
        -2.499_999_4e-1,
        2.000_071_4e-1,
        -1.666_805_7e-1,
        1.424_932_3e-1,
        -1.242_014_1e-1,
        1.167_699_84e-1,
        -1.151_461e-1,
        7.037_683_6e-2,
    ];
    let bits = number.to_bits();
    let exponent = (bits >> 23) as i32 as f32 - 127.0;
    // Between a half and one; then between the roots of a half and of two, and less one.
    let fraction = f32::from_bits(bits & 0x007f_ffff | 0x3f00_0000);
    let is_near_one = fraction > SQRT_2 * 0.5;
    let exponent = if is_near_one { exponent + 1.0 } else { exponent };
    let x = if is_near_one { fraction } else { fraction + fraction } - 1.0;
    let (x2, x4) = (x * x, x * x * (x * x));
    let low = x4 * x4 * C[8] + (x2 * (x * C[3] + C[2]) + (x * C[1] + C[0]));
    let sum = x4 * (x2 * (C[7] * x + C[6]) + (x * C[5] + C[4])) + low;
    let sum = exponent * LN_2[1] + x2 * x * sum;
    exponent * LN_2[0] + (sum + (x - x2 * 0.5))
}

/// The exponential function; what is too small for all its digits is about 0, what is too large infinite.
#[inline(always)]
fn exp(number: f32) -> f32 {
    const C: [f32; 6] = [0.5, 1.666_666_6e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_199_9e-3, 1.987_569_1e-4];
    // Between the logarithms of 2⁻¹²⁶ and 2¹²⁸.
    let number = number.clamp(-87.0, 88.8);
    let shifted = number * LOG2_E + SHIFT;
    let power = shifted - SHIFT;
    let x = number - power * LN_2[0] - power * LN_2[1];
    let x2 = x * x;
    let sum = x2 * (x2 * (x * C[5] + C[4]) + (x * C[3] + C[2])) + (x * C[1] + C[0]);
    let exponent = shifted.to_bits().wrapping_sub(SHIFT.to_bits()).wrapping_add(127);
    (sum * x2 + (x + 1.0)) * f32::from_bits(exponent << 23)
}

/// The sine and the cosine of an angle between 0 and some turns.
#[inline(always)]
fn sine_and_cosine(angle: f32) -> (f32, f32) {
    const S: [f32; 3] = [-1.666_665_5e-1, 8.332_161e-3, -1.951_529_6e-4];
    const C: [f32; 3] = [4.166_664_6e-2, -1.388_731_6e-3, 2.443_315_7e-5];
    // A quarter of a turn in three parts.
    const QUARTER: [f32; 3] = [1.570_312_5, 4.837_513e-4, 7.549_79e-8];
    let shifted = angle * (1.0 / std::f32::consts::FRAC_PI_2) + SHIFT;
    let (quarters, turned) = (shifted - SHIFT, shifted.to_bits());
    let x = angle - quarters * QUARTER[0] - quarters * QUARTER[1] - quarters * QUARTER[2];
    let (x2, x4) = (x * x, x * x * (x * x));
    let sine = (x4 * S[2] + (x2 * S[1] + S[0])) * (x * x2) + x;
    let cosine = (x4 * C[2] + (x2 * C[1] + C[0])) * x4 + (1.0 - x2 * 0.5);
    let (first, second) = if turned & 1 == 0 { (sine, cosine) } else { (cosine, sine) };
    let flipped = |value: f32, by: u32| f32::from_bits(value.to_bits() ^ by << 30);
    (flipped(first, turned & 2), flipped(second, turned.wrapping_add(1) & 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_standard_library() {
        for exponent in [0.5f32, 0.74, 1.35] {
            let numbers: Vec<f32> = (-999..999).map(|i| i as f32 * 0.731).chain([1e-2, 3e4]).collect();
            let mut raised = numbers.clone();
            signed_pow(&mut raised, exponent);
            for (number, found) in numbers.iter().zip(raised) {
                let expected = f64::from(number.abs()).powf(f64::from(exponent)) * f64::from(number.signum());
                let off = (f64::from(found) - expected).abs();
                assert!(off <= 2e-6 * expected.abs(), "{number}^{exponent}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn what_is_no_number_or_infinite_stays_so_and_what_grows_too_large_becomes_it() {
        let mut values = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30, 1e-40];
        signed_pow(&mut values, 1.4);
        assert_eq!(values[..4], [0.0, 0.0, f32::INFINITY, f32::NEG_INFINITY]);
        assert!(values[4].is_nan());
        assert_eq!(values[5..], [f32::INFINITY, 0.0]);
    }

    #[test]
    fn normals_are_those_of_the_standard_library() {
        let words: Vec<u32> = (0..4000u32).map(|i| i.wrapping_mul(0x9e37_79b9) ^ i << 7).collect();
        let mut values: Vec<f32> = words.iter().map(|word| f32::from_bits(word.to_le())).collect();
        box_muller(&mut values);
        for (word, found) in words.chunks_exact(2).zip(values.chunks_exact(2)) {
            let [radius, turn] = [word[0], word[1]].map(|word| f64::from(unit(word)));
            let radius = (-2.0 * (1.0 - radius).ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * turn).sin_cos();
            let off = |found: f32, expected: f64| (f64::from(found) - expected).abs();
            assert!(off(found[0], radius * cosine) < 2e-6 && off(found[1], radius * sine) < 2e-6, "{word:?} {found:?}");
        }
    }

    #[test]
    fn many_at_once_are_the_bits_of_one_by_one() {
        let numbers: Vec<f32> = (0..1003).map(|i| (i as f32 - 400.0) * 0.37).collect();
        let (mut together, mut alone) = (numbers.clone(), numbers);
        signed_pow(&mut together, 0.8);
        alone.iter_mut().for_each(|value| signed_pow(std::slice::from_mut(value), 0.8));
        assert_eq!(together, alone);
        box_muller(&mut together);
        alone.chunks_mut(2).for_each(box_muller);
        assert!(together.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
}
