//! Intensities that are unusual among those of the other subjects.
//!
//! Hounsfield units mean the same in every subject, so mean intensities are compared. Intensities of MRI have no unit, so
//! only factors that no scanner explains are reported.

use super::outliers::{median, outliers};
use super::summary::{Intensities, Summary};
use super::{Dataset, Finding, Severity};
use values::format_number;

/// Intensities are Hounsfield units if most images have values of at most this: air is -1000, fat -100.
const MAX_LOWEST_HU: f64 = -200.0;
/// Fraction of subjects that must have a property for it to be expected of all.
const MIN_MAJORITY: f64 = 0.75;
/// Minimum difference between the mean of a CT image and the median of the means for it to be unusual, in HU.
const MIN_DIFFERENCE_HU: f64 = 500.0;
/// Minimum factor between intensities without a unit and their median for them to be unusual.
const MIN_FACTOR: f64 = 20.0;
/// Maximum ratio of the intensities of images that need no normalization.
const MAX_SCALE_RATIO: f64 = 10.0;
/// An image is considered normalized or shifted if its minimum is below zero by more than this fraction of its maximum.
const MIN_NEGATIVE_FRACTION: f64 = 0.05;

/// Compares each channel with the same channel of the other subjects.
pub(super) fn check(summaries: &[Summary], dataset: &Dataset) -> Vec<Finding> {
    let channels = summaries.iter().filter_map(|summary| summary.image.as_ref()).map(|image| image.channels.len());
    let num_channels = channels.max().unwrap_or(0);
    (0..num_channels).flat_map(|channel| check_channel(summaries, dataset, channel, num_channels > 1)).collect()
}

fn check_channel(summaries: &[Summary], dataset: &Dataset, channel: usize, several: bool) -> Vec<Finding> {
    let all: Vec<(&str, Intensities)> = summaries
        .iter()
        .filter_map(|summary| {
            Some((summary.name.as_str(), summary.image.as_ref()?.channels.get(channel)?.intensities?))
        })
        .filter(|(_, intensities)| !intensities.are_constant())
        .collect();
    let fraction = |has_property: &dyn Fn(&Intensities) -> bool| {
        all.iter().filter(|(_, intensities)| has_property(intensities)).count() as f64 / all.len().max(1) as f64
    };
    let prefix = if several { format!("channel {channel}: ") } else { String::new() };
    let mut scale = None;
    let notes = if fraction(&|intensities| intensities.lowest <= MAX_LOWEST_HU) > MIN_MAJORITY {
        hounsfield(&all)
    } else if fraction(&|intensities| intensities.lowest >= 0.0) > MIN_MAJORITY {
        scale = scale_note(&all, dataset);
        positive(&all)
    } else {
        Vec::new()
    };
    let unusual = notes
        .into_iter()
        .map(|(name, text)| Finding::note("images of unusual intensity", name, format!("{prefix}{text}")));
    let scale = scale.map(|text| {
        Finding::shared(Severity::Note, "channels whose scale differs from image to image", format!("{prefix}{text}"))
    });
    unusual.chain(scale).collect()
}

/// Notes on CT images: without negative values they have lost their offset; others may have an unusual mean.
fn hounsfield<'a>(all: &[(&'a str, Intensities)]) -> Vec<(&'a str, String)> {
    let usual = median(all.iter().map(|(_, intensities)| intensities.lowest));
    let (shifted, others): (Vec<_>, Vec<_>) = all.iter().partition(|(_, intensities)| intensities.lowest >= 0.0);
    let offset = |(name, intensities): (&'a str, Intensities)| {
        let text = format!(
            "its smallest intensity is {}, but the median is {}: is it stored without its offset?",
            format_number(intensities.lowest),
            format_number(usual)
        );
        (name, text)
    };
    let means: Vec<f64> = others.iter().map(|(_, intensities)| intensities.mean).collect();
    let level = |index: usize| {
        let (name, intensities) = others[index];
        let text = format!(
            "its mean intensity of {} is unusual; the median of the means is {}",
            format_number(intensities.mean),
            format_number(median(means.iter().copied()))
        );
        (name, text)
    };
    let levels: Vec<_> = outliers(&means, MIN_DIFFERENCE_HU).into_iter().map(level).collect();
    shifted.into_iter().map(offset).chain(levels).collect()
}

/// Notes on images without a unit and mostly without negative values: some have negative values nevertheless, or are
/// brighter by orders of magnitude.
fn positive<'a>(all: &[(&'a str, Intensities)]) -> Vec<(&'a str, String)> {
    let is_signed = |intensities: &Intensities| intensities.lowest < -MIN_NEGATIVE_FRACTION * intensities.highest.abs();
    let (signed, others): (Vec<_>, Vec<_>) = all.iter().partition(|(_, intensities)| is_signed(intensities));
    let normalized = |(name, intensities): (&'a str, Intensities)| {
        let text = format!(
            "its intensities range from {} to {}, but those of most subjects are not negative: was it normalized or shifted?",
            format_number(intensities.lowest),
            format_number(intensities.highest)
        );
        (name, text)
    };
    let bright: Vec<(&str, f64)> =
        others.iter().map(|(name, intensities)| (*name, intensities.high)).filter(|(_, high)| *high > 0.0).collect();
    let logarithms: Vec<f64> = bright.iter().map(|(_, high)| high.ln()).collect();
    let level = |index: usize| {
        let (name, high) = bright[index];
        let usual = median(bright.iter().map(|(_, high)| *high));
        let text = format!(
            "its 99.5th percentile of {} is unusual; the median is {}",
            format_number(high),
            format_number(usual)
        );
        (name, text)
    };
    let levels: Vec<_> = outliers(&logarithms, MIN_FACTOR.ln()).into_iter().map(level).collect();
    signed.into_iter().map(normalized).chain(levels).collect()
}

/// Returns a note if images have very different scales and no step of the preprocess chain normalizes them. Single outliers
/// are reported by themselves.
fn scale_note(all: &[(&str, Intensities)], dataset: &Dataset) -> Option<String> {
    if dataset.chain.iter().any(|step| step.component().normalizes()) {
        return None;
    }
    let highs: Vec<f64> = all.iter().map(|(_, intensities)| intensities.high).filter(|high| *high > 0.0).collect();
    let outliers = outliers(&highs.iter().map(|high| high.ln()).collect::<Vec<_>>(), MIN_FACTOR.ln());
    let usual = highs.iter().enumerate().filter(|(index, _)| !outliers.contains(index)).map(|(_, high)| *high);
    let (low, high) = usual.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), one| (low.min(one), high.max(one)));
    (high / low > MAX_SCALE_RATIO).then(|| {
        format!(
            "the 99.5th percentiles of the images range from {} to {}, and no step of `preprocess` normalizes intensities; add one, such as `z_normalize: {{}}`",
            format_number(low),
            format_number(high)
        )
    })
}
