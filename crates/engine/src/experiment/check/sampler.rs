//! Rules for the patch sampler.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Diagnostics;
use super::data::some;
use crate::experiment::problem::Problem;
use dataset::samplers::{ForegroundOversampleSampler, GridSampler, LabelSampler, Sampler};
use dataset::split::Parts;
use volume::io::read_header;
use volume::{GRID_TOLERANCE_MM, Grid};

pub(super) fn check(diagnostics: &mut Diagnostics) {
    match &diagnostics.document.experiment.sampler {
        Sampler::Grid(grid) => check_overlap(diagnostics, grid),
        Sampler::ForegroundOversample(oversample) => check_share(diagnostics, oversample),
        Sampler::Label(label) => check_probabilities(diagnostics, label),
        Sampler::Uniform(_) | Sampler::Weighted(_) => {}
    }
}

/// Checks that some label has a probability above 0.
fn check_probabilities(diagnostics: &mut Diagnostics, label: &LabelSampler) {
    if label.probabilities.as_ref().is_some_and(|map| map.values().all(|weight| weight.get() == 0.0)) {
        diagnostics.problem(
            "sampler.label.probabilities",
            "expected a probability above 0, got none",
            "give the labels weights, as in { 0: 0.2, 1: 0.8 }",
        );
    }
}

/// Neighbouring patches must not share all their voxels.
fn check_overlap(diagnostics: &mut Diagnostics, grid: &GridSampler) {
    for axis in (0..3).filter(|axis| grid.overlap.0[*axis] >= grid.patch.0[*axis]) {
        let message = format!(
            "expected an overlap below the patch's {} voxels, got {}",
            grid.patch.0[axis], grid.overlap.0[axis]
        );
        let half = grid.patch.0[axis] / 4 * 2;
        diagnostics.problem(&format!("sampler.grid.overlap.{axis}"), message, format!("half of the patch is {half}"));
    }
}

/// Of small batches rounding may leave none that is forced.
fn check_share(diagnostics: &mut Diagnostics, oversample: &ForegroundOversampleSampler) {
    let batch_size = diagnostics.document.experiment.train.batch_size.get();
    let share = oversample.share.get();
    if share > 0.0 && oversample.num_unforced(batch_size) >= batch_size {
        diagnostics.warning(format!(
            "of a batch of {batch_size}, a share of {share} forces no patch to hold foreground, since nnU-Net's rule rounds it away; take a larger batch or share"
        ));
    }
}

/// The map of every subject that patches are cut from must be there and lie on the grid of its image.
pub(super) fn check_maps(diagnostics: &mut Diagnostics, parts: &Parts, grids: &BTreeMap<String, Grid>) {
    let Sampler::Weighted(sampler) = &diagnostics.document.experiment.sampler else { return };
    let path = "sampler.weighted.map";
    let mut missing = Vec::new();
    for name in parts.train.iter().chain(&parts.val) {
        let (map, Some(grid)) = (sampler.path(name), grids.get(name)) else { continue };
        if !map.is_file() {
            missing.push(map);
            continue;
        }
        let header = match read_header(&map) {
            Ok(header) => header,
            Err(error) => {
                let location = diagnostics.document.location(path);
                let problem = Problem::at(Some(location), format!("subject {name}: {error}"));
                diagnostics.problems.push(problem.help("mend the file").failure());
                continue;
            }
        };
        if header.channels != 1 {
            let message =
                format!("subject {name}: expected a map of 1 channel, got {} in {}", header.channels, map.display());
            diagnostics.problem(path, message, "write one weight for each voxel");
        }
        if !header.grid.matches(grid, GRID_TOLERANCE_MM) {
            let message = format!(
                "subject {name}: the map {} of {:?} voxels does not lie on the grid of its image of {:?}",
                map.display(),
                header.grid.shape,
                grid.shape
            );
            diagnostics.problem(path, message, "resample the map onto the image");
        }
    }
    if !missing.is_empty() {
        diagnostics.problem(
            path,
            format!("{} of the maps do not exist: {}", missing.len(), some(&shown(&missing))),
            "`{subject}` stands for a subject's name; paths are relative to the working folder",
        );
    }
}

fn shown(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use crate::experiment::check::{check_document, summarize_dataset};
    use crate::experiment::load::{Document, parse};
    use dataset::phantom;
    use volume::io::write_image;
    use volume::{Affine, Grid, Voxels};

    fn experiment(sampler: &str) -> Document {
        let text = format!(
            "data: {{ source: {{ phantom: {{ subjects: 3, shape: [16, 16, 16] }} }}, split: {{ first: 2 }} }}\n\
             sampler: {sampler}\nmodel: {{ unet: {{ widths: [2, 4] }} }}\nloss: {{ dice: {{}} }}\n\
             optimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\ntrain: {{ epochs: 2, batch_size: 1 }}\n"
        );
        parse("a.yaml", &text).unwrap()
    }

    /// What is wrong with the maps of a folder, by message, and whether all are failures of the world.
    fn problems(folder: &std::path::Path) -> (Vec<String>, bool) {
        let map = folder.join("{subject}.nii").display().to_string();
        let document = experiment(&format!("{{ weighted: {{ patch: [8, 8, 8], map: '{map}' }} }}"));
        match summarize_dataset(&document, folder) {
            Ok(_) => (Vec::new(), false),
            Err(problems) => (
                problems.0.iter().map(|problem| problem.message.clone()).collect(),
                problems.0.iter().all(|problem| problem.is_failure),
            ),
        }
    }

    #[test]
    fn maps_that_are_missing_torn_or_elsewhere_are_named_with_their_subjects() {
        let folder = tempfile::tempdir().unwrap();
        let (messages, _) = problems(folder.path());
        assert!(messages[0].starts_with("3 of the maps do not exist") && messages[0].contains("phantom_002.nii"));

        let experiment = experiment("{ uniform: { patch: [8, 8, 8] } }").experiment;
        let dataset::sources::Source::Phantom(source) = &experiment.data.source else { unreachable!() };
        let grid = phantom::grid(source);
        let path = |index: usize| folder.path().join(format!("phantom_00{index}.nii"));
        let write = |index, grid: Grid, channels| {
            let map = Voxels::new(channels, grid.shape, vec![1.0; channels * grid.num_voxels()]);
            write_image(&path(index), &grid, &map).unwrap();
        };
        (0..3).for_each(|index| write(index, grid, 1));
        assert_eq!(problems(folder.path()).0, [""; 0]);

        write(0, Grid { affine: Affine::IDENTITY, ..grid }, 1);
        write(1, grid, 2);
        let (messages, is_failure) = problems(folder.path());
        assert!(
            messages[0].contains("phantom_000") && messages[0].contains("does not lie on the grid"),
            "{messages:?}"
        );
        assert!(messages[1].contains("phantom_001") && messages[1].contains("1 channel, got 2"), "{messages:?}");
        assert!(!is_failure);

        (0..2).for_each(|index| write(index, grid, 1));
        std::fs::write(path(2), b"torn").unwrap();
        let (messages, is_failure) = problems(folder.path());
        assert!(messages[0].contains("subject phantom_002") && messages.len() == 1 && is_failure, "{messages:?}");
    }

    #[test]
    fn a_share_that_forces_nothing_in_a_small_batch_is_warned_of() {
        let oversample = |share| {
            check_document(&experiment(&format!("{{ foreground_oversample: {{ patch: [8, 8, 8], share: {share} }} }}")))
        };
        let warns = |share| oversample(share).unwrap().iter().any(|warning| warning.contains("forces no patch"));
        assert!(warns(0.33) && !warns(0.0) && !warns(0.6));
    }
}
