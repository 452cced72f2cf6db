//! Feeds the committed corpus of the fuzzer to the same functions.

use std::fs;
use std::path::Path;

use super::feed;

/// Feeds every committed file of a target, and returns the number of files.
fn feed_all(target: &str, feed: fn(&[u8]) -> Option<String>) -> usize {
    let files = fs::read_dir(Path::new("fuzz/corpus").join(target)).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            eprintln!("{}", path.display());
            let _ = feed(&fs::read(path).unwrap());
        })
        .count()
}

#[test]
fn every_file_of_the_corpus_is_read_without_a_panic() {
    for (target, feed) in [
        ("yaml", feed::yaml as fn(&[u8]) -> Option<String>),
        ("nifti", feed::nifti),
        ("checkpoint", feed::checkpoint),
        ("cache_entry", feed::cache_entry),
    ] {
        assert!(feed_all(target, feed) >= 2, "{target} has no corpus");
    }
}

#[test]
fn the_corpus_stays_small() {
    let files = walkdir::WalkDir::new("fuzz/corpus").into_iter().map(Result::unwrap);
    let bytes: u64 = files.filter(|file| file.file_type().is_file()).map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes < 200_000, "{bytes} bytes");
}
