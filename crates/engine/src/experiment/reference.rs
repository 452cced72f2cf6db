//! Replaces paths of reference images by the grids of the images.

use super::load::Document;
use super::problem::{Problem, Problems};
use transforms::{Reference, Transform};
use volume::io;

impl Document {
    /// Reads the grids of the reference images that transforms name.
    ///
    /// # Errors
    /// Every file that cannot be read.
    pub(super) fn with_references(mut self) -> Result<Self, Problems> {
        let mut experiment = self.experiment.clone();
        let mut problems = Vec::new();
        for (name, chain) in experiment.chains_mut() {
            for (index, step) in chain.iter_mut().enumerate() {
                resolve(step, &format!("{name}.{index}"), &self, &mut problems);
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        self.experiment = experiment;
        Ok(self)
    }
}

fn resolve(step: &mut Transform, path: &str, document: &Document, problems: &mut Vec<Problem>) {
    if let Some(reference) = step.component_mut().reference_mut()
        && let Reference::File(file) = &*reference
    {
        match io::read_header(file) {
            Ok(header) => *reference = Reference::from_grid(&header.grid),
            Err(error) => {
                let location = document.location(&format!("{path}.{}.reference.file", step.name()));
                problems.push(
                    Problem::at(Some(location), error.to_string())
                        .help("name an image; the path is relative to the working folder"),
                );
            }
        }
    }
    let key = step.component().nested().map_or("", |nested| nested.key);
    for (index, inner) in step.component_mut().nested_mut().iter_mut().enumerate() {
        resolve(inner, &format!("{path}.{key}.{index}"), document, problems);
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::load::parse;
    use volume::io::write_label;
    use volume::{Affine, Grid, Voxels};

    fn text(file: &str) -> String {
        format!(
            "data: {{ source: {{ phantom: {{}} }} }}\npreprocess: [{{ resample: {{ reference: {{ file: {file} }} }} }}]\n\
             sampler: {{ uniform: {{ patch: [8, 8, 8] }} }}\nmodel: {{ unet: {{ widths: [4] }} }}\nloss: {{ dice: {{}} }}\n\
             optimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\ntrain: {{ epochs: 1 }}\n"
        )
    }

    #[test]
    fn the_document_has_the_grid_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii.gz");
        let grid = Grid { shape: [2, 3, 4], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [5.0; 3]) };
        write_label(&path, &grid, &Voxels::new(1, grid.shape, vec![0; 24])).unwrap();
        let document = parse("a.yaml", &text(path.to_str().unwrap())).unwrap();
        let mut step = document.experiment.preprocess[0].clone();
        assert_eq!(step.component_mut().reference_mut().and_then(|reference| reference.grid()), Some(grid));
    }

    #[test]
    fn a_missing_file_is_marked() {
        let problems = parse("a.yaml", &text("nowhere.nii.gz")).unwrap_err();
        let location = problems.0[0].location.clone().unwrap();
        assert_eq!(&location.source.text[location.span], "nowhere.nii.gz");
    }
}
