//! Benchmark of sliding-window inference on a volume of sine waves:
//! `cargo bench --bench sliding -- FILE DEVICE X,Y,Z REPEATS WEIGHTS LABELS`.
//!
//! Writes the network's weights to WEIGHTS as safetensors and the label map to LABELS as raw 16-bit integers, so that
//! `benches/monai/compare.py` can run the same network in MONAI, and prints JSON: the seconds of each repetition and the
//! peak resident memory in bytes.

use std::path::Path;
use std::time::Instant;

use engine::experiment::check::{Environment, check};
use engine::experiment::load;
use engine::inference::activation::FinalActivation;
use engine::inference::file_mapping::FileMapping;
use engine::inference::sliding_window::{LabelMapOutput, SlidingWindow, predict_label_map};
use engine::training::TrainError;
use engine::training::parity::reference::wave;
use engine::training::step::Trainer;
use nn::weights;
use run_folder::memory::peak_resident_bytes;
use volume::{Affine, Grid, Voxels};

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [file, device, shape, repeats, weights_path, labels_path] = arguments.as_slice() else {
        eprintln!("expected: FILE DEVICE X,Y,Z REPEATS WEIGHTS LABELS");
        std::process::exit(2);
    };
    let sizes: Vec<usize> = shape.split(',').map(|size| size.parse().expect("a shape is numbers")).collect();
    let shape: [usize; 3] = sizes.try_into().expect("a shape is three numbers");
    let document = load::load(Path::new(file), &[]).expect("FILE is an experiment");
    let environment = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
    let device = device.parse().expect("DEVICE is the name of a device");
    let plan = check(&document, &environment, Some(device)).expect("the experiment can be planned");
    let trainer = Trainer::new(&plan).expect("the device can be opened");
    std::fs::write(weights_path, weights::to_safetensors(&trainer.weights())).expect("WEIGHTS can be written");

    let image = Voxels::new(1, shape, wave(shape.iter().product(), 0.37, 1.0));
    let grid = Grid { shape, affine: Affine::scale_and_shift([1.0; 3], [0.0; 3]) };
    let inference = &plan.experiment.inference;
    let activation = FinalActivation::Softmax;
    let sliding_window = SlidingWindow { window: plan.window, classes: plan.num_classes(), inference, activation };
    let output = LabelMapOutput { grid: &grid, targets: &plan.targets, postprocess: &[] };
    let mut seconds = Vec::new();
    let mut labels = Vec::new();
    for _ in 0..repeats.parse().expect("REPEATS is a number") {
        let start = Instant::now();
        let forward = |windows, count| trainer.logits(windows, [count, 1], plan.window);
        let map: Result<_, TrainError> =
            predict_label_map(&image, &FileMapping::identity(shape), &sliding_window, &output, forward);
        labels = map.expect("the device computes").to_vec();
        seconds.push(start.elapsed().as_secs_f64());
    }
    let bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    std::fs::write(labels_path, bytes).expect("LABELS can be written");
    println!("{}", serde_json::json!({ "seconds": seconds, "peak_bytes": peak_resident_bytes() }));
}
