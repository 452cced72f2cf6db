//! Benchmark of the training step of an experiment on a batch of sine waves:
//! `cargo bench --bench step -- FILE DEVICE STEPS`.
//!
//! Prints JSON: the seconds of each step after the first, the peak resident memory and its estimate in bytes.
//! `benches/pytorch/compare.py` compares it with PyTorch.

use std::path::Path;
use std::time::Instant;

use dataset::patch::Patch;
use engine::experiment::check::{Environment, check};
use engine::experiment::load;
use engine::training::parity::wavy_patch;
use engine::training::step::Trainer;
use nn::devices::DeviceName;
use run_folder::memory;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [file, device, steps] = arguments.as_slice() else {
        eprintln!("expected: FILE DEVICE STEPS");
        std::process::exit(2);
    };
    let steps: usize = steps.parse().expect("STEPS is a number");
    let document = load::load(Path::new(file), &[]).expect("FILE is an experiment");
    let environment = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
    let device: DeviceName = device.parse().expect("DEVICE is the name of a device");
    if device.retains_freed_memory() {
        memory::keep_freed();
    }
    let plan = check(&document, &environment, Some(device)).expect("the experiment can be planned");
    let batch: Vec<Patch> = (0..plan.experiment.train.batch_size.get()).map(|index| wavy_patch(&plan, index)).collect();
    let mut trainer = Trainer::new(&plan).expect("the device can be opened");
    let mut seconds = Vec::new();
    // The first step allocates, and on some devices compiles.
    for step in 0..=steps {
        let start = Instant::now();
        trainer.step(std::slice::from_ref(&batch), 1e-3, step).expect("the step can be taken");
        seconds.push(start.elapsed().as_secs_f64());
    }
    println!(
        "{}",
        serde_json::json!({ "seconds": seconds[1..], "peak_bytes": memory::peak_resident_bytes(), "estimate_bytes": plan.memory_bytes })
    );
}
