//! Reading one subject: a summary of its voxels, and faults of its files.

use std::path::Path;

use super::summary::{Channel, Image, LabelMap, Summary};
use super::{Dataset, Finding};
use crate::alignment::{Role, align, axis_order, check_same_axis_order};
use crate::samplers::check_weights;
use crate::sources::Generator;
use crate::subject::Subject;
use crate::weight_maps::weight_map;
use transforms::Incoming;
use transforms::lazy;
use values::format_number;
use volume::io::{self, ImageError};
use volume::{AxisPermutation, Grid, Label, Voxels, unravel_index};

/// Reads a subject, or generates it if it is synthetic.
pub(super) fn read(dataset: &Dataset, subject: &Subject) -> Summary {
    let mut summary = match dataset.generator {
        Some(generator) => generated(dataset, generator, &subject.name),
        None => from_files(dataset, subject),
    };
    summary.name = subject.name.clone();
    for pattern in &dataset.weight_maps {
        if let Some(fault) = weights_fault(dataset, &subject.name, pattern, summary.grid.as_ref()) {
            let text = format!("weight map {fault}");
            summary.findings.push(Finding::fault("unusable weight maps", &subject.name, text));
        }
    }
    summary
}

/// Summarizes a synthetic subject, whose files may not exist before a run starts.
fn generated(dataset: &Dataset, generator: &dyn Generator, name: &str) -> Summary {
    let volume = generator.generate(name);
    let label = volume.label.map(|label| label_map(dataset, &volume.grid, volume.image.channels, label));
    Summary { grid: Some(volume.grid), image: Some(Image::of(&volume.image)), label, ..Summary::default() }
}

/// Summarizes a subject from its files, each by itself, so that an unreadable one does not hide faults of the others.
fn from_files(dataset: &Dataset, subject: &Subject) -> Summary {
    let name = &subject.name;
    let mut findings = Vec::new();
    let mut grid = None;
    let mut channels = Vec::new();
    // Missing files are reported by `files::check`.
    let mut is_whole = !dataset.listing.lacks(name, Role::Image);
    for path in subject.images.iter().filter(|path| path.exists()) {
        match io::read_image(path) {
            Ok((own, voxels)) => {
                findings.extend(grid_findings(dataset, name, (Role::Image, path), &own, grid.as_ref()));
                grid.get_or_insert(own);
                let image = Image::of(&voxels);
                findings.extend(image_findings(dataset, name, path, &image));
                channels.extend(image.channels);
            }
            Err(error) => {
                is_whole = false;
                findings.push(Finding::fault("image files that cannot be read", name, format!("image {error}")));
            }
        }
    }
    let label = subject.label.as_deref().and_then(|path| {
        let (own, label) = match io::read_label(path) {
            Ok(read) => read,
            Err(error) => {
                let text = format!("label map {}", unreadable_label(path, error));
                findings.push(Finding::fault("label maps that cannot be read", name, text));
                return None;
            }
        };
        findings.extend(grid_findings(dataset, name, (Role::LabelMap, path), &own, grid.as_ref()));
        let aligned = grid.and_then(|image| {
            let label = align(Role::LabelMap, path, (own, label.clone()), (Role::Image, &image)).ok()?;
            Some((image, label))
        });
        let (own, label) = aligned.unwrap_or((own, label));
        let map = label_map(dataset, &own, channels.len().max(1), label);
        findings.extend(undeclared(dataset, name, path, &map));
        Some(map)
    });
    Summary { findings, grid, image: is_whole.then_some(Image { channels }), label, ..Summary::default() }
}

/// Reports suspicious voxels of one image file.
fn image_findings(dataset: &Dataset, name: &str, path: &Path, image: &Image) -> Vec<Finding> {
    let mut findings = Vec::new();
    let several = image.channels.len() > 1;
    for (index, channel) in image.channels.iter().enumerate() {
        let suffix = if several { format!(", channel {index}") } else { String::new() };
        let file = format!("image {}{suffix}", path.display());
        if let Some(first) = channel.first_not_finite {
            let kind = "images with voxels that are not finite";
            let text = format!("{file}: {}, the first at {first:?}", not_finite(channel));
            findings.push(if lazy::replaces_not_finite(dataset.chain) {
                Finding::note(kind, name, format!("{text}; `preprocess` replaces them"))
            } else {
                let help = "fix the image, or begin `preprocess` with `- replace_non_finite: { with: 0 }`";
                Finding::fault(kind, name, format!("{text}; {help}"))
            });
        }
        if let Some(intensities) = channel.intensities.filter(|intensities| intensities.are_constant()) {
            let text = format!("{file}: every voxel is {}; the image has no contrast", intensities.lowest);
            // One channel of several may be empty because it was not acquired.
            let kind = "images without contrast";
            findings.push(if several { Finding::note(kind, name, text) } else { Finding::fault(kind, name, text) });
        }
    }
    findings
}

/// Describes the voxels that are not finite, such as `2 voxels are not a number`.
fn not_finite(channel: &Channel) -> String {
    let counted = [(channel.num_nan, "not a number"), (channel.num_infinite, "infinite")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(
            |(count, kind)| {
                if count == 1 { format!("1 voxel is {kind}") } else { format!("{count} voxels are {kind}") }
            },
        );
    counted.collect::<Vec<_>>().join(" and ")
}

/// Minimum offset between corresponding corners of grids that count as equal for a note, in voxels.
const MIN_OFFSET: f64 = 0.05;

/// Reports a grid that differs from that of the subject's first image, and an ambiguous position in the header.
fn grid_findings(
    dataset: &Dataset,
    name: &str,
    (role, path): (Role, &Path),
    own: &Grid,
    image: Option<&Grid>,
) -> Vec<Finding> {
    let file = format!("{role} {}", path.display());
    let mut findings = Vec::new();
    if let Some(image) = image {
        let reference = (Role::Image, image);
        let compared = match dataset.reorients {
            true => axis_order(role, path, own, reference).map(drop),
            false => check_same_axis_order(role, path, own, reference),
        };
        if let Err(mismatch) = compared {
            findings.push(Finding::fault("files on another grid than their image", name, mismatch.to_string()));
        } else if let Some(order) = AxisPermutation::between(own, image) {
            let offset = image.max_corner_offset(&order.apply_to_grid(own).affine);
            if offset >= MIN_OFFSET {
                let offset = format_number(offset);
                let text =
                    format!("{file}: its corners are up to {offset} voxels from those of the image, which is ignored");
                findings.push(Finding::note("grids that differ slightly", name, text));
            }
        }
    }
    // If the file has been removed since it was read, there is nothing to add.
    if let Ok(header) = io::read_header(path) {
        let notes = header.ambiguities.into_iter();
        let note = |ambiguity| Finding::note("ambiguous headers", name, format!("{file}: {ambiguity}"));
        findings.extend(notes.map(note));
    }
    findings
}

/// Formats sizes along x, y and z, such as `64 x 64 x 32`.
pub(super) fn shape_text(sizes: [usize; 3]) -> String {
    sizes.map(|size| size.to_string()).join(" x ")
}

/// Describes why a label map cannot be read; if its values are not labels, with their number.
fn unreadable_label(path: &Path, error: ImageError) -> String {
    let ImageError::Label { .. } = error else { return error.to_string() };
    let Ok((_, voxels)) = io::read_image(path) else { return error.to_string() };
    let Ok(header) = io::read_header(path) else { return error.to_string() };
    let mut wrong = voxels.iter().enumerate().filter(|(_, value)| !header.is_label(**value));
    // Values that differ from labels only in double precision look like labels here.
    let Some((index, first)) = wrong.next() else { return error.to_string() };
    let count = 1 + wrong.count();
    format!(
        "{}: {count} of {} voxels are not whole numbers from 0 to 65535, such as {first} at {:?}; is this the image instead of the label map, or was it resampled linearly?",
        path.display(),
        voxels.len(),
        unravel_index(voxels.shape, index)
    )
}

/// Summarizes a label map before and after the preprocess chain.
fn label_map(dataset: &Dataset, grid: &Grid, channels: usize, stored: Voxels<Label>) -> LabelMap {
    let incoming = Incoming { grid: *grid, channels };
    let preprocessed = lazy::relabel(dataset.chain, &lazy::fixed_params(dataset.chain, &incoming), stored.clone());
    LabelMap::of(grid, &stored, &preprocessed, dataset.ignore)
}

/// Returns the fault of one of a subject's weight maps; a missing file is reported by `check`, which reads headers.
fn weights_fault(dataset: &Dataset, name: &String, pattern: &str, image: Option<&Grid>) -> Option<String> {
    let path = weight_map(pattern, name);
    let is_used = dataset.parts.train.contains(name) || dataset.parts.val.contains(name);
    if !(is_used && path.is_file()) {
        return None;
    }
    let (grid, map) = match io::read_image(&path) {
        Ok(read) => read,
        Err(error) => return Some(error.to_string()),
    };
    let order = image.map(|image| axis_order(Role::WeightMap, &path, &grid, (Role::Image, image)));
    let is_mismatched = order.is_some_and(|order| order.is_err()) || map.channels != 1;
    // `check` reports a mismatch as a problem of the experiment, with its line.
    let reason = if is_mismatched { return None } else { check_weights(&map).err()? };
    Some(format!("{}: {reason}", path.display()))
}

/// Reports labels that are not declared, each with its number of voxels.
fn undeclared(dataset: &Dataset, name: &str, path: &Path, map: &LabelMap) -> Option<Finding> {
    const MAX_SHOWN: usize = 8;
    let is_declared = |value: &Label| dataset.labels.iter().any(|(label, _)| label == value);
    let wrong: Vec<String> = map
        .voxels
        .iter()
        .filter(|(label, _)| !is_declared(label))
        .map(|(label, count)| format!("{label} ({count} voxel{})", if *count == 1 { "" } else { "s" }))
        .collect();
    let more = if wrong.len() > MAX_SHOWN { format!(" and {} more", wrong.len() - MAX_SHOWN) } else { String::new() };
    let values = wrong[..wrong.len().min(MAX_SHOWN)].join(", ");
    (!wrong.is_empty()).then(|| {
        let text = format!("label map {}: label values {values}{more} are not declared in data.labels", path.display());
        Finding::fault("label maps with labels that data.labels does not declare", name, text)
    })
}
