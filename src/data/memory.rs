//! How much memory there is, and large arrays that ask first.

use bytemuck::Zeroable;

/// The machine's memory, in bytes; `None` where the system does not tell (only Linux does).
pub fn machine_bytes() -> Option<u64> {
    kilobytes("MemTotal:", "/proc/meminfo").map(|kilobytes| kilobytes * 1024)
}

/// The number of kilobytes behind a word of a file that the system keeps.
pub(crate) fn kilobytes(key: &str, path: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Arrays up to this size are asked for without looking at the machine first.
const SMALL: usize = 1 << 30;

/// Whether the machine has the memory for an array of so many channels and voxels, other arrays aside.
pub(crate) fn holds<T>(channels: usize, shape: [usize; 3]) -> bool {
    let factors = shape.into_iter().chain([channels, size_of::<T>()]);
    match factors.into_iter().try_fold(1usize, usize::checked_mul) {
        Some(bytes) => bytes <= SMALL || machine_bytes().is_none_or(|machine| bytes as u64 <= machine),
        None => false,
    }
}

/// Zeros, or `None` where the system does not give so many.
pub(crate) fn zeros<T: Zeroable>(count: usize) -> Option<Vec<T>> {
    bytemuck::allocation::try_zeroed_vec(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_can_be_is_refused_and_does_not_end_the_program() {
        assert_eq!(zeros::<u64>(usize::MAX / 16), None);
        assert_eq!(zeros::<u16>(3), Some(vec![0; 3]));
    }

    #[test]
    fn what_cannot_be_counted_is_held_by_no_machine() {
        assert!(holds::<f32>(1, [512; 3]));
        assert!(!holds::<f32>(usize::MAX, [65_535; 3]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_the_machines_memory() {
        assert!(machine_bytes().unwrap() > 1 << 20);
    }
}
