//! The identity of a process, unique across machines, boots and containers.

use std::fs;

use run_folder::manifest::host;

/// Returns an identity of the machine, its boot and its PID namespace: containers have PID namespaces of their own.
pub(super) fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
    format!("{} {} {namespace}", host(), boot.trim())
}

/// Returns when a process started, in clock ticks since boot; `None` if there is no such process.
///
/// Read from `/proc`, since this must be exact: sysinfo rounds it to seconds.
pub(super) fn process_start(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name, in parentheses, may contain spaces; `starttime` is field 22, the 20th after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    // A zombie has ended, but its parent has not waited for it yet.
    (state != "Z").then_some(start)
}
