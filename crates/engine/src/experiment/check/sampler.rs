//! Rules for the patch sampler.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Diagnostics;
use super::data::first_names;
use crate::experiment::problem::Problem;
use dataset::alignment::{Role, axis_order};
use dataset::split::Parts;
use dataset::weight_maps::{WeightUse, weight_map};
use volume::Grid;
use volume::io::read_header;

/// Checks the keys of the sampler.
pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    let reported = experiment.sampler.component().check(experiment.train.batch_size.get());
    diagnostics.component(&format!("sampler.{}", experiment.sampler.name()), reported);
}

/// Checks that the weight maps of every subject that patches are sampled from exist and have the grid of its image.
pub(super) fn check_maps(diagnostics: &mut Diagnostics, parts: &Parts, grids: &BTreeMap<String, Grid>) {
    let experiment = &diagnostics.document.experiment;
    for (purpose, pattern) in experiment.weight_maps() {
        let path = match purpose {
            WeightUse::Sampling => format!("sampler.{}.map", experiment.sampler.name()),
            WeightUse::Loss => "train.loss_weights.map".to_owned(),
        };
        check_map_files(diagnostics, (&path, pattern), parts, grids);
    }
}

/// Checks the weight maps of a pattern, the value of the key `path`.
fn check_map_files(
    diagnostics: &mut Diagnostics,
    (path, pattern): (&str, &str),
    parts: &Parts,
    grids: &BTreeMap<String, Grid>,
) {
    let mut missing = Vec::new();
    for name in parts.train.iter().chain(&parts.val) {
        let (map, Some(grid)) = (weight_map(pattern, name), grids.get(name)) else { continue };
        if !map.is_file() {
            missing.push(map);
            continue;
        }
        let header = match read_header(&map) {
            Ok(header) => header,
            Err(error) => {
                let location = diagnostics.document.location(path);
                let problem = Problem::at(Some(location), format!("subject {name}: {error}"));
                diagnostics.problems.push(problem.help("fix the file").failure());
                continue;
            }
        };
        if header.channels != 1 {
            let message = format!(
                "subject {name}: expected a weight map with 1 channel, got {} in {}",
                header.channels,
                map.display()
            );
            diagnostics.problem(path, message, "use one weight per voxel");
        }
        if let Err(mismatch) = axis_order(Role::WeightMap, &map, &header.grid, (Role::Image, grid)) {
            let message = format!("subject {name}: weight map {}: {}", map.display(), mismatch.what());
            diagnostics.problem(path, message, mismatch.fix());
        }
    }
    if !missing.is_empty() {
        diagnostics.problem(
            path,
            format!("{} of the weight maps do not exist: {}", missing.len(), first_names(&displayed(&missing))),
            "`{subject}` is replaced by a subject's name; paths are relative to the working folder",
        );
    }
}

fn displayed(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use crate::experiment::check::{check_document, summarize_dataset};
    use crate::experiment::load::{Document, parse};
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

    /// Returns the messages about the weight maps of a folder, and whether all are failures of the environment.
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
    fn missing_damaged_and_misplaced_weight_maps_are_named_with_their_subjects() {
        let folder = tempfile::tempdir().unwrap();
        let (messages, _) = problems(folder.path());
        assert!(
            messages[0].starts_with("3 of the weight maps do not exist") && messages[0].contains("phantom_002.nii")
        );

        let experiment = experiment("{ uniform: { patch: [8, 8, 8] } }").experiment;
        let grid = experiment.data.source.component().generator().unwrap().grid();
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
            messages[0].contains("phantom_000") && messages[0].contains("they cover different regions"),
            "{messages:?}"
        );
        assert!(messages[1].contains("phantom_001") && messages[1].contains("1 channel, got 2"), "{messages:?}");
        assert!(!is_failure);

        (0..2).for_each(|index| write(index, grid, 1));
        std::fs::write(path(2), b"damaged").unwrap();
        let (messages, is_failure) = problems(folder.path());
        assert!(messages[0].contains("subject phantom_002") && messages.len() == 1 && is_failure, "{messages:?}");
    }

    #[test]
    fn a_fraction_that_rounds_down_to_no_patch_causes_a_warning() {
        let oversample = |share| {
            check_document(&experiment(&format!("{{ foreground_oversample: {{ patch: [8, 8, 8], share: {share} }} }}")))
        };
        let warns = |share| {
            oversample(share).unwrap().iter().any(|warning| warning.contains("guarantees foreground in no patch"))
        };
        assert!(warns(0.33) && !warns(0.0) && !warns(0.6));
    }
}
