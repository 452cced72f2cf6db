//! Voxel data as many formats store it: numbers of one type with x fastest, channel after channel, perhaps compressed.
//!
//! A format parses its header into a [`RawLayout`]; [`read`] then returns the voxels in C order. [`write_voxels`] does the
//! reverse.

mod gzip;
mod number;
mod read;
mod stream;
mod transpose;
mod write;

pub(super) use number::{label_tolerance, round_to_label};
pub(super) use read::{check_size, read};
pub(super) use stream::{ByteStream, GZIP_MAGIC};
pub(super) use write::{write_file, write_voxels};

/// The type of stored numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    Uint8,
    Int8,
    Uint16,
    Int16,
    Uint32,
    Int32,
    Uint64,
    Int64,
    Float32,
    Float64,
}

impl DataType {
    /// Returns NumPy's name of the type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uint8 => "uint8",
            Self::Int8 => "int8",
            Self::Uint16 => "uint16",
            Self::Int16 => "int16",
            Self::Uint32 => "uint32",
            Self::Int32 => "int32",
            Self::Uint64 => "uint64",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// Returns whether numbers of this type are whole.
    pub(super) fn is_integer(self) -> bool {
        !matches!(self, Self::Float32 | Self::Float64)
    }

    /// Returns the size of a number in bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 => 2,
            Self::Uint32 | Self::Int32 | Self::Float32 => 4,
            Self::Uint64 | Self::Int64 | Self::Float64 => 8,
        }
    }
}

/// The position and the format of the voxels in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RawLayout {
    /// Number of channels; x is fastest, then y, z and the channel.
    pub(super) channels: usize,
    /// Voxels along x, y and z.
    pub(super) shape: [usize; 3],
    pub(super) data_type: DataType,
    pub(super) big_endian: bool,
    /// Slope and intercept that convert stored numbers to values; `None` if they need no conversion.
    pub(super) scaling: Option<(f64, f64)>,
    /// Bytes before the first voxel, uncompressed.
    pub(super) offset: u64,
    /// Bytes of all voxels, uncompressed.
    pub(super) num_bytes: u64,
}

impl RawLayout {
    /// Returns the size of all voxels in bytes; `None` if it exceeds 64 bits.
    pub(super) fn num_bytes(channels: usize, shape: [usize; 3], data_type: DataType) -> Option<u64> {
        let factors = shape.into_iter().chain([channels, data_type.size()]);
        factors.into_iter().try_fold(1u64, |product, factor| product.checked_mul(factor as u64))
    }
}
