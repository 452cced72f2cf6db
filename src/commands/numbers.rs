//! Numbers on the command line.

use std::num::NonZeroUsize;
use std::str::FromStr;

/// Parses a whole number of at least 1.
///
/// # Errors
/// What was expected.
pub(super) fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number of at least 1".to_owned())
}

/// Parses a whole number.
///
/// # Errors
/// What was expected.
pub(super) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number of at least 0".to_owned())
}

/// Parses a number above 0.
///
/// # Errors
/// What was expected.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a number above 0".to_owned())
}

/// Parses a number of at least 0.
///
/// # Errors
/// What was expected.
pub(super) fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number >= 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a number of at least 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        for text in ["0", "-1", "1.5", "two", ""] {
            assert!(at_least_one(text).is_err(), "{text}");
        }
        assert_eq!(at_least_one("3").map(NonZeroUsize::get), Ok(3));
        assert_eq!((whole::<u64>("0"), whole::<u64>("-1").is_err()), (Ok(0), true));
        for text in ["0", "-1", "nan", "inf", "x"] {
            assert!(positive(text).is_err(), "{text}");
        }
        assert_eq!((positive("1e-3"), not_negative("0"), not_negative("-1").is_err()), (Ok(1e-3), Ok(0.0), true));
    }
}
