//! Which labels a label map contains: read once, and kept in the cache by the content of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use crate::cache::{Cache, FileHashes, KeyBuilder};
use crate::sources::Listing;
use volume::Label;
use volume::io;

/// The version of what is kept, part of its key.
const VERSION: &str = "contained labels 1";

/// Reads which labels above 0 the label map of each subject contains, in parallel; subjects without a label map have none.
///
/// # Errors
/// A message for each subject whose label map cannot be read.
pub fn contained_labels(listing: &Listing, cache: &Cache) -> Result<BTreeMap<String, BTreeSet<Label>>, Vec<String>> {
    let hashes = FileHashes::load(&cache.root);
    let paths: Vec<(&String, &Path)> =
        listing.subjects.iter().filter_map(|subject| Some((&subject.name, subject.label.as_deref()?))).collect();
    let read: Vec<(&String, Result<BTreeSet<Label>, String>)> =
        paths.into_par_iter().map(|(name, path)| (name, of_file(path, &hashes, cache))).collect();
    // The table only saves time; where it cannot be written, neither can a run write its own.
    let _ = hashes.save();
    let (mut labels, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, result) in read {
        match result {
            Ok(contained) => drop(labels.insert(name.clone(), contained)),
            Err(error) => errors.push(format!("subject {name}: {error}")),
        }
    }
    if errors.is_empty() { Ok(labels) } else { Err(errors) }
}

fn of_file(path: &Path, hashes: &FileHashes, cache: &Cache) -> Result<BTreeSet<Label>, String> {
    let hashed = hashes.hash(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let key = KeyBuilder::new().add_text(VERSION).add_file(&hashed.sha256).build();
    let kept = cache.statistics(&hex::encode(key));
    // Unreadable entries are computed again.
    if let Some(labels) = std::fs::read(&kept).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
        return Ok(labels);
    }
    let (_, voxels) = io::read_label(path).map_err(|error| error.to_string())?;
    let mut is_contained = vec![false; usize::from(Label::MAX) + 1];
    voxels.iter().for_each(|label| is_contained[usize::from(*label)] = true);
    let labels: BTreeSet<Label> = (1..=Label::MAX).filter(|label| is_contained[usize::from(*label)]).collect();
    // The file only saves time.
    let _ = cache.write_statistics(&kept, &labels);
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Subject;
    use volume::{Affine, Grid, Voxels};

    #[test]
    fn label_maps_are_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii.gz");
        let grid = Grid { shape: [1, 2, 3], affine: Affine::IDENTITY };
        let write =
            |labels: [Label; 6]| io::write_label(&path, &grid, &Voxels::new(1, grid.shape, labels.to_vec())).unwrap();
        write([0, 7, 2, 2, 0, 900]);
        let cache = Cache::new(&folder.path().join("cache"));
        let subject = |name: &str, label| Subject { name: name.to_owned(), images: Vec::new(), label };
        let subjects = vec![subject("a", Some(path.clone())), subject("b", None)];
        let listing = Listing { subjects, ..Listing::default() };
        let labels = || contained_labels(&listing, &cache).unwrap();
        assert_eq!(labels(), BTreeMap::from([("a".to_owned(), BTreeSet::from([2, 7, 900]))]));
        // An edited entry shows that it is used.
        let entries = || std::fs::read_dir(cache.statistics("x").parent().unwrap()).unwrap();
        let entry = entries().next().unwrap().unwrap().path();
        std::fs::write(entry, "[5]").unwrap();
        assert_eq!(labels()["a"], BTreeSet::from([5]));
        write([0, 3, 3, 3, 3, 3]);
        assert_eq!(labels()["a"], BTreeSet::from([3]));
        std::fs::write(&path, "no image").unwrap();
        let errors = contained_labels(&listing, &cache).unwrap_err();
        assert!(errors[0].starts_with("subject a: ") && errors[0].contains("a.nii.gz"), "{errors:?}");
    }
}
