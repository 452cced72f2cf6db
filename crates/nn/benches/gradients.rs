//! Gradients of networks with given weights on given batches, for `benches/nnunet/gradients.py`, which compares them with
//! those of PyTorch: `cargo bench -p nn --bench gradients -- FOLDER`.
//!
//! FOLDER has the case, the weights and the image; the gradients are written into it.

use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use nn::losses::{Loss, Target};
use nn::weights::NamedTensor;
use nn::{FloatFormat, Model, Pass, Unet};
use random::{Purpose, Seed};
use serde::Deserialize;

const BATCH: usize = 2;

/// A network and the sizes of its batch.
#[derive(Deserialize)]
struct Case {
    unet: Unet,
    channels: usize,
    classes: usize,
    shape: [usize; 3],
}

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [folder] = arguments.as_slice() else {
        eprintln!("expected: FOLDER");
        std::process::exit(2);
    };
    let folder = Path::new(folder);
    let case = fs::read(folder.join("case.json")).expect("FOLDER has case.json");
    let Case { unet, channels, classes, shape: [x, y, z] } = serde_json::from_slice(&case).expect("a case");
    let device = Device::flex().autodiff();
    let mut network = Model::Unet(unet).build(channels, classes, Seed(0), &device);
    let weights: Vec<NamedTensor> = network.parameters.export();
    let weights: Vec<NamedTensor> = weights
        .into_iter()
        .map(|tensor| NamedTensor { data: read(&folder.join("weights").join(&tensor.name)), ..tensor })
        .collect();
    network.parameters.import(&weights, &device).expect("the weights are those of the network");
    let tensor = |values: Vec<f32>, channels: usize| {
        let shape = [BATCH, channels, x, y, z];
        Tensor::<5>::from_data(TensorData::new(values, shape), &device.clone().inner())
    };
    let image = tensor(read(&folder.join("image")), channels);
    let target = Target::one_hot(tensor(read(&folder.join("target")), classes));
    let loss: Loss = serde_json::from_value(serde_json::json!({ "cross_entropy": {} })).expect("a loss");
    let mut pass = Pass::training(Seed(0).stream(Purpose::Dropout, 0, "", 0), FloatFormat::Float32);
    let logits = network.forward_supervised(&mut pass, image.autodiff());
    let mut tape = loss.forward_supervised(logits, target.autodiff()).backward();
    let gradients = folder.join("gradients");
    fs::create_dir_all(&gradients).expect("FOLDER can be written");
    for (name, value) in network.parameters.trained_names().zip(network.parameters.trained_values()) {
        if let Some(gradient) = value.grad_remove(&mut tape) {
            let values = gradient.into_data_as::<f32>().try_to_vec::<f32>().expect("32-bit floats");
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            fs::write(gradients.join(name), bytes).expect("FOLDER can be written");
        }
    }
}

/// Reads little-endian 32-bit floats.
fn read(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}
