//! How a scan differs from the training scans.

use serde::Serialize;

use super::{Fingerprint, Intensities, Scan, Span};
use values::format_number;

/// A spacing may be smaller or larger than in training by this factor, about what augmentation covers.
const SPACING_FACTOR: f64 = 1.25;
/// A size may be smaller or larger than in training by this factor.
const SIZE_FACTOR: f64 = 2.0;
/// The width of the intensities may be smaller or larger than in training by this factor: MR has no unit.
const WIDTH_FACTOR: f64 = 5.0;
/// The offset of the intensities may differ from those in training by this much: air at -1000 HU in a CT gives about -0.7,
/// an image without negative values 0.
const OFFSET_TOLERANCE: f64 = 0.25;

/// A property of a scan that no training scan had.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The property.
    pub kind: DifferenceKind,
    /// The difference in words, and what to do.
    pub message: String,
}

/// A property of scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The spacing that the network sees.
    Spacing,
    /// The size in millimetres.
    Size,
    /// The intensities.
    Intensities,
    /// The orientation in which the file is stored. The scan is reoriented, so this does no harm.
    Orientation,
}

impl DifferenceKind {
    /// Returns whether the prediction may be wrong because of it.
    pub fn is_harmful(self) -> bool {
        self != Self::Orientation
    }
}

impl Fingerprint {
    /// Returns the properties of a scan that no training scan had.
    pub fn differences(&self, scan: &Scan) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut add = |kind, message: Option<String>| {
            differences.extend(message.map(|message| Difference { kind, message }));
        };
        add(DifferenceKind::Spacing, self.spacing(scan));
        add(DifferenceKind::Size, self.size(scan));
        for (index, intensities) in scan.intensities.iter().enumerate() {
            add(DifferenceKind::Intensities, self.intensities(index, intensities));
        }
        add(DifferenceKind::Orientation, self.orientation(scan));
        differences
    }

    /// Returns whether the network would see a scan at a spacing that no training scan had.
    pub fn is_spacing_unlike(&self, preprocessed_spacing_mm: [f64; 3]) -> bool {
        is_outside(preprocessed_spacing_mm, &self.preprocessed_spacing_mm, SPACING_FACTOR)
    }

    /// Returns the spacing to resample such a scan to: the median that the network was trained with, rounded to
    /// micrometres.
    pub fn target_spacing_mm(&self) -> [f64; 3] {
        self.preprocessed_spacing_mm.median.map(|spacing| (spacing * 1e3).round() / 1e3)
    }

    fn spacing(&self, scan: &Scan) -> Option<String> {
        self.is_spacing_unlike(scan.preprocessed_spacing_mm).then(|| {
            let own = triple(scan.preprocessed_spacing_mm);
            let training = range(&self.preprocessed_spacing_mm);
            let target = self.target_spacing_mm().map(format_number).join(", ");
            format!(
                "its voxels measure {own} mm, those of the training scans {training} mm; predict it at that spacing with --resample, or train with `resample: {{ spacing_mm: [{target}] }}` in `preprocess`"
            )
        })
    }

    fn size(&self, scan: &Scan) -> Option<String> {
        let size = scan.size_mm();
        is_outside(size, &self.size_mm, SIZE_FACTOR).then(|| {
            let (own, training) = (triple(size), range(&self.size_mm));
            format!("it measures {own} mm, the training scans {training} mm: does it show the same part of the body?")
        })
    }

    fn intensities(&self, channel: usize, own: &Intensities) -> Option<String> {
        let training = self.channels.get(channel)?;
        let (low, high) = (training.percentiles.get("0.5")?, training.percentiles.get("99.5")?);
        let (width, offset) = (training.width?, training.offset?);
        let which = if self.channels.len() > 1 { format!("channel {channel}: ") } else { String::new() };
        let Some(own_offset) = own.offset() else {
            return Some(format!(
                "{which}nearly all of its voxels are {}, so it has no contrast",
                format_number(own.low())
            ));
        };
        let is_unlike = !(offset.min - OFFSET_TOLERANCE..=offset.max + OFFSET_TOLERANCE).contains(&own_offset)
            || !(width.min / WIDTH_FACTOR..=width.max * WIDTH_FACTOR).contains(&own.width());
        is_unlike.then(|| {
            let modality = training.modality.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!(
                "{which}its intensities range from {} to {}, those of the training scans{modality} from {} to {} (0.5th to 99.5th percentile): is it another modality, or in another unit?",
                format_number(own.low()),
                format_number(own.high()),
                format_number(low.min),
                format_number(high.max)
            )
        })
    }

    fn orientation(&self, scan: &Scan) -> Option<String> {
        (!self.orientations.contains_key(&scan.orientation)).then(|| {
            let training: Vec<&str> = self.orientations.keys().map(String::as_str).collect();
            format!(
                "its file is stored as {}, those of the training scans as {}",
                scan.orientation,
                training.join(", ")
            )
        })
    }
}

/// Returns whether a value is smaller than the smallest or larger than the largest by more than a factor, along any axis.
fn is_outside(own: [f64; 3], training: &Span<[f64; 3]>, factor: f64) -> bool {
    (0..3).any(|axis| own[axis] < training.min[axis] / factor || own[axis] > training.max[axis] * factor)
}

fn triple(values: [f64; 3]) -> String {
    values.map(short).join(" x ")
}

fn range(span: &Span<[f64; 3]>) -> String {
    [0, 1, 2].map(|axis| bounds(span.min[axis], span.max[axis])).join(" x ")
}

fn bounds(low: f64, high: f64) -> String {
    let (low, high) = (short(low), short(high));
    if low == high { low } else { format!("{low}-{high}") }
}

/// Formats a number with three significant digits, or with all digits before the point.
fn short(value: f64) -> String {
    let digits = (2 - value.abs().max(1e-9).log10().floor() as i32).max(0);
    let scale = 10f64.powi(digits);
    format_number((value * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::scan::PERCENTILES;
    use super::super::{Channel, FORMAT};
    use super::*;

    fn intensities(low: f64, high: f64) -> Intensities {
        let at = |percent: f64| low + (high - low) * (percent - 0.5) / 99.0;
        Intensities { percentiles: PERCENTILES.map(at) }
    }

    fn same<T: Copy>(value: T) -> Span<T> {
        Span { min: value, median: value, max: value }
    }

    /// CT scans of 300 x 300 x 300 mm, of 5 x 5 x 6 mm to 5 x 5 x 3 mm.
    fn ct() -> Fingerprint {
        let spacing = Span { min: [5.0, 5.0, 3.0], median: [5.0, 5.0, 6.0], max: [5.0, 5.0, 6.0] };
        let measured = [intensities(-1024.0, 400.0), intensities(-1000.0, 900.0)];
        Fingerprint {
            format: FORMAT,
            subjects: 2,
            spacing_mm: spacing,
            shape: same([60.0, 60.0, 50.0]),
            size_mm: same([300.0; 3]),
            preprocessed_spacing_mm: spacing,
            orientations: BTreeMap::from([("LPS".to_owned(), 2)]),
            channels: vec![Channel::new(Some("CT".to_owned()), &measured.iter().collect::<Vec<_>>())],
        }
    }

    fn scan() -> Scan {
        Scan {
            spacing_mm: [5.0; 3],
            shape: [60; 3],
            orientation: "LPS".to_owned(),
            preprocessed_spacing_mm: [5.0; 3],
            intensities: vec![intensities(-1010.0, 700.0)],
        }
    }

    fn kinds(scan: &Scan) -> Vec<DifferenceKind> {
        ct().differences(scan).into_iter().map(|difference| difference.kind).collect()
    }

    #[test]
    fn a_scan_like_those_of_the_training_set_has_no_differences() {
        assert_eq!(ct().differences(&scan()), []);
    }

    #[test]
    fn a_finer_scan_is_reported_with_the_resample_step_that_is_missing() {
        let fine = Scan { spacing_mm: [0.74, 0.74, 1.0], shape: [400, 400, 300], ..scan() };
        // What counts is what the network sees: a chain that resamples has no such difference.
        assert_eq!(kinds(&fine), []);
        let unresampled = Scan { preprocessed_spacing_mm: [0.74, 0.74, 1.0], ..fine };
        let differences = ct().differences(&unresampled);
        assert_eq!(differences[0].kind, DifferenceKind::Spacing);
        let message = &differences[0].message;
        assert!(message.contains("0.74 x 0.74 x 1 mm, those of the training scans 5 x 5 x 3-6 mm"), "{message}");
        assert!(message.contains("resample: { spacing_mm: [5, 5, 6] }"), "{message}");
    }

    #[test]
    fn any_axis_that_is_unlike_is_reported() {
        for axis in 0..3 {
            let mut thick = scan();
            thick.preprocessed_spacing_mm[axis] = 8.0;
            assert_eq!(kinds(&thick), [DifferenceKind::Spacing], "axis {axis}");
            let mut thin = scan();
            thin.shape[axis] = 1;
            assert_eq!(kinds(&thin), [DifferenceKind::Size], "axis {axis}");
        }
    }

    #[test]
    fn another_modality_is_reported_and_another_scale_of_the_same_is_not() {
        let with = |low, high| Scan { intensities: vec![intensities(low, high)], ..scan() };
        for (low, high) in [(0.0, 800.0), (0.0, 1.0), (0.0, 250_000.0), (-0.1, 0.04)] {
            assert_eq!(kinds(&with(low, high)), [DifferenceKind::Intensities], "{low} to {high}");
        }
        assert_eq!(kinds(&with(-1024.0, 1500.0)), []);
        let flat = ct().differences(&with(7.0, 7.0));
        assert!(flat[0].message.contains("are 7, so it has no contrast"), "{flat:?}");
        let message = &ct().differences(&with(0.0, 800.0))[0].message;
        assert!(message.contains("from 0 to 800") && message.contains("scans (CT) from -1024 to 900"), "{message}");
    }

    #[test]
    fn another_orientation_is_noted_without_harm() {
        let difference = &ct().differences(&Scan { orientation: "RAS".to_owned(), ..scan() })[0];
        assert!(!difference.kind.is_harmful() && difference.message.contains("RAS"), "{difference:?}");
    }
}
