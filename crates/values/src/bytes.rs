//! Sizes in bytes. The bytesize crate is not used because it accepts and prints another format (`1k`, `200.0 GB`).

use std::fmt;
use std::str::FromStr;

/// A positive number of bytes, written with a decimal or binary unit, such as `500MB`, `1.5 TB` or `200GiB`.
///
/// ```
/// use values::Bytes;
///
/// assert_eq!("1.5 TB".parse(), Ok(Bytes(1_500_000_000_000)));
/// assert_eq!(Bytes(1_260_000).to_string(), "1.3 MB");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Units by name; a name precedes those that are its suffixes.
const UNITS: [(&str, f64); 9] = [
    ("KIB", 1024.0),
    ("MIB", 1_048_576.0),
    ("GIB", 1_073_741_824.0),
    ("TIB", 1_099_511_627_776.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("B", 1.0),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.trim().to_uppercase();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, bytes)| Some((upper.strip_suffix(name)?, *bytes)))
            .unwrap_or((upper.as_str(), 1.0));
        match number.trim().parse::<f64>() {
            Ok(number) if number.is_finite() && number > 0.0 => Ok(Self((number * unit).round() as u64)),
            _ => Err(format!("expected a size such as 200GB or 500MB, got {text}")),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let bytes = self.0 as f64;
        match UNITS[4..8].iter().rev().find(|(_, unit)| bytes >= *unit) {
            Some((name, unit)) => write!(f, "{} {name}", (bytes / unit * 10.0).round() / 10.0),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_decimal_or_binary_and_case_insensitive() {
        let sizes = ["200GB", "500 mb", "1.5TB", "2GiB", "12", "7B"].map(|text| text.parse::<Bytes>().unwrap().0);
        assert_eq!(sizes, [200_000_000_000, 500_000_000, 1_500_000_000_000, 2_147_483_648, 12, 7]);
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in ["", "GB", "-1GB", "0", "many", "1 XB", "nan GB", "infGB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_printed_in_the_largest_unit_not_above_them() {
        assert_eq!(Bytes(200_000_000_000).to_string(), "200 GB");
        assert_eq!([Bytes(1_260_000).to_string(), Bytes(999).to_string()], ["1.3 MB", "999 bytes"]);
    }
}
