//! `runner check`: the plan of an experiment, without training.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use super::{CliError, Common, Exit, output};
use crate::data::dataset::Source;
use crate::data::phantom;
use crate::data::volume::{Label, Volume};
use crate::pipeline;
use crate::spec::plan::Plan;
use crate::train::head::incoming;
use crate::train::prepare;

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
    output::text(&plan);
    if !arguments.data {
        return Ok(Exit::Done);
    }
    let faults = faults(&plan);
    for fault in &faults {
        say!("fault: {fault}");
    }
    say!("data              {} subjects read, {} faults", plan.cases.len(), faults.len());
    Ok(if faults.is_empty() { Exit::Done } else { Exit::No })
}

/// What the voxels say that the headers do not.
fn faults(plan: &Plan) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = vec![false; plan.labels.len()];
    for (name, case) in &plan.cases {
        let volume = match &plan.experiment.data.source {
            // Phantoms are not on disk before a run starts; what they will hold is known all the same.
            Source::Phantom(source) => {
                let index = phantom::names(source).iter().position(|other| other == name);
                Ok(phantom::generate(source, index.expect("a phantom's name is made from its index")))
            }
            Source::Msd(_) | Source::Folders(_) | Source::Table(_) => prepare::load(&case.subject),
        };
        match volume {
            Ok(volume) => faults.extend(faults_of(plan, name, &volume, &mut seen)),
            Err(error) => faults.push(format!("{name}: {error}")),
        }
    }
    let absent = seen.iter().zip(&plan.labels).filter(|(seen, _)| !**seen);
    faults
        .extend(absent.map(|(_, label)| format!("label {} {}: no subject has a voxel of it", label.value, label.name)));
    faults
}

/// The faults of one subject; notes which labels it has.
fn faults_of(plan: &Plan, name: &str, volume: &Volume, seen: &mut [bool]) -> Vec<String> {
    let mut faults = Vec::new();
    let not_finite = volume.image.iter().filter(|value| !value.is_finite()).count();
    if not_finite > 0 {
        faults.push(format!("{name}: {not_finite} voxels are not finite"));
    }
    let Some(label) = &volume.label else { return faults };
    // The labels that training sees are those that the chain makes of the file's.
    let (chain, incoming) = (plan.experiment.preprocess_chain(), incoming(volume));
    let labels = pipeline::relabel(&chain, &pipeline::fixed(&chain, &incoming), label.clone());
    let present: BTreeSet<Label> = labels.iter().copied().filter(|value| *value > 0).collect();
    for (seen, class) in seen.iter_mut().zip(&plan.labels) {
        *seen |= present.contains(&class.value);
    }
    let is_declared = |value: &Label| plan.labels.iter().any(|label| label.value == *value);
    let unknown: Vec<String> = present.iter().filter(|value| !is_declared(value)).map(Label::to_string).collect();
    if !unknown.is_empty() {
        faults.push(format!("{name}: label values {} are not declared in data.labels", unknown.join(", ")));
    }
    if present.is_empty() {
        faults.push(format!("{name}: its label map is empty"));
    }
    faults
}
