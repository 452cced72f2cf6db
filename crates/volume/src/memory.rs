//! The machine's memory, and large arrays that check it first.

use bytemuck::Zeroable;
use sysinfo::{MemoryRefreshKind, Process, ProcessRefreshKind, ProcessesToUpdate, System};

/// Returns the memory that this process may use, in bytes: the machine's, or less where a container, a scheduler or `ulimit`
/// allows less. `None` if the system does not report it.
pub fn memory_limit_bytes() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0);
    machine.into_iter().chain(control_group_bytes(&mut system)).chain(address_space_bytes()).min()
}

/// Returns the memory limit of this process's control group and its parents (Linux).
fn control_group_bytes(system: &mut System) -> Option<u64> {
    let process = sysinfo::get_current_pid().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[process]), false, ProcessRefreshKind::nothing());
    let own = system.process(process).and_then(Process::cgroup_limits);
    // A container may see its own group as the root, under another name than in /proc.
    own.or_else(|| system.cgroup_limits()).map(|limits| limits.total_memory)
}

/// Returns the limit that `ulimit -v` sets (Linux); sysinfo does not read it.
fn address_space_bytes() -> Option<u64> {
    address_space(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Arrays up to this size are allocated without querying the memory limit.
const MAX_UNCHECKED_BYTES: usize = 1 << 30;

/// Returns whether the machine's memory is large enough for an array of this many channels and voxels alone.
pub fn fits_in_memory<T>(channels: usize, shape: [usize; 3]) -> bool {
    let factors = shape.into_iter().chain([channels, size_of::<T>()]);
    match factors.into_iter().try_fold(1usize, usize::checked_mul) {
        Some(bytes) => bytes <= MAX_UNCHECKED_BYTES || memory_limit_bytes().is_none_or(|limit| bytes as u64 <= limit),
        None => false,
    }
}

/// Allocates zeros; returns `None` if the allocation fails.
pub fn try_zeros<T: Zeroable>(count: usize) -> Option<Vec<T>> {
    bytemuck::allocation::try_zeroed_vec(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_space_may_be_limited() {
        let limits = |soft: &str| {
            format!("Limit  Soft Limit  Hard Limit  Units\nMax address space   {soft}   unlimited   bytes\n")
        };
        assert_eq!(address_space(&limits("1048576")), Some(1 << 20));
        assert_eq!(address_space(&limits("unlimited")), None);
    }

    #[test]
    fn a_failed_allocation_returns_none() {
        assert_eq!(try_zeros::<u64>(usize::MAX / 16), None);
        assert_eq!(try_zeros::<u16>(3), Some(vec![0; 3]));
    }

    #[test]
    fn an_array_with_more_bytes_than_64_bits_count_fits_in_no_memory() {
        assert!(fits_in_memory::<f32>(1, [512; 3]));
        assert!(!fits_in_memory::<f32>(usize::MAX, [65_535; 3]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limit_is_at_most_the_memory_of_the_machine() {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let machine: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
        let limit = memory_limit_bytes().unwrap();
        assert!(limit > 1 << 20 && limit <= machine * 1024, "{limit} of {machine} kB");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_control_group_limits_at_most_the_machine() {
        let mut system = System::new();
        if let Some(limit) = control_group_bytes(&mut system) {
            assert!(limit > 1 << 20);
        }
    }
}
