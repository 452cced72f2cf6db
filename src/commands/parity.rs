//! `runner parity`: compares the results of devices.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::patches::prepare;
use super::training::training_error;
use super::{CacheOptions, Execute};
use crate::terminal::table::table;
use crate::terminal::{CliError, Exit, output};
use dataset::patch::Patch;
use engine::experiment::load::{self, Document, SetArgument};
use engine::experiment::plan::Plan;
use engine::training::parity::reference;
use engine::training::parity::{self, Deviation, DeviceResult};
use engine::training::{self, TrainError};
use nn::devices::DeviceName;

/// Check that devices compute the same results: run the same steps on each and compare.
///
/// A single device is compared with stored results of PyTorch. Exits with 1 if anything differs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner parity --devices flex
  runner parity --devices flex,libtorch:cpu
  runner parity experiments/quickstart.yaml --devices flex,cuda:0")]
pub struct ParityArgs {
    /// Experiment that provides network, loss, optimizer and first batch [default: a small U-Net on synthetic waves].
    experiment: Option<PathBuf>,
    /// Devices, such as `flex,libtorch:cpu`; each is compared with the first.
    #[arg(long, value_name = "D1,D2,...", value_delimiter = ',', required = true)]
    devices: Vec<DeviceName>,
    /// Override one key of the experiment; repeatable.
    #[arg(long, value_name = "KEY=VALUE", requires = "experiment")]
    set: Vec<SetArgument>,
    #[command(flatten)]
    cache: CacheOptions,
    /// Print only results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

/// The experiment that is compared by default.
const DEFAULT_EXPERIMENT: &str = "
name: parity
data: { source: { phantom: { subjects: 4, shape: [48, 48, 48], spacing_mm: [7, 7, 7] } }, split: { first: 2 } }
sampler: { uniform: { patch: [32, 32, 32] } }
model: { unet: { widths: [8, 16, 32], norm: instance, activation: leaky_relu } }
loss: { dice_cross_entropy: {} }
optimizer: { adam: { learning_rate: 1e-3 } }
train: { epochs: 1, batch_size: 2 }
";

impl Execute for ParityArgs {
    /// Compares the devices; the exit code is 1 if they differ.
    fn execute(&self) -> Result<Exit, CliError> {
        for device in &self.devices {
            device.resolve().map_err(|error| {
                CliError::problem(error.to_string(), "`runner devices` lists what this binary and machine offer")
            })?;
        }
        let is_same = match (self.devices.as_slice(), &self.experiment) {
            ([device], None) => against_pytorch(*device)?,
            ([_], Some(_)) => {
                return Err(CliError::problem(
                    "an experiment needs at least two devices to compare",
                    "name a second device, such as flex; without an experiment, one device is compared with PyTorch numbers",
                ));
            }
            (devices, _) => against_the_first(self, devices)?,
        };
        outln!("{}", if is_same { "same within tolerance" } else { "no: some differences exceed their tolerance" });
        Ok(if is_same { Exit::Done } else { Exit::No })
    }
}

/// Compares one device with PyTorch's recorded numbers.
fn against_pytorch(device: DeviceName) -> Result<bool, CliError> {
    let name = device.to_string();
    let device = device.open().map_err(|error| CliError::failure(&error))?;
    let (version, networks) = reference::networks();
    let mut rows = Vec::new();
    let mut is_same = true;
    for (number, network) in networks.iter().enumerate() {
        let differences = network.compare(&device);
        is_same &= differences.iter().all(Deviation::is_within_tolerance);
        rows.extend(differences.iter().map(|difference| row(&format!("network {}", number + 1), difference)));
    }
    output::text(table(&header(), &rows));
    outln!("{} networks on {name} compared with PyTorch {version}; differences are absolute", networks.len());
    Ok(is_same)
}

/// Compares devices with the first of them.
fn against_the_first(arguments: &ParityArgs, devices: &[DeviceName]) -> Result<bool, CliError> {
    let (mut plan, patches) = batch(arguments)?;
    let mut first: Option<(DeviceName, DeviceResult)> = None;
    let mut rows = Vec::new();
    let mut is_same = true;
    for device in devices {
        plan.device = *device;
        let trace = parity::compute(&plan, &patches).map_err(|error| training_error(&error))?;
        outln!("{:<18} {:.3} s per step, the fastest of {}", device.to_string(), trace.seconds, parity::STEPS);
        match &first {
            None => first = Some((*device, trace)),
            Some((_, reference)) => {
                let differences = parity::compare(&plan.experiment.model, reference, &trace);
                is_same &= differences.iter().all(Deviation::is_within_tolerance);
                rows.extend(differences.iter().map(|difference| row(&device.to_string(), difference)));
            }
        }
    }
    output::text(table(&header(), &rows));
    if let Some((first, _)) = first {
        let [x, y, z] = plan.patch;
        outln!("{} patches of {x} x {y} x {z} voxels; differences are relative to {first}", patches.len());
    }
    Ok(is_same)
}

/// Returns the plan, and the batch to compare: the first training batch of the experiment, or sine waves.
fn batch(arguments: &ParityArgs) -> Result<(Plan, Vec<Patch>), CliError> {
    let document: Document = match &arguments.experiment {
        Some(path) => load::load(path, &arguments.set)?,
        None => load::parse("parity", DEFAULT_EXPERIMENT)?,
    };
    // The plan may have any device of this binary; each is opened in turn.
    let plan = arguments.cache.plan(&document, Some(arguments.devices[0]))?;
    if arguments.experiment.is_none() {
        let patches =
            (0..plan.experiment.train.batch_size.get()).map(|index| parity::wavy_patch(&plan, index)).collect();
        return Ok((plan, patches));
    }
    let dataset = Arc::new(prepare(&plan, &arguments.cache.open(), &arguments.cache.path(), arguments.quiet)?);
    let patches = training::patches(&plan, &dataset, 1, 0).take(plan.experiment.train.batch_size.get());
    let patches = patches.collect::<Result<_, _>>().map_err(|error| training_error(&TrainError::Queue(error)))?;
    Ok((plan, patches))
}

fn header() -> Vec<String> {
    ["", "quantity", "difference", "tolerance", ""].map(str::to_owned).to_vec()
}

fn row(of: &str, difference: &Deviation) -> Vec<String> {
    let verdict = if difference.is_within_tolerance() { "same" } else { "differs" };
    let number = |value: f64| format!("{value:.1e}");
    vec![
        of.to_owned(),
        difference.quantity.clone(),
        number(difference.relative),
        number(difference.tolerance),
        verdict.to_owned(),
    ]
}
