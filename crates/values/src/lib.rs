//! Validated types for the values of an experiment, and the macro that declares a registry of components.
//!
//! A rule about a single value is checked here, when the value is deserialized, so that an error message points at the value
//! itself. Rules between values are checked by the engine.
//!
//! ```
//! use values::{Bytes, Probability, Range};
//!
//! assert!(serde_yaml::from_str::<Probability>("0.5").is_ok());
//! assert!(serde_yaml::from_str::<Range>("[2, 1]").is_err());
//! assert_eq!("500MB".parse(), Ok(Bytes(500_000_000)));
//! ```

mod bytes;
mod diagnostic;
mod file_name;
mod format;
mod home;
mod number;
pub mod number_or_word;
mod ordered_map;
mod range;
mod registry;
mod shape;

pub use bytes::Bytes;
pub use diagnostic::Diagnostic;
pub use file_name::is_file_name;
pub use format::format_number;
pub use home::{expand_home, home_expanded};
pub use number::{
    NonNegative, Percentile, Positive, PositiveFraction, Probability, UnitFraction, single, single_or_null,
};
pub use ordered_map::OrderedMap;
pub use range::{AxisRanges, Range};
pub use shape::{Margins, Overlap, PartialShape, PartialSpacing, Shape, Spacing};
