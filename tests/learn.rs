//! A tiny network learns from synthetic volumes on the CPU.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use dataset::cache::Cache;
use dataset::patch::Patch;
use dataset::queue::Request;
use dataset::sources;
use engine::experiment::check::{Environment, check};
use engine::experiment::load::parse;
use engine::experiment::plan::Plan;
use engine::training::dataset::{PatchUse, PreprocessedDataset};
use engine::training::step::Trainer;
use engine::training::{Outcome, TrainingContext, train, validate};
use run_folder::event::Listener;
use run_folder::folder::RunFolder;
use run_folder::manifest::Inputs;
use run_folder::records::{Position, Records};
use run_folder::table::Table;

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
    let environment = Environment { cache_dir: cache.to_owned(), memory_bytes: None };
    let plan = check(&document, &environment, None).unwrap();
    let listing = sources::list(&plan.experiment.data.source, cache).unwrap();
    let generator = plan.experiment.data.source.component().generator().unwrap();
    generator.write(&listing.generated_in.unwrap(), &mut |_, _| {}).unwrap();
    plan
}

/// Returns a function that makes the first patch of a training subject, by its index.
fn patches_of(cache_dir: &Path, plan: &Plan) -> impl Fn(usize) -> Patch + use<> {
    let dataset = PreprocessedDataset::prepare(plan, &Cache::new(cache_dir), &AtomicBool::new(false), &mut |_| {})
        .unwrap()
        .unwrap();
    let subjects = plan.parts.train.clone();
    move |index| {
        let request = Request { subject: index, index, index_in_batch: index };
        dataset.patch(PatchUse::Training { epoch: 1 }, &subjects[index], request).unwrap()
    }
}

#[test]
fn a_tiny_network_learns_to_segment_livers() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(&folder.path().join("cache"), EXPERIMENT);
    let run = RunFolder::create(&folder.path().join("runs"), "learn", "run").unwrap();
    let records = Records::open(&run, &validate::columns(&plan), Position::default()).unwrap();
    let listeners: Vec<Box<dyn Listener + Send>> = vec![Box::new(records)];
    let cache = Cache::new(&folder.path().join("cache"));
    let stop = AtomicBool::new(false);
    let inputs = Inputs::default();
    let mut context = TrainingContext { folder: &run, cache: &cache, listeners, inputs, stop: &stop };
    assert_eq!(train(&plan, None, &mut context).unwrap(), Outcome::Done);

    let metrics = Table::read(&run.file("metrics.csv")).unwrap();
    let losses = metrics.points("epoch", "val_loss");
    assert!(losses.last().unwrap().1 < 0.7 * losses[0].1, "the validation loss does not decrease: {losses:?}");
    let (_, dice) = metrics.points("epoch", "val_dice_liver").pop().unwrap();
    assert!(dice > 0.75, "Dice of livers in two validation volumes: {dice}");
}

#[test]
fn accumulated_batches_take_the_same_step_as_one_large_batch() {
    let folder = tempfile::tempdir().unwrap();
    let cache_dir = folder.path().join("cache");
    // Cross-entropy is a mean over patches, unlike a soft Dice with sums over the batch. Batch norm would differ too.
    let text = EXPERIMENT.replace("dice_cross_entropy: {}", "cross_entropy: {}");
    let plan = plan(&cache_dir, &text);
    let patches: Vec<_> = (0..3).map(patches_of(&cache_dir, &plan)).collect();
    let mut large = Trainer::new(&plan).unwrap();
    let mut small = Trainer::new(&plan).unwrap();
    let whole = large.step(std::slice::from_ref(&patches), 1e-2, 0).unwrap();
    // The batches differ in size, but all patches have the same weight.
    let parts = small.step(&[patches[..2].to_vec(), patches[2..].to_vec()], 1e-2, 0).unwrap();
    assert!((whole.loss - parts.loss).abs() < 1e-6, "{whole:?} {parts:?}");
    assert!((whole.grad_norm - parts.grad_norm).abs() < 1e-5 * whole.grad_norm, "{whole:?} {parts:?}");
}

#[test]
fn recomputed_activations_give_the_same_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let cache_dir = folder.path().join("cache");
    let written = "{ widths: [8, 16], norm: instance, activation: leaky_relu, upsample: nearest }";
    let models = [
        written,
        "{ widths: [4, 8, 8], norm: batch, dropout: 0.3, residual: true, downsample: strided_conv }",
        "{ widths: [4, 8, 8], dropout: 0.1, upsample: transposed_conv }",
    ];
    for model in models {
        let text = EXPERIMENT.replace(written, model);
        let again = text.replace("batch_size: 2 }", "batch_size: 2, checkpoint_activations: true }");
        assert_ne!(text, again);
        let plans = [text, again].map(|text| plan(&cache_dir, &text));
        let patch = patches_of(&cache_dir, &plans[0]);
        let batches = [vec![patch(0), patch(1)], vec![patch(2)]];
        let [stored, recomputed] = plans.map(|plan| {
            let mut trainer = Trainer::new(&plan).unwrap();
            let gradients = trainer.gradients(&batches[0]).unwrap();
            let outcomes = [0, 1].map(|step| trainer.step(&batches, 1e-2, step).unwrap());
            (gradients, outcomes, trainer.weights())
        });
        assert!(stored.0.iter().any(|gradient| gradient.data.iter().any(|value| *value != 0.0)));
        if model.contains("strided_conv") {
            // Three gradients are summed in a different order.
            let largest = |values: &[f32]| values.iter().fold(0.0f32, |max, value| max.max(value.abs()));
            let largest_of_all = stored.0.iter().map(|gradient| largest(&gradient.data)).fold(0.0, f32::max);
            for (stored, recomputed) in stored.0.iter().zip(&recomputed.0) {
                // The gradient of a bias before a normalization is rounding error.
                let size = largest(&stored.data).max(1e-2 * largest_of_all);
                let difference =
                    stored.data.iter().zip(&recomputed.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(difference <= 1e-4 * size, "{} of {model}: {difference} of {size}", stored.name);
            }
        } else {
            assert_eq!(stored, recomputed, "{model}");
        }
    }
}

/// Gradients in bfloat16 are close to those in float32, but not equal.
#[cfg(feature = "libtorch")]
#[test]
fn bfloat16_gives_nearly_the_gradients_of_float32() {
    let folder = tempfile::tempdir().unwrap();
    let cache_dir = folder.path().join("cache");
    let text = format!("{EXPERIMENT}device: libtorch:cpu\n");
    let lower = text.replace("batch_size: 2 }", "batch_size: 2, precision: bfloat16 }");
    assert_ne!(text, lower);
    let plans = [text, lower].map(|text| plan(&cache_dir, &text));
    let patch = patches_of(&cache_dir, &plans[0]);
    let batch = [patch(0), patch(1)];
    let [float32, bfloat16] = plans.map(|plan| Trainer::new(&plan).unwrap().gradients(&batch).unwrap());
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    let all = || float32.iter().zip(&bfloat16).flat_map(|(one, other)| one.data.iter().zip(&other.data));
    let error = length(&mut all().map(|(one, other)| one - other)) / length(&mut all().map(|(one, _)| *one));
    assert!(error > 1e-5 && error < 0.05, "{error}");
}
