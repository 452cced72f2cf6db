//! Entry points for the fuzzer and the tests: each feeds bytes to a reader, which must return without a panic.

use std::path::Path;
use std::sync::OnceLock;

use dataset::cache::{Cache, Lookup};
use dataset::sources::Source;
use engine::experiment::check::{self, Environment};
use engine::experiment::load::{self, Change, SetArgument};
use engine::experiment::metrics_file::MetricsFile;
use engine::experiment::problem::{Problems, RenderOptions, SourceText, render};
use engine::experiment::tree::Node;
use engine::training::checkpoint::State;
use nn::weights::pytorch_file::PytorchFile;
use nn::weights::{self, state_dict};
use sweep::document;
use volume::io::{read_header, read_image, read_label};

/// An experiment to which invalid `--set` arguments and sweeps are applied.
pub const EXPERIMENT: &str = "\
data: { source: { phantom: { subjects: 6, shape: [48, 48, 32] } } }
preprocess: [{ clamp: { min: -200, max: 250 } }, { resize: { shape: [48, 48, null] } }]
augment:
  - affine: { scales: [0.9, 1.1], degrees: [-10, 10] }
  - maybe: { probability: 0.5, steps: [{ noise: { std: [0, 0.1] } }] }
sampler: { label: { patch: [32, 32, 32], probabilities: { 0: 0.2, 1: 0.3, 2: 0.5 } } }
queue: { max_length: 40, samples_per_volume: 5, workers: 0 }
model: { unet: { widths: [8, 16] } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1.0e-4 } }
train: { epochs: 2, batch_size: 2 }
metrics: [{ dice: {} }, { hd95: {} }]
checkpoint: { keep_best: 1, keep_last: 1 }
";

/// Returns a folder for invalid files. It is not removed when the process ends.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("small files can be written")).path()
}

/// Writes a file into the folder, with a name that is unique to the thread, and returns its path.
fn file(name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder().join(format!("{:?}-{name}", std::thread::current().id()));
    std::fs::write(&path, bytes).expect("small files can be written");
    path
}

fn rendered(problems: &Problems) -> String {
    render(problems, RenderOptions { width: 100, colour: false, unicode: true })
}

/// Parses the bytes as an experiment, a sweep, a metrics file and a `--set` argument. Returns the error of the experiment.
pub fn yaml(bytes: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return load::load(&file("a.yaml", bytes), &[]).err().map(|problems| rendered(&problems));
    };
    let sheet = MetricsFile::parse("sheet.yaml", text, None);
    let _ = sheet.map_err(|problems| rendered(&problems));
    file("base.yaml", EXPERIMENT.as_bytes());
    if let Ok(sweep) = document::load(&file("sweep.yaml", bytes), &[], &[]).map_err(|problems| rendered(&problems)) {
        let _ = sweep.combinations.first().map(|changes| sweep.base.document(changes).map_err(|p| rendered(&p)));
    }
    if let Ok(set) = text.parse::<SetArgument>() {
        let mut base = Node::parse(&SourceText::new("base.yaml", EXPERIMENT)).expect("the base is valid");
        let _ = Change::from_set(&set)
            .and_then(|change| change.apply(&mut base))
            .map_err(|problem| rendered(&problem.into()));
    }
    let problems = match load::parse("experiment.yaml", text) {
        Err(problems) => problems,
        // Other sources read files, which do not depend on the text.
        Ok(document) if !matches!(document.experiment.data.source, Source::Phantom(_)) => return None,
        Ok(document) => {
            let environment = Environment { cache_dir: folder().to_owned(), memory_bytes: Some(1 << 34) };
            check::check(&document, &environment, None).err()?
        }
    };
    Some(rendered(&problems))
}

/// Reads the bytes as a NIfTI file; if the first byte is `z`, the rest is compressed first. Returns the error of reading an
/// image.
pub fn nifti(bytes: &[u8]) -> Option<String> {
    let path = match bytes.split_first() {
        Some((b'z', content)) => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, content).expect("writing to memory succeeds");
            file("a.nii.gz", &encoder.finish().expect("writing to memory succeeds"))
        }
        _ => file("a.nii", bytes),
    };
    let header = read_header(&path);
    let label = read_label(&path);
    let image = read_image(&path);
    if header.is_err() {
        assert!(image.is_err() && label.is_err(), "a file with an invalid header has no voxels");
    }
    let error = image.err()?.to_string();
    assert!(error.contains(&path.display().to_string()), "an error names its file: {error}");
    Some(error)
}

/// Reads the bytes as weights (safetensors), a training state, a PyTorch state dict and a PyTorch file with other data. Returns
/// the error of the weights.
pub fn checkpoint(bytes: &[u8]) -> Option<String> {
    let _ = State::from_bytes(bytes);
    let _ = pytorch_file(bytes);
    for name in ["a.pt", "a.safetensors"] {
        let read = state_dict::read(&file(name, bytes), "encoder.0.conv1.weight");
        let _ = read.map_err(|error| error.to_string());
    }
    weights::from_safetensors(bytes).err().map(|error| error.to_string())
}

/// Reads the bytes as a file of PyTorch and returns the number of its weights.
pub fn pytorch_file(bytes: &[u8]) -> Result<usize, String> {
    let file = PytorchFile::open(&file("a.pth", bytes)).map_err(|error| error.to_string())?;
    let tensors = file.tensors("network_weights").map_err(|error| error.to_string())?;
    let names: Vec<&str> = tensors.names().collect();
    names.iter().map(|name| Ok(tensors.read(name).map_err(|error| error.to_string())?.data.len())).sum()
}

/// The key of the cache entry whose file is invalid.
pub const KEY: [u8; 32] = [7; 32];

/// Reads the bytes as a cache entry. Returns the reason if it is damaged.
pub fn cache_entry(bytes: &[u8]) -> Option<String> {
    let cache = Cache::new(&folder().join(format!("{:?}-cache", std::thread::current().id())));
    std::fs::create_dir_all(&cache.root).expect("small files can be written");
    std::fs::write(cache.root.join(hex::encode(KEY)).with_extension("volume"), bytes)
        .expect("small files can be written");
    match cache.get(&KEY).expect("the file can be read") {
        Lookup::Damaged { reason, .. } => Some(reason),
        Lookup::Absent => panic!("the file exists"),
        Lookup::Found(volume) => {
            let sum: f64 = volume.image.iter().map(|value| f64::from(*value)).sum();
            let labels = volume.label.map_or(0, |label| label.iter().map(|label| usize::from(*label)).sum::<usize>());
            std::hint::black_box((sum, labels));
            None
        }
    }
}
