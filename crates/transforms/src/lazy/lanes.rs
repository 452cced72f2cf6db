//! Groups of eight voxels of a row, which the resampler computes together.

/// Voxels of a group.
pub(super) const GROUP: usize = 8;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Coordinates;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use simd::{LANES, load_i64x8};

    const _: () = assert!(LANES == super::GROUP, "a group fills one vector register");

    /// The fixed-point coordinates along one axis of the eight voxels of a group: of voxels 0, 1, 4 and 5 first, then of
    /// 2, 3, 6 and 7, so that their halves can be extracted in order.
    #[derive(Clone, Copy)]
    pub(in crate::lazy) struct Coordinates {
        pub(in crate::lazy) first: __m256i,
        pub(in crate::lazy) last: __m256i,
    }

    impl Coordinates {
        /// Loads eight coordinates and subtracts `start`.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(in crate::lazy) fn load(coordinates: &[i64; LANES], start: i64) -> Self {
            let [low, high] = load_i64x8(coordinates);
            let start = _mm256_set1_epi64x(start);
            Self::from_ordered(_mm256_sub_epi64(low, start), _mm256_sub_epi64(high, start))
        }

        /// Returns the coordinates of the first four and the last four voxels in this layout.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(in crate::lazy) fn from_ordered(low: __m256i, high: __m256i) -> Self {
            let first = _mm256_permute2x128_si256::<0x20>(low, high);
            let last = _mm256_permute2x128_si256::<0x31>(low, high);
            Self { first, last }
        }

        /// Returns the coordinates shifted by a distance.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(in crate::lazy) fn shifted(self, distance: __m256i) -> Self {
            Self { first: _mm256_add_epi64(self.first, distance), last: _mm256_add_epi64(self.last, distance) }
        }

        /// Returns the voxel indices below the coordinates.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(in crate::lazy) fn indices(self) -> __m256i {
            let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
            _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(first, last))
        }

        /// Returns the interpolation weights of the next voxels, as [`split`](crate::lazy::fixed_point::split).
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(in crate::lazy) fn weights(self) -> __m256 {
            let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
            let digits = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(first, last));
            let weight = _mm256_cvtepi32_ps(_mm256_srli_epi32::<8>(digits));
            _mm256_mul_ps(weight, _mm256_set1_ps(1.0 / (1u32 << 24) as f32))
        }
    }
}
