//! In the steady state, sampling a patch allocates no array of its size.

#![expect(unsafe_code, reason = "an allocator is unsafe to write; this one forwards to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dataset::cache::Cache;
use dataset::queue::Request;
use engine::experiment::check::{Environment, check};
use engine::experiment::load::parse;
use engine::training::dataset::{PatchUse, PreprocessedDataset};

/// Records allocations.
struct Counting;

static LARGEST: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: forwards to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is that of the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const TEXT: &str = "\
data: { source: { phantom: { subjects: 2, shape: [64, 64, 48] } }, split: { first: 1 } }
preprocess: [{ rescale_intensity: { to: [-1, 1] } }]
augment: [{ affine: { scales: [0.9, 1.1], degrees: [-10, 10] } }, { flip: { probabilities: [0.5, 0, 0] } }, { noise: { std: 0.1 } }]
sampler: { label: { patch: [32, 32, 32], probabilities: { 0: 0.2, 1: 0.4, 2: 0.4 } } }
model: { unet: { widths: [4, 8] } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1e-4 } }
train: { epochs: 1 }
device: flex
";

#[test]
fn a_patch_allocates_no_array() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment { cache_dir: folder.path().to_owned(), memory_bytes: None };
    let plan = check(&parse("a.yaml", TEXT).unwrap(), &environment, None).unwrap();
    let listing = dataset::sources::list(&plan.experiment.data.source, folder.path()).unwrap();
    let generator = plan.experiment.data.source.component().generator().unwrap();
    generator.write(&listing.generated_in.unwrap(), &mut |_, _| {}).unwrap();
    let cache = Cache::new(folder.path());
    let dataset = PreprocessedDataset::prepare(&plan, &cache, &AtomicBool::new(false), &mut |_| {}).unwrap().unwrap();
    let patch = |index| {
        let request = Request { subject: 0, index, index_in_batch: 0 };
        dataset.patch(PatchUse::Training { epoch: 1 }, &plan.parts.train[0], request).unwrap()
    };
    // The queue holds a few patches at a time.
    let first: Vec<_> = (0..4).map(patch).collect();
    drop(first);
    LARGEST.store(0, Ordering::Relaxed);
    BYTES.store(0, Ordering::Relaxed);
    let count = 40;
    (4..4 + count).for_each(|index| drop(patch(index)));
    let (largest, bytes) = (LARGEST.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed) / count);
    // The arrays of one patch take 196 608 bytes.
    assert!(largest <= 4096 && bytes < 16_384, "largest allocation {largest} bytes, {bytes} bytes per patch");
}
