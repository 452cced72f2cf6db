//! `runner check`: the plan of an experiment, without training.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Common, Exit};
use crate::data::volume::Label;
use crate::data::{dataset, nifti};
use crate::spec::plan::Plan;

/// Arguments of `runner check`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The experiment file.
    experiment: PathBuf,
    /// Read every voxel too.
    #[arg(long)]
    data: bool,
    #[command(flatten)]
    common: Common,
}

/// Prints the plan; with `--data` also what is wrong with the voxels.
pub fn execute(arguments: &Arguments) -> Result<Exit, CliError> {
    let document = crate::spec::load::load(&arguments.experiment, &arguments.common.set)?;
    let plan = arguments.common.plan(&document)?;
    print!("{plan}");
    if !arguments.data {
        return Ok(Exit::Done);
    }
    let faults = faults(&plan)?;
    for fault in &faults {
        println!("fault: {fault}");
    }
    println!("data              {} subjects read, {} faults", plan.cases.len(), faults.len());
    Ok(if faults.is_empty() { Exit::Done } else { Exit::No })
}

/// What the voxels say that the headers do not.
fn faults(plan: &Plan) -> Result<Vec<String>, CliError> {
    if matches!(plan.experiment.data.source, dataset::Source::Phantom(_)) {
        return Err(CliError::problem(
            "phantoms are made when a run starts, so there is nothing to read yet",
            "leave out --data, or write them with `runner phantom` and use data.source.msd",
        ));
    }
    let mut faults = Vec::new();
    let mut seen = vec![0usize; plan.labels.len()];
    for (name, case) in &plan.cases {
        for path in &case.subject.images {
            match nifti::read_image(path) {
                Ok((_, image)) => {
                    let count = image.iter().filter(|value| !value.is_finite()).count();
                    if count > 0 {
                        faults.push(format!("{}: {count} voxels are not finite", path.display()));
                    }
                }
                Err(error) => faults.push(error.to_string()),
            }
        }
        let Some(path) = &case.subject.label else { continue };
        match nifti::read_label(path) {
            Ok((_, label)) => {
                let present: std::collections::BTreeSet<Label> = label.iter().copied().collect();
                for (count, class) in seen.iter_mut().zip(&plan.labels) {
                    *count += usize::from(present.contains(&class.value));
                }
                let is_declared = |value: &Label| *value == 0 || plan.labels.iter().any(|label| label.value == *value);
                let unknown: Vec<String> =
                    present.iter().filter(|value| !is_declared(value)).map(Label::to_string).collect();
                if !unknown.is_empty() {
                    let values = unknown.join(", ");
                    faults.push(format!("{name}: label values {values} are not declared in data.labels"));
                }
                if present.iter().all(|value| *value == 0) {
                    faults.push(format!("{name}: its label map is empty"));
                }
            }
            Err(error) => faults.push(error.to_string()),
        }
    }
    let absent = seen.iter().zip(&plan.labels).filter(|(count, _)| **count == 0);
    faults
        .extend(absent.map(|(_, label)| format!("label {} {}: no subject has a voxel of it", label.value, label.name)));
    Ok(faults)
}
