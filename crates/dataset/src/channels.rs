//! nnU-Net's names of channel files: `case_0000.nii.gz`, `case_0001.nii.gz`, ….
//!
//! Case names may end with four digits as well, such as AMOS's `amos_0001`. Digits are therefore a channel number only if
//! all files together agree: each case has the channels 0, 1, … without gaps, and all cases have the same number. Where the
//! number of channels is known, each case decides for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::subject::Subject;
use volume::io::case_name;

/// The number of digits of a channel number.
const DIGITS: usize = 4;

/// Groups image files into subjects without labels: the channel files of a case become one subject, named without the
/// channel number.
///
/// `channels` is the number of channels that every case must have, if it is known, as for a trained network. A file that does
/// not belong to a case of that many channels is then a subject of its own; if the number is unknown and not all files are
/// channels, each file is. Subjects are in the order of their first files.
pub fn group_channels(files: &[PathBuf], channels: Option<usize>) -> Vec<Subject> {
    // The channels of a case may be in one folder each, but cases of several folders may have the same name.
    let grouped = grouped(files, channels, Path::parent).or_else(|| grouped(files, channels, |_| None));
    grouped.unwrap_or_else(|| match channels {
        Some(count) => complete_cases(files, count),
        None => files.iter().map(|file| alone(file)).collect(),
    })
}

/// Returns the file as a subject of its own.
fn alone(file: &Path) -> Subject {
    Subject { name: case_name(file), images: vec![file.to_owned()], label: None }
}

/// Groups the files of each folder that are channels of a case with `count` channels; all others are subjects of their own.
fn complete_cases(files: &[PathBuf], count: usize) -> Vec<Subject> {
    let key = |file: &PathBuf| {
        let case = case_name(file);
        split_channel(&case).map(|(name, _)| (file.parent().map(Path::to_owned), name.to_owned()))
    };
    let mut by_case: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
    for (key, file) in files.iter().filter_map(|file| Some((key(file)?, file))) {
        by_case.entry(key).or_default().push(file.clone());
    }
    // The name without a channel may be that of another file.
    let names: BTreeSet<String> = files.iter().map(|file| case_name(file)).collect();
    let complete = |(key, files): (_, Vec<PathBuf>)| {
        let subject = grouped(&files, Some(count), Path::parent)?.pop()?;
        (!names.contains(&subject.name)).then_some((key, Some(subject)))
    };
    let mut cases: BTreeMap<_, Option<Subject>> = by_case.into_iter().filter_map(complete).collect();
    let mut subjects = Vec::new();
    for file in files {
        match key(file).and_then(|key| cases.get_mut(&key)) {
            Some(case) => subjects.extend(case.take()),
            None => subjects.push(alone(file)),
        }
    }
    subjects
}

/// Splits a case name into the name without the channel number and the channel, as in `liver_3_0001`: `liver_3` and 1.
pub fn split_channel(case: &str) -> Option<(&str, usize)> {
    let (name, digits) = case.rsplit_once('_')?;
    let is_channel = !name.is_empty() && digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_channel.then(|| digits.parse().ok().map(|channel| (name, channel)))?
}

/// Returns the name of a channel of a case, as in `liver_3_0001`.
pub fn with_channel(case: &str, channel: usize) -> String {
    format!("{case}_{channel:0DIGITS$}")
}

/// Groups files by `folder` and case name; `None` if they are not the channels of cases.
fn grouped<'a>(
    files: &'a [PathBuf],
    channels: Option<usize>,
    folder: impl Fn(&'a Path) -> Option<&'a Path>,
) -> Option<Vec<Subject>> {
    let mut order = Vec::new();
    let mut cases: BTreeMap<(Option<&Path>, String), BTreeMap<usize, &PathBuf>> = BTreeMap::new();
    for file in files {
        let case = case_name(file);
        let (name, channel) = split_channel(&case)?;
        let key = (folder(file), name.to_owned());
        let case = cases.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            BTreeMap::new()
        });
        if case.insert(channel, file).is_some() {
            return None;
        }
    }
    let count = channels.or_else(|| Some(cases.first_key_value()?.1.len()))?;
    let is_complete = |case: &BTreeMap<usize, &PathBuf>| case.keys().copied().eq(0..count);
    if !cases.values().all(is_complete) {
        return None;
    }
    let subject = |key: (Option<&Path>, String)| {
        let images = cases.get(&key).into_iter().flat_map(BTreeMap::values).map(|file| (*file).clone()).collect();
        Subject { name: key.1, images, label: None }
    };
    Some(order.into_iter().map(subject).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns each subject's name and files, joined by `+`.
    fn grouped(files: &[&str], channels: Option<usize>) -> Vec<String> {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        let text = |subject: Subject| {
            let images: Vec<String> = subject.images.iter().map(|file| file.display().to_string()).collect();
            format!("{}: {}", subject.name, images.join("+"))
        };
        group_channels(&files, channels).into_iter().map(text).collect()
    }

    #[test]
    fn consecutive_channels_of_a_case_are_one_subject() {
        let files = ["b_0001.nii.gz", "b_0000.nii.gz", "a_0000.nii.gz", "a_0001.nii.gz"];
        assert_eq!(grouped(&files, None), ["b: b_0000.nii.gz+b_0001.nii.gz", "a: a_0000.nii.gz+a_0001.nii.gz"]);
        assert_eq!(grouped(&["c_0000.nii.gz"], Some(1)), ["c: c_0000.nii.gz"]);
    }

    #[test]
    fn case_numbers_of_four_digits_are_no_channels() {
        let amos = ["amos_0001.nii.gz", "amos_0002.nii.gz"];
        let alone = ["amos_0001: amos_0001.nii.gz", "amos_0002: amos_0002.nii.gz"];
        assert_eq!(grouped(&amos, None), alone);
        assert_eq!(grouped(&amos, Some(2)), alone);
        // Two cases rather than two channels, since the network takes one.
        assert_eq!(grouped(&["x_0000.nii", "x_0001.nii"], Some(1)), ["x_0000: x_0000.nii", "x_0001: x_0001.nii"]);
    }

    #[test]
    fn if_the_number_of_channels_is_unknown_one_file_without_a_channel_leaves_all_names_as_they_are() {
        assert_eq!(grouped(&["a_0000.nii", "b.nii"], None), ["a_0000: a_0000.nii", "b: b.nii"]);
        assert_eq!(grouped(&["_0000.nii"], None), ["_0000: _0000.nii"]);
    }

    #[test]
    fn if_the_number_of_channels_is_known_other_files_leave_the_name_of_a_complete_case_as_it_is() {
        assert_eq!(grouped(&["a_0000.nii", "b.nii"], Some(1)), ["a: a_0000.nii", "b: b.nii"]);
        let incomplete = ["b_0000.nii", "a_0001.nii", "a_0000.nii", "c.nii"];
        let expected = ["b_0000: b_0000.nii", "a: a_0000.nii+a_0001.nii", "c: c.nii"];
        assert_eq!(grouped(&incomplete, Some(2)), expected);
        let same_name = ["a_0000.nii", "a.nii", "c_0000.nii"];
        assert_eq!(grouped(&same_name, Some(1)), ["a_0000: a_0000.nii", "a: a.nii", "c: c_0000.nii"]);
    }

    #[test]
    fn channels_may_be_in_one_folder_each_and_cases_of_several_folders_may_share_a_name() {
        assert_eq!(grouped(&["t1/a_0000.nii", "t2/a_0001.nii"], None), ["a: t1/a_0000.nii+t2/a_0001.nii"]);
        let same_name = ["day1/a_0000.nii", "day2/a_0000.nii"];
        assert_eq!(grouped(&same_name, None), ["a: day1/a_0000.nii", "a: day2/a_0000.nii"]);
    }

    #[test]
    fn a_channel_is_split_off_and_added_again() {
        assert_eq!(split_channel("liver_3_0012"), Some(("liver_3", 12)));
        assert_eq!(split_channel("liver_003"), None);
        assert_eq!(with_channel("liver_3", 12), "liver_3_0012");
    }
}
