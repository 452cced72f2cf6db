//! `runner phantom`: a dataset of synthetic abdomens.

use std::path::PathBuf;

use clap::Args;

use super::Execute;
use crate::terminal::{CliError, Exit};
use dataset::phantom::{self, PhantomSource};
use values::{Shape, Spacing};

/// PhantomArgs of `runner phantom`.
#[derive(Debug, Args)]
pub struct PhantomArgs {
    /// The folder to write, in the layout of the Medical Segmentation Decathlon.
    out_dir: PathBuf,
    /// How many subjects.
    #[arg(long, default_value_t = 24)]
    subjects: usize,
    /// Voxels along x, y and z.
    #[arg(long, value_name = "X,Y,Z", value_parser = three::<Shape>)]
    shape: Option<Shape>,
    /// Millimetres per voxel along x, y and z.
    #[arg(long, value_name = "SX,SY,SZ", value_parser = three::<Spacing>)]
    spacing: Option<Spacing>,
    /// The seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Parses `a,b,c` by the rules of an experiment file.
fn three<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_yaml::from_str(&format!("[{text}]")).map_err(|error| error.to_string())
}

impl Execute for PhantomArgs {
    /// Writes the subjects that are not there yet.
    fn execute(&self) -> Result<Exit, CliError> {
        let defaults = PhantomSource::default();
        let source = PhantomSource {
            subjects: self.subjects,
            shape: self.shape.unwrap_or(defaults.shape),
            spacing_mm: self.spacing.unwrap_or(defaults.spacing_mm),
            seed: self.seed,
            ..defaults
        };
        let mut tell = |done, total| eprintln!("phantom {done}/{total}");
        phantom::ensure(&source, &self.out_dir, &mut tell).map_err(|error| CliError::failure(&error))?;
        outln!("{}", self.out_dir.display());
        Ok(Exit::Done)
    }
}
