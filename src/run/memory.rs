//! How much memory the process has taken, and may take.

use std::fs;
use std::path::{Path, PathBuf};

/// The largest resident memory of the process so far, in bytes; `None` where the system does not tell (only Linux does).
pub fn peak_resident_bytes() -> Option<u64> {
    from_status("VmHWM:", "/proc/self/status")
}

/// The memory that this process may use, in bytes: the machine's, or less where a container, a scheduler or `ulimit`
/// allows less. `None` where the system does not tell (only Linux does).
pub fn machine_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let of_groups =
        group_files(&groups).into_iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    from_status("MemTotal:", "/proc/meminfo").into_iter().chain(of_groups).chain(address_space(&limits)).min()
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

fn from_status(key: &str, path: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
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

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_grows_with_what_is_used() {
        let before = super::peak_resident_bytes().unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(super::peak_resident_bytes().unwrap() >= before.max(block.len() as u64));
    }
}
