//! The peak memory of the process, and its allocator.

/// Returns the peak resident memory of the process in bytes; `None` except on Linux. From `/proc`, since sysinfo
/// reports the current memory only.
pub fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Makes the allocator keep freed memory for the next step instead of returning it to the system: page faults took a
/// fifth of a step. glibc only. Not used with LibTorch, whose peak memory grew by up to two fifths.
pub fn keep_freed() {
    simd::retain_freed_memory();
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_grows_with_the_memory_in_use() {
        let before = super::peak_resident_bytes().unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(super::peak_resident_bytes().unwrap() >= before.max(block.len() as u64));
    }
}
