//! Reading one subject: a summary of its voxels, and faults of its files.

use std::path::Path;

use super::summary::{Channel, Image, LabelMap, Summary};
use super::{Dataset, Finding};
use crate::load::{Role, check_grid};
use crate::samplers::check_weights;
use crate::sources::Generator;
use crate::subject::Subject;
use transforms::Incoming;
use transforms::lazy;
use volume::io::{self, ImageError};
use volume::{GRID_TOLERANCE_MM, Grid, Label, Voxels, unravel_index};

/// Reads a subject, or makes it if it is a phantom.
pub(super) fn read(dataset: &Dataset, subject: &Subject) -> Summary {
    let mut summary = match dataset.generator {
        Some(generator) => made(dataset, generator, &subject.name),
        None => from_files(dataset, subject),
    };
    summary.name = subject.name.clone();
    if let Some(fault) = weights_fault(dataset, &subject.name, summary.grid.as_ref()) {
        summary.findings.push(Finding::fault(&subject.name, format!("map of weights {fault}")));
    }
    summary
}

/// Phantoms are not on disk before a run starts; what they will hold is known all the same.
fn made(dataset: &Dataset, generator: &dyn Generator, name: &str) -> Summary {
    let volume = generator.generate(name);
    let label = volume.label.map(|label| label_map(dataset, &volume.grid, volume.image.channels, label));
    Summary { grid: Some(volume.grid), image: Some(Image::of(&volume.image)), label, ..Summary::default() }
}

/// Each file by itself, so that one that cannot be read hides none of the others.
fn from_files(dataset: &Dataset, subject: &Subject) -> Summary {
    let name = &subject.name;
    let mut findings = Vec::new();
    let mut grid = None;
    let mut channels = Vec::new();
    let mut is_whole = true;
    for path in &subject.images {
        match io::read_image(path) {
            Ok((own, voxels)) => {
                findings.extend(placed(name, Role::Image, path, &own, grid.as_ref()));
                grid.get_or_insert(own);
                let image = Image::of(&voxels);
                findings.extend(image_faults(name, path, &image));
                channels.extend(image.channels);
            }
            Err(error) => {
                is_whole = false;
                findings.push(Finding::fault(name, format!("image {error}")));
            }
        }
    }
    let label = subject.label.as_deref().and_then(|path| {
        let (own, label) = match io::read_label(path) {
            Ok(read) => read,
            Err(error) => {
                findings.push(Finding::fault(name, format!("label map {}", unreadable_label(path, error))));
                return None;
            }
        };
        findings.extend(placed(name, Role::LabelMap, path, &own, grid.as_ref()));
        let map = label_map(dataset, &own, channels.len().max(1), label);
        findings.extend(undeclared(dataset, name, path, &map));
        Some(map)
    });
    Summary { findings, grid, image: is_whole.then_some(Image { channels }), label, ..Summary::default() }
}

/// What is wrong with the voxels of one image file.
fn image_faults(name: &str, path: &Path, image: &Image) -> Vec<Finding> {
    let mut findings = Vec::new();
    let several = image.channels.len() > 1;
    for (index, channel) in image.channels.iter().enumerate() {
        let place = if several { format!(", channel {index}") } else { String::new() };
        let file = format!("image {}{place}", path.display());
        if let Some(first) = channel.first_not_finite {
            let text = format!("{file}: {}, the first at {first:?}; fix the image", not_finite(channel));
            findings.push(Finding::fault(name, text));
        }
        if let Some(intensities) = channel.intensities.filter(|intensities| intensities.are_constant()) {
            let text = format!("{file}: every voxel is {}; the image has no contrast", intensities.lowest);
            // A channel may be missing where the others are there.
            findings.push(if several { Finding::note(name, text) } else { Finding::fault(name, text) });
        }
    }
    findings
}

fn not_finite(channel: &Channel) -> String {
    let counted = [(channel.num_nan, "not a number"), (channel.num_infinite, "infinite")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(
            |(count, what)| {
                if count == 1 { format!("1 voxel is {what}") } else { format!("{count} voxels are {what}") }
            },
        );
    counted.collect::<Vec<_>>().join(" and ")
}

/// Whether a file lies where the subject's first image does, and says clearly where it lies.
fn placed(name: &str, role: Role, path: &Path, own: &Grid, image: Option<&Grid>) -> Vec<Finding> {
    let file = format!("{role} {}", path.display());
    let mut findings = Vec::new();
    if let Some(Err(mismatch)) = image.map(|image| check_grid(role, path, own, image)) {
        findings.push(Finding::fault(name, mismatch.to_string()));
    }
    // It was read a moment ago; if it has gone since, there is nothing to add.
    if let Ok(header) = io::read_header(path) {
        let notes = header.ambiguities.into_iter();
        findings.extend(notes.map(|ambiguity| Finding::note(name, format!("{file}: {ambiguity}"))));
    }
    findings
}

/// Formats sizes along x, y and z, such as `64 x 64 x 32`.
pub(super) fn shape_text(sizes: [usize; 3]) -> String {
    sizes.map(|size| size.to_string()).join(" x ")
}

/// Why a label map cannot be read; where its values are no labels, how many of them are not.
fn unreadable_label(path: &Path, error: ImageError) -> String {
    let ImageError::Label { .. } = error else { return error.to_string() };
    let Ok((_, voxels)) = io::read_image(path) else { return error.to_string() };
    let is_label = |value: &f32| f32::from(*value as Label) == *value;
    let mut wrong = voxels.iter().enumerate().filter(|(_, value)| !is_label(value));
    // Values that only differ from labels in double precision look like labels here.
    let Some((place, first)) = wrong.next() else { return error.to_string() };
    let count = 1 + wrong.count();
    format!(
        "{}: {count} of {} voxels are no whole number from 0 to 65535, such as {first} at {:?}; is this the image instead of the label map, or was it resampled linearly?",
        path.display(),
        voxels.len(),
        unravel_index(voxels.shape, place)
    )
}

/// The summary of a label map and of what the preprocess chain makes of it.
fn label_map(dataset: &Dataset, grid: &Grid, channels: usize, stored: Voxels<Label>) -> LabelMap {
    let incoming = Incoming { grid: *grid, channels };
    let seen = lazy::relabel(dataset.chain, &lazy::fixed_params(dataset.chain, &incoming), stored.clone());
    LabelMap::of(grid, &stored, &seen)
}

/// What is wrong with the map that a subject's patch centres are drawn from; that it is there, `check` sees from headers.
fn weights_fault(dataset: &Dataset, name: &String, image: Option<&Grid>) -> Option<String> {
    let path = dataset.sampler.component().weight_map(name)?;
    let is_used = dataset.parts.train.contains(name) || dataset.parts.val.contains(name);
    if !(is_used && path.is_file()) {
        return None;
    }
    let (grid, map) = match io::read_image(&path) {
        Ok(read) => read,
        Err(error) => return Some(error.to_string()),
    };
    let lies_elsewhere = image.is_some_and(|image| !grid.matches(image, GRID_TOLERANCE_MM)) || map.channels != 1;
    // That is a problem of the experiment, which `check` tells with its place.
    let reason = if lies_elsewhere { return None } else { check_weights(&map).err()? };
    Some(format!("{}: {reason}", path.display()))
}

/// Labels that nobody declared, each with its voxels.
fn undeclared(dataset: &Dataset, name: &str, path: &Path, map: &LabelMap) -> Option<Finding> {
    const MOST: usize = 8;
    let is_declared = |value: &Label| dataset.labels.iter().any(|(label, _)| label == value);
    let wrong: Vec<String> = map
        .voxels
        .iter()
        .filter(|(label, _)| !is_declared(label))
        .map(|(label, count)| format!("{label} ({count} voxel{})", if *count == 1 { "" } else { "s" }))
        .collect();
    let more = if wrong.len() > MOST { format!(" and {} more", wrong.len() - MOST) } else { String::new() };
    let values = wrong[..wrong.len().min(MOST)].join(", ");
    (!wrong.is_empty()).then(|| {
        let text = format!("label map {}: label values {values}{more} are not declared in data.labels", path.display());
        Finding::fault(name, text)
    })
}
