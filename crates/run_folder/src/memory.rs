//! How much memory the process has taken, and that it keeps what it has for the next step.

use volume::memory::proc_kilobytes;

/// The largest resident memory of the process so far, in bytes; `None` where the system does not tell (only Linux does).
pub fn peak_resident_bytes() -> Option<u64> {
    proc_kilobytes("VmHWM:", "/proc/self/status").map(|kilobytes| kilobytes * 1024)
}

/// Has freed memory kept for what comes next, instead of given back to the system at each step: fresh pages took a fifth
/// of a step. Only the C library of GNU is asked. Not for LibTorch, whose peak grew by up to two fifths with it.
pub fn keep_freed() {
    simd::retain_freed_memory();
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_grows_with_what_is_used() {
        let before = super::peak_resident_bytes().unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(super::peak_resident_bytes().unwrap() >= before.max(block.len() as u64));
    }
}
