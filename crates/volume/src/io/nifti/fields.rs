//! The fields of NIfTI-1 and NIfTI-2 headers that are used, as plain numbers.
//!
//! The nifti crate parses NIfTI-1; it does not read NIfTI-2.

use nifti::{Endianness, NiftiHeader};

/// A version of the format. Both have the same fields, at other offsets and in other types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// NIfTI-1, whose numbers have at most 32 bits.
    One,
    /// NIfTI-2, whose sizes and positions have 64 bits.
    Two,
}

impl Version {
    /// Returns the bytes of a header, which are also stored in its first four bytes.
    pub(super) fn header_bytes(self) -> usize {
        match self {
            Self::One => 348,
            Self::Two => 540,
        }
    }

    /// Returns the bytes before the first voxel of a single file without extensions.
    pub(super) fn min_voxel_offset(self) -> u64 {
        self.header_bytes() as u64 + 4
    }

    /// Returns the relative rounding of stored positions.
    pub(super) fn epsilon(self) -> f64 {
        match self {
            Self::One => f64::from(f32::EPSILON),
            Self::Two => f64::EPSILON,
        }
    }
}

/// Header fields by their names in the standard.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) version: Version,
    pub(super) big_endian: bool,
    /// The number of axes, and the size of each.
    pub(super) dim: [i64; 8],
    pub(super) datatype: i16,
    pub(super) pixdim: [f64; 8],
    pub(super) vox_offset: f64,
    pub(super) scl_slope: f64,
    pub(super) scl_inter: f64,
    pub(super) xyzt_units: u8,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    /// `quatern_b`, `quatern_c` and `quatern_d`.
    pub(super) quaternion: [f64; 3],
    /// `qoffset_x`, `qoffset_y` and `qoffset_z`.
    pub(super) qoffset: [f64; 3],
    /// `srow_x`, `srow_y` and `srow_z`.
    pub(super) srow: [[f64; 4]; 3],
}

impl Fields {
    /// Parses the bytes of a header.
    ///
    /// The byte order is that in which the first four bytes are the header's size; if neither is, as in some old files,
    /// that in which `dim` has a valid number of axes.
    ///
    /// # Errors
    /// The number of axes, if it is not one from 1 to 7.
    ///
    /// # Panics
    /// When there are fewer bytes than the version's header has, or when it is not the header of a single file.
    pub(super) fn parse(version: Version, bytes: &[u8]) -> Result<Self, i64> {
        let mut numbers = Numbers { bytes, big_endian: false };
        if numbers.i32(0) != version.header_bytes() as i32 {
            let is_big = i32::from_be_bytes(numbers.at(0)) == version.header_bytes() as i32;
            numbers.big_endian = is_big || !(0..=7).contains(&numbers.num_axes(version));
        }
        let num_axes = numbers.num_axes(version);
        if !(1..=7).contains(&num_axes) {
            return Err(num_axes);
        }
        match version {
            Version::One => {
                Ok(Self::from(NiftiHeader::from_reader(bytes).expect("a complete header of a single NIfTI-1 file")))
            }
            Version::Two => Ok(Self::parse_2(&numbers)),
        }
    }

    fn parse_2(numbers: &Numbers) -> Self {
        let reals = |first: usize| move |index: usize| numbers.f64(first + 8 * index);
        Self {
            version: Version::Two,
            big_endian: numbers.big_endian,
            dim: std::array::from_fn(|index| numbers.i64(16 + 8 * index)),
            datatype: numbers.i16(12),
            pixdim: std::array::from_fn(reals(104)),
            vox_offset: numbers.i64(168) as f64,
            scl_slope: reals(176)(0),
            scl_inter: reals(184)(0),
            // Only the lowest bits of this 32-bit field are used.
            xyzt_units: numbers.i32(500) as u8,
            qform_code: numbers.i32(344),
            sform_code: numbers.i32(348),
            quaternion: std::array::from_fn(reals(352)),
            qoffset: std::array::from_fn(reals(376)),
            srow: std::array::from_fn(|row| std::array::from_fn(reals(400 + 32 * row))),
        }
    }
}

impl From<NiftiHeader> for Fields {
    fn from(raw: NiftiHeader) -> Self {
        Self {
            version: Version::One,
            big_endian: raw.endianness == Endianness::Big,
            // The nifti crate reads the signed sizes as unsigned.
            dim: raw.dim.map(|size| i64::from(size as i16)),
            datatype: raw.datatype,
            pixdim: raw.pixdim.map(f64::from),
            vox_offset: raw.vox_offset.into(),
            scl_slope: raw.scl_slope.into(),
            scl_inter: raw.scl_inter.into(),
            xyzt_units: raw.xyzt_units,
            qform_code: raw.qform_code.into(),
            sform_code: raw.sform_code.into(),
            quaternion: [raw.quatern_b, raw.quatern_c, raw.quatern_d].map(f64::from),
            qoffset: [raw.quatern_x, raw.quatern_y, raw.quatern_z].map(f64::from),
            srow: [raw.srow_x, raw.srow_y, raw.srow_z].map(|row| row.map(f64::from)),
        }
    }
}

/// Numbers in the bytes of a header.
struct Numbers<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        fn $number(&self, at: usize) -> $number {
            let bytes = self.at(at);
            if self.big_endian { <$number>::from_be_bytes(bytes) } else { <$number>::from_le_bytes(bytes) }
        }
    )*};
}

impl Numbers<'_> {
    numbers! { i16 i32 i64 f64 }

    fn at<const BYTES: usize>(&self, at: usize) -> [u8; BYTES] {
        self.bytes[at..at + BYTES].try_into().expect("a slice has its own length")
    }

    fn num_axes(&self, version: Version) -> i64 {
        match version {
            Version::One => self.i16(40).into(),
            Version::Two => self.i64(16),
        }
    }
}
