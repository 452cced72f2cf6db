//! Intensities that are unusual among those of the other subjects.
//!
//! Hounsfield units mean the same in every subject, so there levels are compared. What a magnet measures has no unit:
//! only factors that no scanner explains are told.

use super::spread::{median, unusual};
use super::summary::{Intensities, Summary};
use super::{Dataset, Finding};
use values::format_number;

/// Where most images go below this value, intensities are Hounsfield units: air is -1000, fat -100.
const BELOW_WATER_HU: f64 = -200.0;
/// The share of subjects that makes a rule of what they have in common.
const MOST: f64 = 0.75;
/// Means of CT images that differ by less than this, in HU, are never called unusual.
const LEAST_HU: f64 = 500.0;
/// Without a unit, intensities within this factor of the median are never called unusual.
const LEAST_FACTOR: f64 = 20.0;
/// Values above and below zero as in a normalised image: this share of the largest lies below.
const LEAST_NEGATIVE_SHARE: f64 = 0.05;

/// Compares each channel with the same channel of the others.
pub(super) fn check(summaries: &[Summary], _: &Dataset) -> Vec<Finding> {
    let channels = summaries.iter().filter_map(|summary| summary.image.as_ref()).map(|image| image.channels.len());
    let most = channels.max().unwrap_or(0);
    (0..most).flat_map(|channel| check_channel(summaries, channel, most > 1)).collect()
}

fn check_channel(summaries: &[Summary], channel: usize, several: bool) -> Vec<Finding> {
    let all: Vec<(&str, Intensities)> = summaries
        .iter()
        .filter_map(|summary| {
            Some((summary.name.as_str(), summary.image.as_ref()?.channels.get(channel)?.intensities?))
        })
        .filter(|(_, intensities)| !intensities.are_constant())
        .collect();
    let share = |holds: &dyn Fn(&Intensities) -> bool| {
        all.iter().filter(|(_, intensities)| holds(intensities)).count() as f64 / all.len().max(1) as f64
    };
    let told = if share(&|intensities| intensities.lowest <= BELOW_WATER_HU) > MOST {
        hounsfield(&all)
    } else if share(&|intensities| intensities.lowest >= 0.0) > MOST {
        positive(&all)
    } else {
        Vec::new()
    };
    let place = if several { format!("channel {channel}: ") } else { String::new() };
    told.into_iter().map(|(name, text)| Finding::note(name, format!("{place}{text}"))).collect()
}

/// CT: images that never go below 0 have lost their offset; others may lie at another level.
fn hounsfield<'a>(all: &[(&'a str, Intensities)]) -> Vec<(&'a str, String)> {
    let usual = median(all.iter().map(|(_, intensities)| intensities.lowest));
    let (shifted, sound): (Vec<_>, Vec<_>) = all.iter().partition(|(_, intensities)| intensities.lowest >= 0.0);
    let offset = |(name, intensities): (&'a str, Intensities)| {
        let text = format!(
            "its smallest intensity is {}, where the median is {}: is it stored without its offset?",
            format_number(intensities.lowest),
            format_number(usual)
        );
        (name, text)
    };
    let means: Vec<f64> = sound.iter().map(|(_, intensities)| intensities.mean).collect();
    let level = |place: usize| {
        let (name, intensities) = sound[place];
        let text = format!(
            "its mean intensity of {} is unusual; the median of the means is {}",
            format_number(intensities.mean),
            format_number(median(means.iter().copied()))
        );
        (name, text)
    };
    let levels: Vec<_> = unusual(&means, LEAST_HU).into_iter().map(level).collect();
    shifted.into_iter().map(offset).chain(levels).collect()
}

/// No unit and nothing below 0: images that have negative values all the same, or are brighter by orders of magnitude.
fn positive<'a>(all: &[(&'a str, Intensities)]) -> Vec<(&'a str, String)> {
    let is_signed = |intensities: &Intensities| intensities.lowest < -LEAST_NEGATIVE_SHARE * intensities.highest.abs();
    let (signed, sound): (Vec<_>, Vec<_>) = all.iter().partition(|(_, intensities)| is_signed(intensities));
    let normalised = |(name, intensities): (&'a str, Intensities)| {
        let text = format!(
            "its intensities go from {} to {}, where those of most subjects are not negative: was it normalised or shifted?",
            format_number(intensities.lowest),
            format_number(intensities.highest)
        );
        (name, text)
    };
    let bright: Vec<(&str, f64)> =
        sound.iter().map(|(name, intensities)| (*name, intensities.high)).filter(|(_, high)| *high > 0.0).collect();
    let logarithms: Vec<f64> = bright.iter().map(|(_, high)| high.ln()).collect();
    let level = |place: usize| {
        let (name, high) = bright[place];
        let usual = median(bright.iter().map(|(_, high)| *high));
        let text = format!(
            "its bright voxels, at {}, are unusual; the median is {}",
            format_number(high),
            format_number(usual)
        );
        (name, text)
    };
    let levels: Vec<_> = unusual(&logarithms, LEAST_FACTOR.ln()).into_iter().map(level).collect();
    signed.into_iter().map(normalised).chain(levels).collect()
}
