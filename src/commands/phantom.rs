//! `runner phantom`: writes a dataset of synthetic abdomens.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::Execute;
use super::numbers::{at_least_one, whole};
use crate::output_paths::check_folder;
use crate::terminal::{CliError, Exit};
use dataset::phantom::PhantomSource;
use dataset::sources::Generator;
use values::{Shape, Spacing};

/// Write a synthetic dataset: CT-like abdomens with liver and tumour labels.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner phantom data/phantoms
  runner phantom data/phantoms --subjects 8 --shape 96,96,64 --spacing 3,3,4 --seed 1")]
pub struct PhantomArgs {
    /// Output folder, written in the layout of the Medical Segmentation Decathlon.
    out_dir: PathBuf,
    /// Number of subjects.
    #[arg(long, default_value = "24", value_parser = at_least_one)]
    subjects: NonZeroUsize,
    /// Voxels along x, y and z, or one number for all [default: 64,64,48].
    #[arg(long, value_name = "X,Y,Z", value_parser = three::<Shape>)]
    shape: Option<Shape>,
    /// Voxel spacing along x, y and z in mm, or one number for all [default: 5,5,6].
    #[arg(long, value_name = "SX,SY,SZ", value_parser = three::<Spacing>)]
    spacing: Option<Spacing>,
    /// Random seed of the dataset.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>)]
    seed: u64,
}

/// Parses `a,b,c`, or one number for all axes, by the rules of an experiment file.
fn three<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = if text.contains(',') { text.to_owned() } else { [text; 3].join(",") };
    serde_yaml::from_str(&format!("[{text}]")).map_err(|error| error.to_string())
}

impl Execute for PhantomArgs {
    /// Writes the subjects that do not exist yet.
    fn execute(&self) -> Result<Exit, CliError> {
        check_folder(&self.out_dir)?;
        let defaults = PhantomSource::default();
        let source = PhantomSource {
            subjects: self.subjects.get(),
            shape: self.shape.unwrap_or(defaults.shape),
            spacing_mm: self.spacing.unwrap_or(defaults.spacing_mm),
            seed: self.seed,
            ..defaults
        };
        let mut progress = |done, total| eprintln!("phantom {done}/{total}");
        source.write(&self.out_dir, &mut progress).map_err(|error| CliError::failure(&error))?;
        outln!("{}", self.out_dir.display());
        Ok(Exit::Done)
    }
}
