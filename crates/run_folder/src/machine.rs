//! The machine of a run.
//!
//! Read from `/proc` rather than with sysinfo, which does not report NVIDIA's GPUs and their driver.

use std::fs;

use serde::{Deserialize, Serialize};

use volume::memory::memory_limit_bytes;

/// The machine of a run; some of it is known on Linux only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The operating system and its kernel, such as `linux 6.1.0`.
    pub system: String,
    /// The processor's model.
    pub cpu: Option<String>,
    /// The number of processors that this process may use.
    pub processors: usize,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// The models of NVIDIA's GPUs.
    pub gpus: Vec<String>,
    /// The version of NVIDIA's driver.
    pub gpu_driver: Option<String>,
}

impl Machine {
    /// Describes this machine.
    pub fn here() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut gpus: Vec<String> = fs::read_dir("/proc/driver/nvidia/gpus")
            .map(|gpus| gpus.flatten().filter_map(|gpu| field(&gpu.path().join("information"), "Model")).collect())
            .unwrap_or_default();
        gpus.sort();
        Self {
            system: format!("{} {}", std::env::consts::OS, kernel.trim()).trim().to_owned(),
            cpu: field("/proc/cpuinfo".as_ref(), "model name"),
            processors: std::thread::available_parallelism().map_or(1, |count| count.get()),
            memory_bytes: memory_limit_bytes(),
            gpus,
            gpu_driver: field("/proc/driver/nvidia/version".as_ref(), "NVRM version"),
        }
    }
}

/// Returns the value of the first line `NAME: VALUE` of a file.
fn field(path: &std::path::Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_name_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cpuinfo");
        fs::write(&path, "processor\t: 0\nmodel name\t: Fast CPU @ 3: GHz\n\nmodel name\t: other\n").unwrap();
        assert_eq!(field(&path, "model name").as_deref(), Some("Fast CPU @ 3: GHz"));
        assert_eq!(field(&path, "flags"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let machine = Machine::here();
        assert!(machine.system.starts_with("linux ") && machine.processors > 0 && machine.memory_bytes.is_some());
    }
}
