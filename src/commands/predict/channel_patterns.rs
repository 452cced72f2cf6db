//! Cases given as a file or a glob pattern for each channel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::cases::matches;
use crate::terminal::CliError;
use dataset::channels::group_channels;
use dataset::sources::wildcard_name;
use dataset::subject::Subject;
use volume::io;

/// Returns the cases of a file or pattern for each channel.
pub(super) fn from_channels(patterns: &[PathBuf], channels: usize) -> Result<Vec<Subject>, CliError> {
    if patterns.len() != channels {
        let times = if patterns.len() == 1 { "once".to_owned() } else { format!("{} times", patterns.len()) };
        return Err(CliError::problem(
            format!("--channel was given {times}, but the network takes {channels} channels"),
            "give it once for each channel, in the order of training",
        ));
    }
    if patterns.iter().all(|path| path.exists()) {
        return Ok(vec![one_case(patterns)]);
    }
    let by_name = patterns.iter().map(|pattern| named_matches(pattern)).collect::<Result<Vec<_>, _>>()?;
    let names: BTreeSet<&String> = by_name.iter().flat_map(BTreeMap::keys).collect();
    let mut cases = Vec::new();
    for name in names {
        let files = by_name.iter().zip(patterns).map(|(files, pattern)| {
            files.get(name).cloned().ok_or_else(|| {
                let others = by_name.iter().find_map(|files| files.get(name)).map(|file| file.display().to_string());
                CliError::problem(
                    format!("case {name} has {}, but no file that matches {}", others.unwrap_or_default(), pattern.display()),
                    "the text in place of the wildcards must be the same in every channel; list other names with --table",
                )
            })
        });
        cases.push(Subject { name: name.clone(), images: files.collect::<Result<_, _>>()?, label: None });
    }
    Ok(cases)
}

/// Returns the case of one file per channel, named after the first if the names do not say more. The order is that of the
/// arguments, whatever the names say.
fn one_case(files: &[PathBuf]) -> Subject {
    let numbered = group_channels(files, Some(files.len()));
    let [case] = &numbered[..] else {
        return Subject { name: io::case_name(&files[0]), images: files.to_vec(), label: None };
    };
    if case.images != files {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        eprintln!("warning: channels are used in the given order ({}), not in that of their names", names.join(", "));
    }
    Subject { name: case.name.clone(), images: files.to_vec(), label: None }
}

/// Returns the files that match a pattern, by the text in place of its wildcards: its last part, if that is unique.
fn named_matches(pattern: &Path) -> Result<BTreeMap<String, PathBuf>, CliError> {
    let text = pattern.to_string_lossy();
    let named: Vec<(String, PathBuf)> = matches(pattern)?
        .into_iter()
        .map(|file| (wildcard_name(&text, &file).unwrap_or_else(|| io::case_name(&file)), file))
        .collect();
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let short: BTreeSet<String> = named.iter().map(|(name, _)| last(name)).collect();
    let is_unique = short.len() == named.len();
    Ok(named
        .into_iter()
        .map(|(name, file)| (if is_unique { last(&name) } else { name.replace('/', "_") }, file))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::cases::tests::{folder, named};
    use super::*;

    fn channels(folder: &Path, patterns: &[&str], count: usize) -> Result<Vec<Subject>, CliError> {
        from_channels(&patterns.iter().map(|pattern| folder.join(pattern)).collect::<Vec<_>>(), count)
    }

    #[test]
    fn channels_keep_the_given_order() {
        let folder = folder(&["a_0000.nii.gz", "a_0001.nii.gz"]);
        let case = channels(folder.path(), &["a_0001.nii.gz", "a_0000.nii.gz"], 2).unwrap().remove(0);
        assert_eq!((case.name.as_str(), io::case_name(&case.images[0])), ("a", "a_0001".to_owned()));
    }

    #[test]
    fn a_pattern_per_channel_names_cases_after_its_wildcards() {
        let folder =
            folder(&["s/01/t1.nii.gz", "s/01/t2.nii.gz", "s/02/t1.nii.gz", "s/02/t2.nii.gz", "s/03/t1.nii.gz"]);
        let some = |patterns: &[&str], count| channels(folder.path(), patterns, count);
        let both = some(&["s/0[12]/t1.nii.gz", "s/0[12]/t2.nii.gz"], 2).unwrap();
        assert_eq!(both.len(), 2);
        let folders = named(some(&["s/*/t1.nii.gz"], 1));
        assert_eq!(folders.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["01", "02", "03"]);
        let error = some(&["s/*/t1.nii.gz", "s/*/t2.nii.gz"], 2).unwrap_err();
        assert!(error.message().contains("case 03 has") && error.message().contains("t2.nii.gz"), "{error:?}");
        let error = some(&["s/*/t1.nii.gz"], 2).unwrap_err();
        assert!(error.message().contains("given once, but the network takes 2 channels"), "{error:?}");
        assert_eq!(named(some(&["s/01/t1.nii.gz", "s/01/t2.nii.gz"], 2)), [("t1".to_owned(), 2)]);
    }
}
