//! How much memory there is, and large arrays that ask first.

use std::fs;
use std::path::{Path, PathBuf};

use bytemuck::Zeroable;

/// The memory that this process may use, in bytes: the machine's, or less where a container, a scheduler or `ulimit`
/// allows less. `None` where the system does not tell (only Linux does).
pub fn memory_limit_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let of_groups =
        group_files(&groups).into_iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    proc_kilobytes("MemTotal:", "/proc/meminfo")
        .map(|proc_kilobytes| proc_kilobytes * 1024)
        .into_iter()
        .chain(of_groups)
        .chain(address_space(&limits))
        .min()
}

/// The files that say how much memory the control groups of a process allow, by what `/proc/self/cgroup` says: its own
/// and all around it, of either version.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // Within a container its own group may be the root.
        let around = Path::new(path.trim_start_matches('/')).ancestors();
        files.extend(around.map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

/// The limit of the address space, by what `/proc/self/limits` says; `None` without one.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The number of proc_kilobytes behind a word of a file that the system keeps.
pub fn proc_kilobytes(key: &str, path: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Arrays up to this size are asked for without looking at the machine first.
const SMALL: usize = 1 << 30;

/// Whether the machine has the memory for an array of so many channels and voxels, other arrays aside.
pub fn fits_in_memory<T>(channels: usize, shape: [usize; 3]) -> bool {
    let factors = shape.into_iter().chain([channels, size_of::<T>()]);
    match factors.into_iter().try_fold(1usize, usize::checked_mul) {
        Some(bytes) => bytes <= SMALL || memory_limit_bytes().is_none_or(|machine| bytes as u64 <= machine),
        None => false,
    }
}

/// Zeros, or `None` where the system does not give so many.
pub fn try_zeros<T: Zeroable>(count: usize) -> Option<Vec<T>> {
    bytemuck::allocation::try_zeroed_vec(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_and_all_around_it_may_set_a_limit() {
        let files = group_files("0::/slurm/job_7\n");
        let expected = ["slurm/job_7/memory.max", "slurm/memory.max", "memory.max"];
        assert_eq!(files, expected.map(|file| Path::new("/sys/fs/cgroup").join(file)));
        let files = group_files("12:cpu:/a\n4:memory:/docker/b\n");
        assert_eq!(files[0], Path::new("/sys/fs/cgroup/memory/docker/b/memory.limit_in_bytes"));
        assert_eq!(files.len(), 3);
    }

    #[test]
    fn the_address_space_may_be_limited() {
        let limits = |soft: &str| {
            format!("Limit  Soft Limit  Hard Limit  Units\nMax address space   {soft}   unlimited   bytes\n")
        };
        assert_eq!(address_space(&limits("1048576")), Some(1 << 20));
        assert_eq!(address_space(&limits("unlimited")), None);
    }

    #[test]
    fn more_than_there_can_be_is_refused_and_does_not_end_the_program() {
        assert_eq!(try_zeros::<u64>(usize::MAX / 16), None);
        assert_eq!(try_zeros::<u16>(3), Some(vec![0; 3]));
    }

    #[test]
    fn what_cannot_be_counted_is_held_by_no_machine() {
        assert!(fits_in_memory::<f32>(1, [512; 3]));
        assert!(!fits_in_memory::<f32>(usize::MAX, [65_535; 3]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_the_machines_memory() {
        assert!(memory_limit_bytes().unwrap() > 1 << 20);
    }
}
