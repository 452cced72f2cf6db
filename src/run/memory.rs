//! How much memory the process has taken.

/// The largest resident memory of the process so far, in bytes; `None` where the system does not tell (only Linux does).
pub fn peak_resident_bytes() -> Option<u64> {
    from_status("VmHWM:", "/proc/self/status")
}

/// The machine's memory, in bytes; `None` where the system does not tell (only Linux does).
pub fn machine_bytes() -> Option<u64> {
    from_status("MemTotal:", "/proc/meminfo")
}

fn from_status(key: &str, path: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
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
