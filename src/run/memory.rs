//! How much memory the process has taken.

use crate::data::memory::kilobytes;

/// The largest resident memory of the process so far, in bytes; `None` where the system does not tell (only Linux does).
pub fn peak_resident_bytes() -> Option<u64> {
    kilobytes("VmHWM:", "/proc/self/status").map(|kilobytes| kilobytes * 1024)
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
