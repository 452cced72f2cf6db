//! Replaces paths of reference images by the grids of the images.

use super::load::Document;
use super::problem::{Problem, Problems};
use transforms::{Reference, Transform};
use volume::nifti;

impl Document {
    /// Reads the grids of the reference images that transforms name.
    ///
    /// # Errors
    /// Every file that cannot be read.
    pub(super) fn with_references(mut self) -> Result<Self, Problems> {
        let (mut preprocess, mut augment) = (self.experiment.preprocess.clone(), self.experiment.augment.clone());
        let mut problems = Vec::new();
        for (name, chain) in [("preprocess", &mut preprocess), ("augment", &mut augment)] {
            for (index, step) in chain.iter_mut().enumerate() {
                resolve(step, &format!("{name}.{index}"), &self, &mut problems);
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        (self.experiment.preprocess, self.experiment.augment) = (preprocess, augment);
        Ok(self)
    }
}

fn resolve(step: &mut Transform, path: &str, document: &Document, problems: &mut Vec<Problem>) {
    match step {
        Transform::Resample(resample) => {
            let Some(Reference::File(file)) = &resample.reference else { return };
            match nifti::read_header(file) {
                Ok(header) => resample.reference = Some(Reference::of(&header.grid)),
                Err(error) => {
                    let location = document.location(&format!("{path}.resample.reference.file"));
                    problems.push(Problem::at(Some(location), error.to_string()).help("name a NIfTI image"));
                }
            }
        }
        Transform::Maybe(maybe) => {
            for (index, inner) in maybe.steps.iter_mut().enumerate() {
                resolve(inner, &format!("{path}.maybe.steps.{index}"), document, problems);
            }
        }
        Transform::OneOf(steps) => {
            for (index, inner) in steps.iter_mut().enumerate() {
                resolve(inner, &format!("{path}.one_of.{index}"), document, problems);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::load::parse;
    use transforms::{Reference, Transform};
    use volume::nifti::write_label;
    use volume::{Affine, Grid, Voxels};

    fn text(file: &str) -> String {
        format!(
            "data: {{ source: {{ phantom: {{}} }} }}\npreprocess: [{{ resample: {{ reference: {{ file: {file} }} }} }}]\n\
             sampler: {{ uniform: {{ patch: [8, 8, 8] }} }}\nmodel: {{ unet: {{ widths: [4] }} }}\nloss: {{ dice: {{}} }}\n\
             optimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\ntrain: {{ epochs: 1 }}\n"
        )
    }

    #[test]
    fn the_document_holds_the_grid_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii.gz");
        let grid = Grid { shape: [2, 3, 4], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [5.0; 3]) };
        write_label(&path, &grid, &Voxels::new(1, grid.shape, vec![0; 24])).unwrap();
        let document = parse("a.yaml", &text(path.to_str().unwrap())).unwrap();
        let Transform::Resample(step) = &document.experiment.preprocess[0] else { panic!("a resample") };
        assert_eq!(step.reference.as_ref().and_then(Reference::grid), Some(grid));
    }

    #[test]
    fn a_file_that_is_not_there_is_marked() {
        let problems = parse("a.yaml", &text("nowhere.nii.gz")).unwrap_err();
        let location = problems.0[0].location.clone().unwrap();
        assert_eq!(&location.source.text[location.span], "nowhere.nii.gz");
    }
}
