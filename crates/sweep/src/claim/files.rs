//! Claim files: their names, generations and time stamps.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::ClaimState;
use super::record::ClaimRecord;
use crate::folder::names_in;
use volume::atomic_file;

/// Creates a temporary file with the permissions that the umask gives.
pub(super) fn temporary_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    atomic_file::temporary_file_in(folder, atomic_file::TEMPORARY_PREFIX)
}

/// Returns the path of a claim.
pub(super) fn claim_path(claims: &Path, id: &str, generation: u64) -> PathBuf {
    claims.join(format!("{id}.{generation}.json"))
}

/// Returns the claim of the highest generation.
pub(super) fn newest(claims: &Path, id: &str) -> io::Result<Option<(u64, PathBuf)>> {
    let newest = names_in(claims)?.iter().filter_map(|name| generation(name, id)).max();
    Ok(newest.map(|generation| (generation, claim_path(claims, id, generation))))
}

/// Removes the claims of earlier generations.
pub(super) fn remove_older(claims: &Path, id: &str, current: u64) -> io::Result<()> {
    for name in names_in(claims)? {
        if generation(&name, id).is_some_and(|older| older < current) {
            remove(&claims.join(name))?;
        }
    }
    Ok(())
}

fn generation(name: &str, id: &str) -> Option<u64> {
    name.strip_prefix(id)?.strip_prefix('.')?.strip_suffix(".json")?.parse().ok()
}

/// Removes a file, if it exists.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns the state of all claims in a folder by id; runs that were never claimed are missing.
///
/// # Errors
/// If a file cannot be read.
pub fn claims(claims: &Path) -> io::Result<BTreeMap<String, ClaimState>> {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for name in names_in(claims)? {
        let Some((id, generation)) = name.strip_suffix(".json").and_then(|name| name.rsplit_once('.')) else {
            continue;
        };
        let Ok(generation) = generation.parse::<u64>() else { continue };
        let highest = newest.entry(id.to_owned()).or_insert(generation);
        *highest = generation.max(*highest);
    }
    let now = disk_time(claims);
    newest
        .into_iter()
        .map(|(id, generation)| {
            let state = state(&claim_path(claims, &id, generation), now)?;
            Ok((id, state))
        })
        .collect()
}

/// Returns the state of a claim.
pub(super) fn state(path: &Path, now: SystemTime) -> io::Result<ClaimState> {
    let read = || fs::read(path).and_then(|text| Ok((text, fs::metadata(path)?.modified()?)));
    let (text, modified) = match read() {
        Ok(read) => read,
        // On a network file system, the file was replaced while it was read.
        Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => read()?,
        // A newer generation has replaced it in the meantime.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ClaimState::Free),
        Err(error) => return Err(error),
    };
    let silence = now.duration_since(modified).unwrap_or_default();
    let record: ClaimRecord = serde_json::from_slice(&text).unwrap_or_default();
    Ok(match record {
        record if record.released => ClaimState::Free,
        record if record.is_alive(silence) => ClaimState::Held(record),
        record => ClaimState::Dead(record),
    })
}

/// Returns the time by the clock that stamps the files of a folder.
pub(super) fn disk_time(folder: &Path) -> SystemTime {
    temporary_file(folder)
        .and_then(|file| file.as_file().metadata()?.modified())
        // In a read-only folder, use this machine's clock.
        .unwrap_or_else(|_| SystemTime::now())
}
