//! The number of channels of the images, which must be the same for all subjects.

use super::Diagnostics;
use dataset::expected_channels::ExpectedChannels;
use dataset::sources::Listing;
use dataset::subject::Subject;

/// Checks that all subjects have the number of channels that the dataset declares, or that most of them have; returns it.
/// `channels_of` are the subjects with the channels of all their images.
pub(super) fn check_same_channels(
    diagnostics: &mut Diagnostics,
    listing: &Listing,
    channels_of: &[(&Subject, usize)],
) -> usize {
    let declared = Some(listing.channel_names.len()).filter(|count| *count > 0);
    let expected = ExpectedChannels::of(channels_of.iter().map(|(_, channels)| *channels), declared);
    let others = channels_of.iter().filter_map(|(subject, channels)| {
        let expected = expected.filter(|expected| expected.count != *channels)?;
        Some(format!("subject {}: {}", subject.name, expected.difference(&subject.images, *channels)))
    });
    diagnostics.files(
        "subjects have another number of channels",
        others.collect(),
        "correct the files, or remove the subjects; all need the same channels",
    );
    expected.map_or(1, |expected| expected.count)
}
