//! Which process holds a run: names that no other machine, boot or process has.

use std::fs;

use run_folder::manifest::host;

/// The machine, this boot of it, and the room its process numbers count in: containers have rooms of their own.
pub(super) fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let room = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
    format!("{} {} {room}", host(), boot.trim())
}

/// When a process began, in ticks since the machine did; `None` where there is no such process.
pub(super) fn process_start(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, in brackets, may hold spaces; of what follows, the 20th is field 22.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    // A zombie has ended; only nobody has asked how.
    (state != "Z").then_some(start)
}
