//! Elementary functions of slices, with bit-identical results on every processor.
//!
//! The loops have no branches, so that the compiler vectorizes them. Each is also compiled for AVX2 and AVX-512, and
//! the version is selected at run time; multiplications and additions are never fused. The polynomials are those of
//! S. Moshier's Cephes, single precision.

use std::f32::consts::{LOG2_E, SQRT_2, TAU};

use crate::vectorized;

/// ln 2 as the sum of a number with few digits, whose products with small integers are exact, and the remainder.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// Adding this to a small number rounds it to an integer, ties to even, in the low bits of the mantissa.
const SHIFT: f32 = (3u32 << 22) as f32;

vectorized! {
    /// Computes `sign(x) * |x|^exponent` in place, for an exponent above 0. Relative errors are at most 2e-6 for results
    /// between 1e-6 and 1e6, and slightly larger beyond. Subnormal numbers are treated as 0.
    pub fn signed_pow(values: &mut [f32], exponent: f32) {
        for value in values {
            let size = value.abs();
            let power = exp(ln(size) * exponent);
            let power = if size < f32::MIN_POSITIVE { 0.0 } else { power };
            // Infinities and NaN remain.
            *value = if size < f32::INFINITY { power } else { size }.copysign(*value);
        }
    }
}

vectorized! {
    /// Computes `((sign * x - low) / size)^exponent * range + low` in place, for values whose fraction of `size` is at least
    /// 0 and an exponent above 0: gamma correction of the range from `low` on. Fractions below the normal numbers are 0.
    pub fn range_pow(values: &mut [f32], sign: f32, low: f32, size: f32, range: f32, exponent: f32) {
        let scale = 1.0 / size;
        for value in values {
            let fraction = (*value * sign - low) * scale;
            let power = exp(ln(fraction) * exponent);
            let power = if fraction < f32::MIN_POSITIVE { 0.0 } else { power };
            *value = power * range + low;
        }
    }
}

vectorized! {
    /// Transforms pairs of 32 random bits each, little-endian, into pairs of standard normal numbers in place (Box-Muller
    /// transform: cosine, then sine).
    pub fn box_muller(values: &mut [f32]) {
        let (mut radii, mut angles) = ([0.0; PAIRS], [0.0; PAIRS]);
        for values in values.chunks_mut(2 * PAIRS) {
            let (pairs, _) = values.as_chunks_mut::<2>();
            for (pair, (radius, angle)) in pairs.iter().zip(radii.iter_mut().zip(&mut angles)) {
                [*radius, *angle] = pair.map(|bits| unit(u32::from_le(f32::to_bits(bits))));
            }
            let count = pairs.len();
            for (radius, angle) in radii[..count].iter_mut().zip(&mut angles[..count]) {
                let length = (ln(1.0 - *radius) * -2.0).sqrt();
                let (sine, cosine) = sine_and_cosine(*angle * TAU);
                (*radius, *angle) = (length * cosine, length * sine);
            }
            for (pair, (first, second)) in pairs.iter_mut().zip(radii.iter().zip(&angles)) {
                *pair = [*first, *second];
            }
        }
    }
}

/// Pairs per block.
const PAIRS: usize = 64;

/// Returns a number in `[0, 1)`, a multiple of 2⁻²⁴.
#[inline(always)]
fn unit(bits: u32) -> f32 {
    // Via i32, because processors have vector conversions from it.
    (bits >> 8) as i32 as f32 * (1.0 / (1u32 << 24) as f32)
}

/// Returns the natural logarithm of a normal number above 0.
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
    // The mantissa in [0.5, 1), then in [sqrt(0.5), sqrt(2)) - 1.
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

/// Returns the exponential; about 0 where it would be subnormal, infinite where it overflows.
#[inline(always)]
fn exp(number: f32) -> f32 {
    const C: [f32; 6] = [0.5, 1.666_666_6e-1, 4.166_579_6e-2, 8.333_452e-3, 1.398_199_9e-3, 1.987_569_1e-4];
    // The logarithms of 2⁻¹²⁶ and 2¹²⁸.
    let number = number.clamp(-87.0, 88.8);
    let shifted = number * LOG2_E + SHIFT;
    let power = shifted - SHIFT;
    let x = number - power * LN_2[0] - power * LN_2[1];
    let x2 = x * x;
    let sum = x2 * (x2 * (x * C[5] + C[4]) + (x * C[3] + C[2])) + (x * C[1] + C[0]);
    let exponent = shifted.to_bits().wrapping_sub(SHIFT.to_bits()).wrapping_add(127);
    (sum * x2 + (x + 1.0)) * f32::from_bits(exponent << 23)
}

/// Returns the sine and the cosine of an angle from 0 to a few multiples of 2π.
#[inline(always)]
fn sine_and_cosine(angle: f32) -> (f32, f32) {
    const S: [f32; 3] = [-1.666_665_5e-1, 8.332_161e-3, -1.951_529_6e-4];
    const C: [f32; 3] = [4.166_664_6e-2, -1.388_731_6e-3, 2.443_315_7e-5];
    // π/2 as the sum of three numbers.
    const QUARTER: [f32; 3] = [1.570_312_5, 4.837_513e-4, 7.549_79e-8];
    let shifted = angle * (1.0 / std::f32::consts::FRAC_PI_2) + SHIFT;
    let (quarters, quadrant) = (shifted - SHIFT, shifted.to_bits());
    let x = angle - quarters * QUARTER[0] - quarters * QUARTER[1] - quarters * QUARTER[2];
    let (x2, x4) = (x * x, x * x * (x * x));
    let sine = (x4 * S[2] + (x2 * S[1] + S[0])) * (x * x2) + x;
    let cosine = (x4 * C[2] + (x2 * C[1] + C[0])) * x4 + (1.0 - x2 * 0.5);
    let (first, second) = if quadrant & 1 == 0 { (sine, cosine) } else { (cosine, sine) };
    let negated = |value: f32, by: u32| f32::from_bits(value.to_bits() ^ by << 30);
    (negated(first, quadrant & 2), negated(second, quadrant.wrapping_add(1) & 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_equal_those_of_the_standard_library() {
        for exponent in [0.5f32, 0.74, 1.35] {
            let numbers: Vec<f32> = (-999..999).map(|i| i as f32 * 0.731).chain([1e-2, 3e4]).collect();
            let mut powers = numbers.clone();
            signed_pow(&mut powers, exponent);
            for (number, actual) in numbers.iter().zip(powers) {
                let expected = f64::from(number.abs()).powf(f64::from(exponent)) * f64::from(number.signum());
                let off = (f64::from(actual) - expected).abs();
                assert!(off <= 2e-6 * expected.abs(), "{number}^{exponent}: {actual}, expected {expected}");
            }
        }
    }

    #[test]
    fn powers_of_a_range_keep_its_ends() {
        let numbers: Vec<f32> = (0..=1000).map(|i| i as f32 * 0.011 - 3.0).collect();
        for (sign, low) in [(1.0f32, -3.0f32), (-1.0, -8.0)] {
            let mut powers = numbers.clone();
            range_pow(&mut powers, sign, low, 11.0, 11.0, 1.4);
            for (number, actual) in numbers.iter().zip(powers) {
                let fraction = (f64::from(*number * sign) - f64::from(low)) / 11.0;
                let expected = fraction.max(0.0).powf(1.4) * 11.0 + f64::from(low);
                assert!((f64::from(actual) - expected).abs() < 2e-5, "{number}: {actual}, expected {expected}");
            }
        }
    }

    #[test]
    fn infinities_and_nan_remain_and_overflow_is_infinite() {
        let mut values = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30, 1e-40];
        signed_pow(&mut values, 1.4);
        assert_eq!(values[..4], [0.0, 0.0, f32::INFINITY, f32::NEG_INFINITY]);
        assert!(values[4].is_nan());
        assert_eq!(values[5..], [f32::INFINITY, 0.0]);
    }

    #[test]
    fn normal_numbers_equal_those_of_the_standard_library() {
        let words: Vec<u32> = (0..4000u32).map(|i| i.wrapping_mul(0x9e37_79b9) ^ i << 7).collect();
        let mut values: Vec<f32> = words.iter().map(|word| f32::from_bits(word.to_le())).collect();
        box_muller(&mut values);
        for (word, actual) in words.chunks_exact(2).zip(values.chunks_exact(2)) {
            let [radius, angle] = [word[0], word[1]].map(|word| f64::from(unit(word)));
            let radius = (-2.0 * (1.0 - radius).ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * angle).sin_cos();
            let off = |actual: f32, expected: f64| (f64::from(actual) - expected).abs();
            assert!(
                off(actual[0], radius * cosine) < 2e-6 && off(actual[1], radius * sine) < 2e-6,
                "{word:?} {actual:?}"
            );
        }
    }

    #[test]
    fn slices_and_single_numbers_have_the_same_bits() {
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
