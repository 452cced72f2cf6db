//! Settings of the C library's allocator.

/// Makes glibc's allocator retain freed memory instead of returning it to the system. Does nothing with other C libraries.
pub fn retain_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: only numbers are passed, and unknown settings are rejected. `mallopt` locks the main arena; threads that
    // allocate meanwhile see either the old or the new numbers, and both are valid.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
