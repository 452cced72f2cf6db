//! Pairing the images and label maps of folders: which files belong to one subject.
//!
//! Datasets name files in different ways. The first of [`NAMINGS`] by which an image meets a label map is used: the file
//! name without its ending; that without nnU-Net's channel number; the text in place of the patterns' wildcards, which is
//! the only common part where images are called `volume-7` and label maps `segmentation-7`, or where every case is a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::DatasetError;
use super::glob_pattern::wildcard_text;
use crate::channels::{group_channels, split_channel};
use volume::io::case_name;

/// The files that match one pattern.
pub(super) struct Matches<'a> {
    pub pattern: &'a str,
    pub files: Vec<PathBuf>,
}

/// The images and label maps of a dataset, by subject.
pub(super) struct Pairing {
    /// For each pattern of images, the files of each subject.
    pub images: Vec<ByName>,
    /// The label map of each subject.
    pub labels: BTreeMap<String, PathBuf>,
}

type ByName = BTreeMap<String, Vec<PathBuf>>;

/// How files are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    FileName,
    WithoutChannel,
    WildcardText,
}

const NAMINGS: [Naming; 3] = [Naming::FileName, Naming::WithoutChannel, Naming::WildcardText];

/// Pairs images, with a pattern per channel, and label maps.
///
/// # Errors
/// When no image meets a label map, or two files have the same name.
pub(super) fn pair(images: &[Matches], labels: &Matches) -> Result<Pairing, DatasetError> {
    let mut repeated = None;
    for naming in NAMINGS {
        match naming.pair(images, labels) {
            Ok(Some(pairing)) if pairing.has_match() => {
                return Ok(if naming == Naming::WildcardText { pairing.renamed() } else { pairing });
            }
            Ok(_) => {}
            Err(error) => {
                repeated.get_or_insert(error);
            }
        }
    }
    Err(repeated.unwrap_or_else(|| unpaired(images, labels)))
}

impl Naming {
    /// Returns `None` if the files are not named like this.
    fn pair(self, images: &[Matches], labels: &Matches) -> Result<Option<Pairing>, DatasetError> {
        let Some(images) = images.iter().map(|matches| self.images(matches, images.len() > 1)).collect() else {
            return Ok(None);
        };
        let images: Vec<Vec<(String, Vec<PathBuf>)>> = images;
        let label = |file: &PathBuf| {
            let name =
                if self == Self::WildcardText { wildcard_name(labels.pattern, file) } else { Some(case_name(file)) };
            name.map(|name| (name, file.clone()))
        };
        let Some(labels) = labels.files.iter().map(label).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let images = images.into_iter().map(|files| unique(files, |files| &files[0])).collect::<Result<_, _>>()?;
        Ok(Some(Pairing { images, labels: unique(labels, |file| file)? }))
    }

    /// Returns the files of each subject among those of a pattern; `several` if there are other patterns.
    fn images(self, matches: &Matches, several: bool) -> Option<Vec<(String, Vec<PathBuf>)>> {
        let each = |name: &dyn Fn(&PathBuf) -> Option<String>| {
            matches.files.iter().map(|file| Some((name(file)?, vec![file.clone()]))).collect()
        };
        match self {
            Self::FileName => each(&|file| Some(case_name(file))),
            Self::WildcardText => each(&|file| wildcard_name(matches.pattern, file)),
            Self::WithoutChannel if several => {
                let channel = split_channel(&case_name(&matches.files[0])).map(|(_, channel)| channel);
                each(&|file| {
                    let name = case_name(file);
                    match split_channel(&name) {
                        Some((case, other)) if Some(other) == channel => Some(case.to_owned()),
                        None if channel.is_none() => Some(name),
                        _ => None,
                    }
                })
            }
            Self::WithoutChannel => {
                let subjects = group_channels(&matches.files, None);
                Some(subjects.into_iter().map(|subject| (subject.name, subject.images)).collect())
            }
        }
    }
}

/// Returns the text in place of the wildcards, without the ending of an image file.
pub fn wildcard_name(pattern: &str, file: &Path) -> Option<String> {
    let text = wildcard_text(pattern, file)?;
    let (folder, name) = text.rsplit_once('/').map_or(("", &text[..]), |(folder, name)| (folder, name));
    // Where the pattern ends with a wildcard, the text has the ending.
    let ends_file = file.file_name().is_some_and(|whole| whole.to_string_lossy().ends_with(name));
    let name = if ends_file { case_name(Path::new(name)) } else { name.to_owned() };
    Some(if folder.is_empty() { name } else { format!("{folder}/{name}") })
}

/// Returns a map by name.
fn unique<T>(
    named: impl IntoIterator<Item = (String, T)>,
    file: impl Fn(&T) -> &PathBuf,
) -> Result<BTreeMap<String, T>, DatasetError> {
    let mut by_name: BTreeMap<String, T> = BTreeMap::new();
    for (name, value) in named {
        if let Some(first) = by_name.get(&name) {
            let [first, second] = [file(first), file(&value)].map(PathBuf::clone);
            return Err(DatasetError::Repeated { name, first, second });
        }
        by_name.insert(name, value);
    }
    Ok(by_name)
}

impl Pairing {
    /// Returns whether a subject has all channels and a label map.
    fn has_match(&self) -> bool {
        self.labels.keys().any(|name| self.images.iter().all(|channel| channel.contains_key(name)))
    }

    /// Replaces the text of wildcards by names: the file name of the image where there is one pattern of images, else the
    /// last part of the text, else all parts; the first of these by which all subjects differ.
    fn renamed(self) -> Self {
        let keys: BTreeSet<&String> = self.images.iter().flat_map(BTreeMap::keys).chain(self.labels.keys()).collect();
        let joined = |key: &str| key.replace('/', "_");
        let last = |key: &str| key.rsplit('/').next().unwrap_or(key).to_owned();
        let image = |key: &str| self.images[0].get(key).map_or_else(|| joined(key), |files| case_name(&files[0]));
        let namings: [&dyn Fn(&str) -> String; 3] = [&image, &last, &joined];
        let namings = &namings[usize::from(self.images.len() > 1)..];
        let distinct = namings.iter().find_map(|name| {
            let names: BTreeMap<String, String> = keys.iter().map(|key| ((*key).clone(), name(key))).collect();
            (names.values().collect::<BTreeSet<_>>().len() == keys.len()).then_some(names)
        });
        let Some(names) = distinct else { return self };
        let name = |key: &String| names.get(key).unwrap_or(key).clone();
        let rename = |channel: &ByName| channel.iter().map(|(key, files)| (name(key), files.clone())).collect();
        Self {
            images: self.images.iter().map(rename).collect(),
            labels: self.labels.iter().map(|(key, file)| (name(key), file.clone())).collect(),
        }
    }
}

fn unpaired(images: &[Matches], labels: &Matches) -> DatasetError {
    let example = |matches: &Matches| matches.files.first().cloned().unwrap_or_default();
    // With several channels, images may not meet each other.
    DatasetError::Unpaired { images: images.iter().map(example).collect(), label: example(labels) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs files of patterns; returns the images of each subject with its label map, as text.
    fn paired(images: &[(&str, &[&str])], labels: (&str, &[&str])) -> Result<Vec<String>, DatasetError> {
        fn matches<'a>((pattern, files): (&'a str, &[&str])) -> Matches<'a> {
            Matches { pattern, files: files.iter().map(PathBuf::from).collect() }
        }
        let images: Vec<Matches> = images.iter().map(|files| matches(*files)).collect();
        let pairing = pair(&images, &matches(labels))?;
        let line = |(name, label): (&String, &PathBuf)| {
            let images = pairing.images.iter().flat_map(|channel| channel.get(name).into_iter().flatten());
            let images: Vec<String> = images.map(|file| file.display().to_string()).collect();
            format!("{name}: {} {}", images.join("+"), label.display())
        };
        Ok(pairing.labels.iter().map(line).collect())
    }

    #[test]
    fn equal_file_names_meet_even_if_they_end_with_four_digits() {
        let t1 = ("t1/*.nii.gz", &["t1/amos_0001.nii.gz", "t1/amos_0002.nii.gz"][..]);
        let t2 = ("t2/*.nii.gz", &["t2/amos_0001.nii.gz", "t2/amos_0002.nii.gz"][..]);
        let labels = ("l/*", &["l/amos_0001.nii.gz", "l/amos_0002.nii.gz"][..]);
        let first = "amos_0001: t1/amos_0001.nii.gz+t2/amos_0001.nii.gz l/amos_0001.nii.gz";
        assert_eq!(paired(&[t1, t2], labels).unwrap()[0], first);
        assert_eq!(paired(&[t1], labels).unwrap()[1], "amos_0002: t1/amos_0002.nii.gz l/amos_0002.nii.gz");
    }

    #[test]
    fn channel_numbers_are_left_out_with_one_pattern_and_with_several() {
        let labels = ("l/*", &["l/a.nii", "l/b.nii"][..]);
        let one = ("i/*_0000.nii", &["i/a_0000.nii", "i/b_0000.nii"][..]);
        assert_eq!(paired(&[one], labels).unwrap()[0], "a: i/a_0000.nii l/a.nii");
        let other = ("i/*_0001.nii", &["i/a_0001.nii", "i/b_0001.nii"][..]);
        assert_eq!(paired(&[one, other], labels).unwrap()[1], "b: i/b_0000.nii+i/b_0001.nii l/b.nii");
        let all = ("i/*", &["i/a_0000.nii", "i/a_0001.nii", "i/b_0000.nii", "i/b_0001.nii"][..]);
        assert_eq!(paired(&[all], labels).unwrap()[1], "b: i/b_0000.nii+i/b_0001.nii l/b.nii");
    }

    #[test]
    fn files_of_other_names_meet_by_the_text_of_the_wildcards() {
        let lits = ("lits/volume-*.nii", &["lits/volume-0.nii", "lits/volume-1.nii"][..]);
        let labels = ("lits/segmentation-*.nii", &["lits/segmentation-0.nii", "lits/segmentation-1.nii"][..]);
        assert_eq!(paired(&[lits], labels).unwrap()[1], "volume-1: lits/volume-1.nii lits/segmentation-1.nii");
        let kits = ("k/*/imaging.nii.gz", &["k/case_00000/imaging.nii.gz", "k/case_00001/imaging.nii.gz"][..]);
        let labels =
            ("k/*/segmentation.nii.gz", &["k/case_00000/segmentation.nii.gz", "k/case_00001/segmentation.nii.gz"][..]);
        assert!(paired(&[kits], labels).unwrap()[1].starts_with("case_00001: k/case_00001/imaging.nii.gz "));
        let t1 = ("b/*/*_t1.nii.gz", &["b/B1/B1_t1.nii.gz"][..]);
        let t2 = ("b/*/*_t2.nii.gz", &["b/B1/B1_t2.nii.gz"][..]);
        let seg = ("b/*/*_seg.nii.gz", &["b/B1/B1_seg.nii.gz"][..]);
        assert_eq!(paired(&[t1, t2], seg).unwrap(), ["B1: b/B1/B1_t1.nii.gz+b/B1/B1_t2.nii.gz b/B1/B1_seg.nii.gz"]);
        let visits = ("*/*/i.nii", &["s1/v1/i.nii", "s2/v1/i.nii"][..]);
        let labels = ("*/*/l.nii", &["s1/v1/l.nii", "s2/v1/l.nii"][..]);
        assert_eq!(paired(&[visits], labels).unwrap()[1], "s2_v1: s2/v1/i.nii s2/v1/l.nii");
    }

    #[test]
    fn files_that_do_not_meet_are_named() {
        let error = paired(&[("i/*", &["i/a.nii"][..])], ("l/*", &["l/b.nii"][..])).unwrap_err().to_string();
        assert!(error.contains("i/a.nii") && error.contains("l/b.nii"), "{error}");
        let repeated = paired(&[("i/*", &["i/a.nii", "i/a.nii.gz"][..])], ("l/*", &["l/a.nii"][..])).unwrap_err();
        assert!(matches!(repeated, DatasetError::Repeated { name, .. } if name == "a"));
    }
}
