//! A tiny network learns from synthetic volumes on the CPU.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use runner::data::cache::Cache;
use runner::data::{dataset, phantom};
use runner::queue::Request;
use runner::run::event::Listener;
use runner::run::folder::RunFolder;
use runner::run::manifest::Inputs;
use runner::run::records::{Position, Records};
use runner::run::table::Table;
use runner::spec::check::{Surroundings, check};
use runner::spec::load::parse;
use runner::spec::plan::Plan;
use runner::train::cases::{Cases, Part};
use runner::train::step::Trainer;
use runner::train::{self, Outcome, Session, validate};

const EXPERIMENT: &str = "
data:
  source:
    phantom: { subjects: 10, shape: [32, 32, 24], spacing_mm: [10, 10, 12], tumours: 0 }
  labels: { 1: liver }
  split: { first: 8 }
preprocess:
  - clamp: { min: -200, max: 250 }
  - rescale_intensity: { to: [-1, 1] }
augment:
  - flip: { probabilities: [0, 0.5, 0] }
sampler:
  label: { patch: [16, 16, 16], probabilities: { 0: 0.4, 1: 0.6 } }
queue: { max_length: 8, samples_per_volume: 4, workers: 2 }
model:
  unet: { widths: [8, 16], norm: instance, activation: leaky_relu, upsample: nearest }
loss:
  dice_cross_entropy: {}
optimizer:
  adam: { learning_rate: 1.0e-2 }
schedule:
  polynomial: {}
train: { epochs: 15, batch_size: 2 }
validate: { volumes: { every_epochs: 15 } }
";

fn plan(cache: &Path, text: &str) -> Plan {
    let document = parse("learn.yaml", text).unwrap();
    let surroundings = Surroundings { cache_dir: cache.to_owned(), memory_bytes: None };
    let plan = check(&document, &surroundings, None).unwrap();
    let listing = dataset::list(&plan.experiment.data.source, cache).unwrap();
    let (source, folder) = listing.phantom.unwrap();
    phantom::ensure(&source, &folder, &mut |_, _| {}).unwrap();
    plan
}

#[test]
fn a_tiny_network_finds_livers() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder.path().join("cache"), EXPERIMENT);
    let run = RunFolder::create(&folder.path().join("runs"), "learn", "run").unwrap();
    let records = Records::open(&run, &validate::columns(&plan), Position::default()).unwrap();
    let listeners: Vec<Box<dyn Listener + Send>> = vec![Box::new(records)];
    let cache = Cache::new(&folder.path().join("cache"));
    let stop = AtomicBool::new(false);
    let inputs = Inputs::default();
    let mut session = Session { folder: &run, cache: &cache, listeners, inputs, stop: &stop };
    assert_eq!(train::run(&plan, None, &mut session).unwrap(), Outcome::Done);

    let metrics = Table::read(&run.file("metrics.csv")).unwrap();
    let losses = metrics.points("epoch", "val_loss");
    assert!(losses.last().unwrap().1 < 0.7 * losses[0].1, "the validation loss falls: {losses:?}");
    let (_, dice) = metrics.points("epoch", "val_dice_liver").pop().unwrap();
    assert!(dice > 0.75, "Dice of livers on two volumes that were not trained on: {dice}");
}

#[test]
fn accumulated_batches_take_the_step_of_the_large_one() {
    let folder = tempfile::tempdir().unwrap();
    let cache_dir = folder.path().join("cache");
    // Soft Dice with sums over the batch is no mean over patches, and batch norm would differ too.
    let text = EXPERIMENT.replace("dice_cross_entropy: {}", "cross_entropy: {}");
    let plan = plan(&cache_dir, &text);
    let stop = AtomicBool::new(false);
    let cases = Cases::prepare(&plan, &Cache::new(&cache_dir), &stop, &mut |_| {}).unwrap().unwrap();
    let patch = |index| {
        let request = Request { subject: index, index, place_in_batch: index };
        cases.patch(Part::Train { epoch: 1 }, &plan.parts.train[index], request).unwrap()
    };
    let patches: Vec<_> = (0..3).map(patch).collect();
    let mut large = Trainer::new(&plan).unwrap();
    let mut small = Trainer::new(&plan).unwrap();
    let whole = large.step(std::slice::from_ref(&patches), 1e-2, 0).unwrap();
    // Two batches of different sizes: each patch counts the same.
    let parts = small.step(&[patches[..2].to_vec(), patches[2..].to_vec()], 1e-2, 0).unwrap();
    assert!((whole.loss - parts.loss).abs() < 1e-6, "{whole:?} {parts:?}");
    assert!((whole.grad_norm - parts.grad_norm).abs() < 1e-5 * whole.grad_norm, "{whole:?} {parts:?}");
}
