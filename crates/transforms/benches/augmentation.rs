//! Augments patches by nnU-Net's chain and prints patches per second, and per second of processor time, as JSON, and the time of
//! each step.
//!
//! usage: cargo bench -p transforms --bench augmentation -- CHAIN.yaml [--workers N] [--seconds S] [--profile]
//!
//! The file has the keys `patch`, `channels` and `patch_augment`. Each worker augments the same larger patch, which is in memory,
//! with parameters of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use random::{Purpose, Seed};
use serde::Deserialize;
use transforms::lazy::{self, Profile, View};
use transforms::{Incoming, Transform, sample_params};
use volume::{Affine, Grid, Label, Volume, Voxels, buffer_pool, unravel_index};

#[derive(Deserialize)]
struct Document {
    patch: [usize; 3],
    channels: usize,
    patch_augment: serde_yaml::Value,
}

struct Arguments {
    file: String,
    workers: usize,
    seconds: f64,
    profile: bool,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments { file: String::new(), workers: 1, seconds: 5.0, profile: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|number| number.parse::<f64>().ok()).expect("a number follows");
        match word.as_str() {
            "--bench" => {}
            "--workers" => parsed.workers = number() as usize,
            "--seconds" => parsed.seconds = number(),
            "--profile" => parsed.profile = true,
            _ => parsed.file = word,
        }
    }
    parsed
}

/// Returns a smooth image with noise, and two nested balls as labels.
fn volume(shape: [usize; 3], channels: usize) -> Volume {
    let voxels: usize = shape.iter().product();
    let radius = |i: usize| {
        let voxel = unravel_index(shape, i);
        let squares = (0..3).map(|axis| (2.0 * voxel[axis] as f64 / shape[axis] as f64 - 1.0).powi(2));
        squares.sum::<f64>()
    };
    let image = |i: usize| ((radius(i % voxels) * 7.0).cos() + (i as f64 * 0.7).sin() * 0.2) as f32;
    let label = |i: usize| Label::from(radius(i) < 0.3) + Label::from(radius(i) < 0.1);
    Volume {
        grid: Grid { shape, affine: Affine::IDENTITY },
        image: Voxels::new(channels, shape, (0..channels * voxels).map(image).collect()),
        label: Some(Voxels::new(1, shape, (0..voxels).map(label).collect())),
    }
}

/// Returns the processor time of all threads so far, user and system, in seconds; `None` where there is no `/proc`.
fn processor_seconds() -> Option<f64> {
    /// Clock ticks per second of these numbers on Linux.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, is the second field; user and system time are the 14th and the 15th.
    let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    Some(fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS)
}

fn main() {
    let arguments = arguments();
    let text = std::fs::read_to_string(&arguments.file).expect("the first argument is a chain");
    let document: Document = serde_yaml::from_str(&text).expect("the file is a chain");
    let steps = serde_json::to_value(&document.patch_augment).expect("YAML of an experiment is JSON");
    let chain: Vec<Transform> = serde_json::from_value(steps).expect("the steps are transforms");
    let input = lazy::input_shape(&chain, document.patch);
    let source = volume(input, document.channels);
    let incoming = Incoming { grid: source.grid, channels: document.channels };
    let profile = Profile::default();
    let count = AtomicU64::new(0);
    let before = processor_seconds();
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(arguments.seconds));
    std::thread::scope(|scope| {
        for _ in 0..arguments.workers {
            scope.spawn(|| {
                while start.elapsed() < limit {
                    let index = count.fetch_add(1, Ordering::Relaxed);
                    let params =
                        sample_params(&chain, &mut Seed(0).stream(Purpose::Augment, 0, "bench", index), &incoming);
                    let view = View::new(source.clone(), &chain, &params).expect("the chain can be applied");
                    let view = view.with_profile(arguments.profile.then_some(&profile));
                    let block = view.window([0; 3], document.patch).expect("the patch can be computed");
                    buffer_pool::release(block.image.into_owned());
                    block.label.into_iter().for_each(buffer_pool::release);
                }
            });
        }
    });
    let (count, seconds) = (count.into_inner() as f64, start.elapsed().as_secs_f64());
    for (name, time) in profile.table() {
        eprintln!("{name:<20} {:.3} ms per patch", time.as_secs_f64() * 1e3 / count);
    }
    let processor = processor_seconds().zip(before).map(|(after, before)| count / (after - before));
    println!(
        "{}",
        serde_json::json!({
            "input": input,
            "patches": count,
            "patches_per_second": count / seconds,
            "patches_per_processor_second": processor,
        })
    );
}
