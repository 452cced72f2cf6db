//! Synthetic run folders, computed from formulas instead of by training.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use run_folder::manifest::{Build, Manifest, Status};

/// A finished run with scored volumes.
pub struct RunFixture<'a> {
    /// The name of its folder.
    pub name: &'a str,
    pub learning_rate: f64,
    pub seed: u64,
    pub epochs: usize,
    /// The interval in epochs at which whole volumes are scored.
    pub every: usize,
    pub cases: usize,
    /// The mean Dice that it converges to.
    pub dice: f64,
}

impl Default for RunFixture<'_> {
    fn default() -> Self {
        Self { name: "run", learning_rate: 1e-3, seed: 1, epochs: 10, every: 2, cases: 12, dice: 0.8 }
    }
}

/// Returns a pseudorandom number between -1 and 1 from a hash of the parts.
fn noise(parts: &[u64]) -> f64 {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    for part in parts {
        state = (state ^ part).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state ^= state >> 29;
    }
    (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

impl RunFixture<'_> {
    /// Writes the folder.
    pub fn write(&self, runs: &Path) -> PathBuf {
        let folder = runs.join(self.name);
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let Self { learning_rate, seed, epochs, every, cases, dice, .. } = self;
        let mut manifest = Manifest::begin("flex".to_owned(), *seed, vec!["run".to_owned()], None, Build::default());
        manifest.data_fingerprint = Some("data".to_owned());
        manifest.start = format!("2026-11-25T09:00:{:02}Z", seed % 60);
        manifest.end(Status::Done, None);
        write("manifest.json", &serde_json::to_string_pretty(&manifest).unwrap());
        write(
            "plan.yaml",
            &format!(
                "name: made\nseed: {seed}\ndata: {{ split: {{ first: 30 }} }}\nmetrics: [{{ dice: {{ empty: nan }} }}]\n\
                 optimizer: {{ adam: {{ learning_rate: {learning_rate:?} }} }}\ntrain: {{ epochs: {epochs} }}\n\
                 checkpoint: {{ monitor: val_dice_mean }}\n"
            ),
        );
        let names: Vec<String> = (0..*cases).map(|case| format!("liver_{case:03}")).collect();
        write("split.json", &serde_json::json!({ "train": ["liver_900"], "val": names, "test": [] }).to_string());

        let mut metrics =
            "epoch,step,learning_rate,train_loss,val_loss,val_dice_liver,val_dice_tumour,val_dice_mean\n".to_owned();
        let mut scores = "epoch,subject,dice_liver,dice_tumour\n".to_owned();
        let mut timing = "epoch,seconds,peak_memory_bytes\n".to_owned();
        let rate = learning_rate.to_bits();
        for epoch in 1..=*epochs {
            let progress =
                1.0 - (-3.0 * epoch as f64 / *epochs as f64).exp() + 0.01 * noise(&[rate, *seed, epoch as u64]);
            let loss = 1.2 - progress * dice;
            let (mut liver, mut tumour) = (0.0, 0.0);
            if epoch % every == 0 || epoch == *epochs {
                for (case, name) in names.iter().enumerate() {
                    let offset = 0.04 * noise(&[case as u64]) + 0.01 * noise(&[rate, *seed, case as u64]);
                    let [a, b] = [0.1, -0.15].map(|lead| ((dice + lead + offset) * progress).clamp(0.0, 1.0));
                    (liver, tumour) = (liver + a / *cases as f64, tumour + b / *cases as f64);
                    writeln!(scores, "{epoch},{name},{a},{b}").unwrap();
                }
                let mean = (liver + tumour) / 2.0;
                writeln!(metrics, "{epoch},{},{learning_rate},{loss},{loss},{liver},{tumour},{mean}", epoch * 20)
                    .unwrap();
            } else {
                writeln!(metrics, "{epoch},{},{learning_rate},{loss},{loss},,,", epoch * 20).unwrap();
            }
            writeln!(timing, "{epoch},1.5,250000000").unwrap();
        }
        write("metrics.csv", &metrics);
        write("cases.csv", &scores);
        write("timing.csv", &timing);
        folder
    }
}

/// Writes `count` runs: several learning rates, each with four seeds.
pub fn make_many(runs: &Path, count: usize, epochs: usize) {
    for index in 0..count {
        let learning_rate = 1e-4 * 1.2f64.powi((index / 4) as i32);
        let learning_rate: f64 = format!("{learning_rate:.2e}").parse().unwrap();
        let dice = 0.85 - 0.004 * ((index / 4) as f64 - 20.0).abs() + 0.01 * noise(&[index as u64]);
        let name = format!("run_{index:03}");
        let run =
            RunFixture { name: &name, learning_rate, seed: (index % 4) as u64, epochs, every: 10, cases: 26, dice };
        run.write(runs);
    }
}
