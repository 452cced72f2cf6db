//! Values that are not finite, reported where they arise: comparisons, minima and maxima of later steps would hide them.

use std::fmt;

use rayon::prelude::*;
use simd::vectorized;

use super::error::PipelineError;
use crate::Transform;
use volume::{Volume, unravel_index};

/// Voxels of an image that are NaN or infinite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// The number of such values.
    pub count: usize,
    /// The number of all values.
    pub total: usize,
    /// The channel of the first one; `None` if there is only one channel.
    pub channel: Option<usize>,
    /// The first such voxel's index along x, y and z.
    pub voxel: [usize; 3],
    /// Its value: `NaN`, `inf` or `-inf`.
    pub value: String,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.count > 1 {
            write!(f, "{} of {} voxels are not finite; the first is ", self.count, self.total)?;
        }
        write!(f, "voxel {:?}", self.voxel)?;
        if let Some(channel) = self.channel {
            write!(f, " of channel {channel}")?;
        }
        write!(f, "{} {}", if self.count > 1 { "," } else { " is" }, self.value)
    }
}

/// Values per parallel task.
const CHUNK: usize = 1 << 18;

vectorized! {
    /// Returns whether all values of a chunk are finite.
    fn chunk_is_finite(chunk: &[f32]) -> bool {
        // The exponent of a value that is not finite has all bits set, so that adding one to it carries into the sign bit.
        let carry = |value: &f32| (value.to_bits() & 0x7fff_ffff).wrapping_add(0x0080_0000);
        chunk.iter().fold(0, |bits, value| bits | carry(value)) >> 31 == 0
    }
}

/// Returns whether all values are finite.
fn all_finite(values: &[f32]) -> bool {
    // Patches are made by several threads already.
    if values.len() <= 8 * CHUNK {
        return values.chunks(CHUNK).all(chunk_is_finite);
    }
    values.par_chunks(CHUNK).all(chunk_is_finite)
}

/// Looks for values that are not finite in a block `[channel, x, y, z]` of a volume, given by its first voxel and its shape.
pub(super) fn find(values: &[f32], start: [usize; 3], shape: [usize; 3]) -> Option<NotFinite> {
    if all_finite(values) {
        return None;
    }
    let voxels: usize = shape.iter().product();
    let first = values.iter().position(|value| !value.is_finite())?;
    let local = unravel_index(shape, first % voxels);
    Some(NotFinite {
        count: values.iter().filter(|value| !value.is_finite()).count(),
        total: values.len(),
        channel: (values.len() > voxels).then_some(first / voxels),
        voxel: std::array::from_fn(|axis| start[axis] + local[axis]),
        value: values[first].to_string(),
    })
}

/// Returns whether the first step of a chain, after reorienting, replaces values that are not finite.
pub fn replaces_not_finite(chain: &[Transform]) -> bool {
    let first = chain.iter().find(|step| !matches!(step, Transform::ToCanonical(_)));
    first.is_some_and(|step| step.component().accepts_not_finite())
}

/// Checks that the image of a file is finite, unless the chain begins with a step that replaces other values.
///
/// # Errors
/// The number of voxels that are not, and the first of them.
pub fn require_finite(source: &Volume, chain: &[Transform]) -> Result<(), PipelineError> {
    if replaces_not_finite(chain) {
        return Ok(());
    }
    match find(&source.image, [0; 3], source.image.shape) {
        None => Ok(()),
        Some(voxels) => Err(PipelineError::NotFiniteImage { voxels }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReplaceNonFinite;
    use volume::{Affine, Grid, Voxels};

    fn volume(channels: usize, shape: [usize; 3], values: Vec<f32>) -> Volume {
        let grid = Grid { shape, affine: Affine::IDENTITY };
        Volume { grid, image: Voxels::new(channels, shape, values), label: None }
    }

    #[test]
    fn only_nan_and_infinities_are_not_finite() {
        assert!(all_finite(&[0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45]));
        for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!all_finite(&[1.0, value, 1.0]), "{value}");
        }
    }

    #[test]
    fn the_first_voxel_is_located_in_its_volume() {
        let mut values = vec![1.0; 2 * 24];
        (values[24 + 17], values[24 + 20]) = (f32::NEG_INFINITY, f32::NAN);
        let found = find(&values, [10, 0, 5], [2, 3, 4]).unwrap();
        assert_eq!((found.count, found.channel, found.voxel), (2, Some(1), [11, 1, 6]));
        assert_eq!(
            found.to_string(),
            "2 of 48 voxels are not finite; the first is voxel [11, 1, 6] of channel 1, -inf"
        );
        let found = find(&[0.0, f32::NAN], [0; 3], [1, 1, 2]).unwrap();
        assert_eq!(found.to_string(), "voxel [0, 0, 1] is NaN");
    }

    #[test]
    fn a_large_volume_is_searched_to_its_end() {
        let shape = [1, 3, 1_000_003];
        let mut values = vec![1.0; 3 * 1_000_003];
        assert!(find(&values, [0; 3], shape).is_none());
        *values.last_mut().unwrap() = f32::NAN;
        assert_eq!(find(&values, [0; 3], shape).unwrap().voxel, [0, 2, 1_000_002]);
    }

    #[test]
    fn an_image_must_be_finite_unless_the_first_step_replaces_other_values() {
        let image = volume(1, [1, 1, 2], vec![1.0, f32::INFINITY]);
        let replace: ReplaceNonFinite = serde_yaml::from_str("with: 0").unwrap();
        let replace = Transform::from(replace);
        let z_normalize: Transform = serde_json::from_str(r#"{"z_normalize": {}}"#).unwrap();
        assert!(
            require_finite(&image, &[]).is_err() && require_finite(&image, std::slice::from_ref(&z_normalize)).is_err()
        );
        assert!(require_finite(&image, &[z_normalize, replace.clone()]).is_err());
        assert!(require_finite(&image, &[crate::ToCanonical {}.into(), replace]).is_ok());
    }
}
