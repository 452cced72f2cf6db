//! Synthetic CT-like abdomens with a liver and tumours.
//!
//! `anatomy` defines the tissue at each point, `render` samples it as voxels; this file has the settings of the dataset
//! and writes its files.

mod anatomy;
mod render;
mod shapes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::sources::{DataSource, DatasetError, DeclaredLabels, Generator, Listing};
pub use render::generate;
use values::{NonNegative, Shape, Spacing};
use volume::atomic_file;
use volume::io::{self, DEFAULT_ENDING, ImageError};
use volume::{Affine, Grid, Volume};

/// A synthetic dataset: CT-like abdomens in Hounsfield units with liver (1) and tumours (2), generated below the cache
/// folder.
///
/// ```yaml
/// phantom: { subjects: 24, shape: [64, 64, 48], spacing_mm: [3, 3, 4] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhantomSource {
    /// Number of subjects. Default 24.
    #[serde(default = "default_subjects")]
    pub subjects: usize,
    /// Voxels along x, y and z. Default `[64, 64, 48]`.
    #[serde(default = "default_shape")]
    pub shape: Shape,
    /// Voxel spacing along x, y and z in mm. Default `[5, 5, 6]`.
    #[serde(default = "default_spacing")]
    pub spacing_mm: Spacing,
    /// Maximum number of tumours per liver; each subject has between 0 and this many. Default 3.
    #[serde(default = "default_tumours")]
    pub tumours: usize,
    /// Standard deviation of the noise in Hounsfield units. Default 15.
    #[serde(default = "default_noise")]
    pub noise_hu: NonNegative,
    /// Random seed of the dataset, independent of the experiment's `seed`, so that seeds are compared on the same data.
    /// Default 0.
    #[serde(default)]
    pub seed: u64,
}

impl Default for PhantomSource {
    fn default() -> Self {
        Self {
            subjects: default_subjects(),
            shape: default_shape(),
            spacing_mm: default_spacing(),
            tumours: default_tumours(),
            noise_hu: default_noise(),
            seed: 0,
        }
    }
}

fn default_subjects() -> usize {
    24
}

fn default_shape() -> Shape {
    Shape([64, 64, 48])
}

fn default_spacing() -> Spacing {
    Spacing([5.0, 5.0, 6.0])
}

fn default_tumours() -> usize {
    3
}

fn default_noise() -> NonNegative {
    NonNegative::new(15.0).expect("15 is not negative")
}

/// The version of the generator; it changes whenever the same settings yield other voxels.
const GENERATION: u32 = 1;

/// Why generated subjects cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A volume cannot be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The folder contains subjects of other settings.
    #[error("{folder}: expected an empty folder or phantoms of the same settings, got phantoms of {found}; choose another folder", folder = folder.display())]
    Other {
        /// The folder.
        folder: PathBuf,
        /// The settings of those in the folder.
        found: String,
    },
}

/// Returns the name of a subject by its index.
pub fn name(index: usize) -> String {
    format!("phantom_{index:03}")
}

/// Returns the names of all subjects by index.
pub fn names(source: &PhantomSource) -> Vec<String> {
    (0..source.subjects).map(name).collect()
}

/// Returns the name of each label.
pub fn label_names() -> BTreeMap<volume::Label, String> {
    [(0, "background"), (1, "liver"), (2, "tumour")].map(|(label, name)| (label, name.to_owned())).into()
}

impl DataSource for PhantomSource {
    fn list(&self, cache_dir: &Path) -> Result<Listing, DatasetError> {
        let hash = hex::encode(super::cache::KeyBuilder::new().add_text(&description(self)).build());
        let folder = cache_dir.join("phantoms").join(&hash[..16]);
        let subjects = (0..self.subjects).map(|index| subject(&folder, index)).collect();
        let labels = DeclaredLabels { names: Some(label_names()), ..DeclaredLabels::default() };
        Ok(Listing { subjects, labels, generated_in: Some(folder), ..Listing::default() })
    }

    fn generator(&self) -> Option<&dyn Generator> {
        Some(self)
    }
}

impl Generator for PhantomSource {
    fn settings(&self) -> String {
        serde_json::to_string(self).expect("a source has maps, lists, numbers and text only")
    }

    fn limits(&self) -> Vec<(&'static str, usize, usize)> {
        vec![("subjects", self.subjects, 100_000), ("tumours", self.tumours, 1000)]
    }

    /// All subjects have RAS orientation and the origin in the middle.
    fn grid(&self) -> Grid {
        let (shape, spacing) = (self.shape.0, self.spacing_mm.0);
        let shift = std::array::from_fn(|axis| -0.5 * (shape[axis] as f64 - 1.0) * spacing[axis]);
        Grid { shape, affine: Affine::scale_and_shift(spacing, shift) }
    }

    fn num_channels(&self) -> usize {
        1
    }

    fn generate(&self, name: &str) -> Volume {
        let index = names(self).iter().position(|other| other == name);
        generate(self, index.expect("the name of a phantom is derived from its index"))
    }

    fn write(&self, folder: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<(), GenerateError> {
        write(self, folder, progress)
    }
}

fn subject(folder: &Path, index: usize) -> Subject {
    let name = name(index);
    let [image, label] = ["imagesTr", "labelsTr"].map(|part| folder.join(part).join(format!("{name}{DEFAULT_ENDING}")));
    Subject { name, images: vec![image], label: Some(label) }
}

/// Returns the settings that determine a subject's voxels; the number of subjects does not.
fn description(source: &PhantomSource) -> String {
    serde_json::json!({
        "generation": GENERATION,
        "shape": source.shape,
        "spacing_mm": source.spacing_mm,
        "tumours": source.tumours,
        "noise_hu": source.noise_hu,
        "seed": source.seed,
    })
    .to_string()
}

/// Writes the files that are missing in the layout of the Medical Segmentation Decathlon: images as int16, labels as uint8.
///
/// Several processes may write one folder: they write the same bytes, and each file atomically.
fn write(source: &PhantomSource, folder: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<(), GenerateError> {
    for part in ["imagesTr", "labelsTr"] {
        let part = folder.join(part);
        std::fs::create_dir_all(&part).map_err(|source| GenerateError::Io { path: part, source })?;
    }
    claim(source, folder)?;
    for index in 0..source.subjects {
        let subject = subject(folder, index);
        let label = subject.label.as_deref().expect("a phantom has a label");
        if !(subject.images[0].is_file() && label.is_file()) {
            let volume = generate(source, index);
            let labels = volume.label.as_ref().expect("a phantom has a label");
            io::write_label(label, &volume.grid, labels)?;
            io::write_int16_image(&subject.images[0], &volume.grid, &volume.image)?;
        }
        progress(index + 1, source.subjects);
    }
    let labels: BTreeMap<String, String> =
        label_names().into_iter().map(|(label, name)| (label.to_string(), name)).collect();
    let pair = |name: String| {
        serde_json::json!({
            "image": format!("./imagesTr/{name}{DEFAULT_ENDING}"),
            "label": format!("./labelsTr/{name}{DEFAULT_ENDING}"),
        })
    };
    let training: Vec<_> = names(source).into_iter().map(pair).collect();
    let json = serde_json::json!({
        "name": "Phantom abdomens", "tensorImageSize": "3D", "modality": { "0": "CT" }, "labels": labels,
        "numTraining": training.len(), "numTest": 0, "training": training, "test": [],
    });
    put(&folder.join("dataset.json"), &format!("{json:#}\n"))
}

/// Writes the settings into the folder, or compares them with those of an earlier call.
fn claim(source: &PhantomSource, folder: &Path) -> Result<(), GenerateError> {
    let (path, expected) = (folder.join("phantom.json"), description(source));
    match std::fs::read_to_string(&path) {
        Ok(found) if found.trim_end() == expected => Ok(()),
        Ok(found) => Err(GenerateError::Other { folder: folder.to_owned(), found: found.trim_end().to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => put(&path, &format!("{expected}\n")),
        Err(source) => Err(GenerateError::Io { path, source }),
    }
}

fn put(path: &Path, text: &str) -> Result<(), GenerateError> {
    atomic_file::write(path, |file| std::io::Write::write_all(file, text.as_bytes()))
        .map_err(|source| GenerateError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> PhantomSource {
        serde_json::from_str(r#"{"subjects": 2, "shape": [32, 32, 24], "spacing_mm": [10, 10, 12]}"#).unwrap()
    }

    #[test]
    fn files_are_written_once_in_the_layout_of_the_decathlon() {
        let folder = tempfile::tempdir().unwrap();
        small().write(folder.path(), &mut |_, _| {}).unwrap();
        let source = crate::sources::Source::Msd(crate::sources::MsdSource { root: folder.path().into() });
        let listing = crate::sources::list(&source, Path::new("")).unwrap();
        assert_eq!(listing.labels.names, Some(label_names()));
        let header = io::read_header(&listing.subjects[1].images[0]).unwrap();
        assert_eq!((header.datatype, header.grid), ("int16", small().grid()));
        let (_, image) = io::read_image(&listing.subjects[1].images[0]).unwrap();
        assert_eq!(image[..], generate(&small(), 1).image[..]);
        let created = std::fs::metadata(&listing.subjects[0].images[0]).unwrap().modified().unwrap();
        let mut done = Vec::new();
        small().write(folder.path(), &mut |count, total| done.push((count, total))).unwrap();
        assert_eq!(std::fs::metadata(&listing.subjects[0].images[0]).unwrap().modified().unwrap(), created);
        assert_eq!(done, [(1, 2), (2, 2)]);
    }

    #[test]
    fn a_folder_with_phantoms_of_other_settings_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        small().write(folder.path(), &mut |_, _| {}).unwrap();
        let other = PhantomSource { seed: 1, ..small() };
        assert!(matches!(other.write(folder.path(), &mut |_, _| {}), Err(GenerateError::Other { .. })));
    }
}
