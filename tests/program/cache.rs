//! The cache of preprocessed volumes: bounded, shared by processes, on a disk that may be full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::test_dir::{Disk, TestDir, stderr_line, stdout};

/// Size in bytes of the entry of a volume with 16 x 16 x 16 voxels and labels.
const ENTRY: u64 = 1024 + 16 * 16 * 16 * 6;

const SOURCE: [&str; 2] = ["--set", "data.source={msd: {root: data}}"];

fn dir() -> TestDir {
    let dir = TestDir::new();
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    dir
}

/// Returns the arguments for patches of the experiment with another intensity window, which has other cache entries.
fn arguments<'a>(window: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["patches", "tiny.yaml", "--count", "8", "--set", window][..], &SOURCE, more].concat()
}

const FIRST: &str = "preprocess.0.clamp.max=250";
const SECOND: &str = "preprocess.0.clamp.max=100";

/// Returns the entries of a cache, and all other files except the lock and the table of hashes.
fn files(cache: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let all = fs::read_dir(cache.join("volumes")).unwrap().map(|file| file.unwrap().path());
    let others = all.filter(|path| !path.ends_with(".lock") && !path.ends_with("hashes.json"));
    others.partition(|path| path.extension().is_some_and(|ending| ending == "volume"))
}

#[test]
fn least_recently_used_entries_are_evicted() {
    let dir = dir();
    let limit = (5 * ENTRY).to_string();
    let patches = |window| stdout(&dir.runner(&arguments(window, &["--cache-limit", &limit])).success());
    let first = patches(FIRST);
    let (entries, _) = files(&dir.path("cache"));
    assert_eq!(entries.len(), 4);
    assert_ne!(patches(SECOND), first);
    let (after, leftovers) = files(&dir.path("cache"));
    assert_eq!((after.len(), leftovers.len()), (5, 0));
    assert_eq!(after.iter().filter(|entry| entries.contains(entry)).count(), 1);
    // Evicted entries are computed again.
    assert_eq!(patches(FIRST), first);
    assert!(stdout(&dir.runner(&["cache", "--cache-limit", "1GB"]).success()).contains("5 volumes"));
}

#[test]
fn a_run_that_does_not_fit_is_rejected_before_anything_is_written() {
    let dir = dir();
    let limit = (4 * ENTRY - 1).to_string();
    for command in ["patches", "run"] {
        let more = [&["--cache-limit", &limit][..], &SOURCE].concat();
        let message = stderr_line(&dir.runner(&[&[command, "tiny.yaml"][..], &more].concat()).code(2));
        for text in [&format!("{} bytes", 4 * ENTRY), &format!("{limit} bytes"), "--cache-limit"] {
            assert!(message.contains(text), "{text} is missing in\n{message}");
        }
    }
    assert!(!dir.path("cache").exists());
    let mut command = dir.command(&arguments(FIRST, &[]));
    command.env("RUNNER_CACHE_LIMIT", "1KB").assert().code(2);
    dir.runner(&arguments(FIRST, &["--cache-limit", "lots"])).code(2);
}

#[test]
fn a_weight_map_shared_by_subjects_is_counted_once() {
    let dir = dir();
    let needed = 4 * ENTRY + 1024 + 16 * 16 * 16 * 4;
    let sampler = "sampler={ weighted: { patch: [4, 4, 4], map: 'data/labelsTr/phantom_000.nii.gz' } }";
    let with = |limit: u64| dir.runner(&arguments(FIRST, &["--set", sampler, "--cache-limit", &limit.to_string()]));
    assert!(stderr_line(&with(needed - 1).code(2)).contains(&format!("{needed} bytes")));
    with(needed).success();
    assert_eq!(files(&dir.path("cache")).0.len(), 5);
}

#[cfg(unix)]
#[test]
fn moved_files_are_recognized_by_their_content() {
    use std::os::unix::fs::MetadataExt;

    let dir = dir();
    let patches = || stdout(&dir.runner(&arguments(FIRST, &[])).success());
    let first = patches();
    let inodes = || {
        let entries = files(&dir.path("cache")).0.into_iter();
        entries.map(|entry| (fs::metadata(&entry).unwrap().ino(), entry)).collect::<std::collections::BTreeSet<_>>()
    };
    let entries = inodes();
    fs::remove_file(dir.path("cache/volumes/hashes.json")).unwrap();
    assert_eq!((patches(), inodes()), (first, entries));
}

#[test]
fn hashes_are_stored_even_if_a_subject_cannot_be_read() {
    let dir = dir();
    let damaged = dir.path("data/imagesTr/phantom_003.nii.gz");
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    let message = stderr_line(&dir.runner(&arguments(FIRST, &[])).code(3));
    assert!(message.contains("phantom_003") && message.contains("truncated"), "{message}");
    let table = fs::read_to_string(dir.path("cache/volumes/hashes.json")).unwrap();
    assert!(table.contains("phantom_003"), "{table}");
}

#[test]
fn processes_that_fill_one_cache_together_make_the_same_patches() {
    let dir = dir();
    let [first, second] = [FIRST, SECOND].map(|window| stdout(&dir.runner(&arguments(window, &[])).success()));
    // With space for all entries, and with so little that each process evicts the entries of the other.
    for limit in [8 * ENTRY, 4 * ENTRY] {
        let limit = limit.to_string();
        for round in 0..5 {
            let cache = format!("cache-{limit}-{round}");
            let started = [FIRST, SECOND, FIRST, SECOND].map(|window| {
                Command::new(env!("CARGO_BIN_EXE_runner"))
                    .current_dir(dir.path(""))
                    .args(arguments(window, &["--cache-dir", &cache, "--cache-limit", &limit]))
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            });
            for (process, expected) in started.into_iter().zip([&first, &second, &first, &second]) {
                let output = process.wait_with_output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                assert_eq!(&String::from_utf8(output.stdout).unwrap(), expected);
            }
            let (entries, leftovers) = files(&dir.path(&cache));
            assert!(leftovers.is_empty(), "{leftovers:?}");
            assert!(entries.len() as u64 * ENTRY <= limit.parse().unwrap(), "{entries:?}");
        }
    }
}

#[test]
fn unfinished_files_of_a_killed_process_are_removed() {
    let dir = TestDir::new();
    let big = "data.source={ phantom: { subjects: 4, shape: [128, 128, 96], spacing_mm: [4, 4, 4] } }";
    let arguments = ["patches", "tiny.yaml", "--count", "1", "--set", big];
    dir.runner(&arguments).success();
    dir.runner(&["cache", "clear"]).success();
    let has_unfinished = || files(&dir.path("cache")).1.iter().any(|path| path.to_string_lossy().contains("/.entry-"));
    // A file is written in a few milliseconds, so the signal may come too late.
    let was_killed = (0..50).any(|_| {
        let mut process = dir.spawn(&arguments);
        while !has_unfinished() && process.try_wait().unwrap().is_none() {}
        process.kill().unwrap();
        process.wait().unwrap();
        dir.runner(&["cache", "clear"]).success();
        has_unfinished()
    });
    assert!(was_killed, "no process was killed while it was writing");
    dir.runner(&arguments).success();
    assert_eq!(files(&dir.path("cache")).1.len(), 0);
}

#[test]
fn a_full_disk_is_reported_with_bytes_and_folder_and_leaves_no_partial_file() {
    let dir = dir();
    let Some(disk) = Disk::mount(dir.path("cache"), 64) else { return };
    let message = stderr_line(&dir.runner(&arguments(FIRST, &[])).code(3));
    let texts = [
        &format!("cannot write {ENTRY} bytes"),
        "cache/volumes",
        "No space left",
        "runner cache clear",
        "subject phantom_00",
    ];
    for text in texts {
        assert!(message.contains(text), "{text} is missing in\n{message}");
    }
    let (entries, leftovers) = files(&disk.folder);
    assert!(leftovers.is_empty(), "{leftovers:?}");
    assert!(entries.iter().all(|entry| fs::metadata(entry).unwrap().len() == ENTRY), "{entries:?}");
    // With a limit below the size of the disk, the same run is rejected before it writes.
    dir.runner(&arguments(FIRST, &["--cache-limit", "60KB"])).code(2);
}
