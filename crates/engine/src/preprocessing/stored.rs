//! Volumes in the cache: read, or computed and stored.

use dataset::cache::{Cache, Key, Lookup, Stored};
use dataset::queue::MakeError;
use volume::{Volume, Voxels};

/// Reads the volume of a key from the cache, or computes and stores it.
pub(super) fn get_or_compute(
    cache: &Cache,
    key: &Key,
    warnings: &mut Vec<String>,
    compute: impl FnOnce() -> Result<Volume, MakeError>,
) -> Result<Stored, MakeError> {
    match look_up(cache, key, warnings)? {
        Some(stored) => Ok(stored),
        None => Ok(cache.put(key, compute()?)?),
    }
}

/// Reads a volume and the map of its background from the cache, or computes and stores both.
pub(super) fn get_or_compute_both(
    cache: &Cache,
    [volume_key, map_key]: [&Key; 2],
    warnings: &mut Vec<String>,
    compute: impl FnOnce() -> Result<(Volume, Voxels<f32>), MakeError>,
) -> Result<(Stored, Stored), MakeError> {
    let stored = (look_up(cache, volume_key, warnings)?, look_up(cache, map_key, warnings)?);
    if let (Some(volume), Some(map)) = stored {
        return Ok((volume, map));
    }
    let (volume, map) = compute()?;
    let map = Volume { grid: volume.grid, image: map, label: None };
    Ok((cache.put(volume_key, volume)?, cache.put(map_key, map)?))
}

/// Reads the volume of a key from the cache; a damaged entry is a warning.
fn look_up(cache: &Cache, key: &Key, warnings: &mut Vec<String>) -> Result<Option<Stored>, MakeError> {
    match cache.get(key)? {
        Lookup::Found(volume) => return Ok(Some(volume.into())),
        Lookup::Absent => {}
        Lookup::Damaged { path, reason } => warnings.push(format!("{} is computed again: {reason}", path.display())),
    }
    Ok(None)
}
