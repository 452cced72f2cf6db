//! Glob patterns: the files that match one, and the text that its wildcards stand for.

use std::path::{Component, Path, PathBuf};

use super::DatasetError;
use volume::io;

/// Returns the files that match a pattern, in alphabetical order; hidden files are ignored.
///
/// # Errors
/// When the pattern is malformed, a folder cannot be read, or no file matches.
pub fn find(pattern: &str) -> Result<Vec<PathBuf>, DatasetError> {
    let wrong = |reason: String| DatasetError::Pattern {
        pattern: pattern.to_owned(),
        reason,
        help: escape_help(pattern).or_else(|| unsupported_help(pattern)).unwrap_or_else(|| {
            let is_absolute = Path::new(pattern).is_absolute();
            let text = if is_absolute { "check the pattern" } else { "patterns are relative to the working folder" };
            text.to_owned()
        }),
    };
    let mut files = Vec::new();
    for path in glob::glob(pattern).map_err(|error| wrong(error.to_string()))? {
        let path = path.map_err(|error| wrong(error.to_string()))?;
        if !is_hidden(&path) && !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() { Err(wrong("no file matches".to_owned())) } else { Ok(files) }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Advises to escape brackets if files match the pattern with its brackets taken literally.
fn escape_help(pattern: &str) -> Option<String> {
    let escaped = pattern.replace('[', "[[]");
    let matches = escaped != pattern && glob::glob(&escaped).is_ok_and(|mut paths| paths.any(|path| path.is_ok()));
    matches.then(|| format!("brackets are wildcards in a pattern; write `[[]` for a bracket: `{escaped}`"))
}

/// Says how to convert the files of a pattern's folder if they have a format that cannot be read.
fn unsupported_help(pattern: &str) -> Option<String> {
    let is_wildcard = |part: &Path| part.to_string_lossy().contains(['*', '?', '[']);
    let folder = Path::new(pattern).ancestors().skip(1).find(|path| !is_wildcard(path))?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let (file, format) = io::unsupported_in(folder)?;
    Some(format!("{} is {}, which cannot be read: {}", file.display(), format.name, format.conversion))
}

/// Returns the text in place of a pattern's wildcards in a path that matches it: `7` for the pattern
/// `scans/volume-*.nii` and the path `scans/volume-7.nii`. It extends from the first wildcard to the last. `None` if there
/// is no wildcard.
pub(super) fn wildcard_text(pattern: &str, path: &Path) -> Option<String> {
    let parts: Vec<Vec<Token>> = components(Path::new(pattern)).iter().map(|part| tokens(part)).collect();
    let has_wildcard = |part: &Vec<Token>| part.contains(&Token::Wildcard);
    let first = parts.iter().position(has_wildcard)?;
    let num_after = parts.iter().rev().position(has_wildcard)?;
    let path = components(path);
    let text = path.get(first..path.len().checked_sub(num_after)?)?.join("/");
    let prefix = literal(parts[first].iter());
    let suffix: String = literal(parts[parts.len() - 1 - num_after].iter().rev()).chars().rev().collect();
    Some(text.strip_prefix(&prefix)?.strip_suffix(&suffix)?.to_owned())
}

fn components(path: &Path) -> Vec<String> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    Wildcard,
}

/// Returns the tokens of a part of a pattern, in which a class of one character, such as `[[]`, stands for that character.
fn tokens(part: &str) -> Vec<Token> {
    let characters: Vec<char> = part.chars().collect();
    let mut tokens = Vec::new();
    let mut rest = &characters[..];
    while let [first, after @ ..] = rest {
        rest = after;
        tokens.push(match (first, after) {
            ('[', [escaped, ']', after @ ..]) if *escaped != '!' => {
                rest = after;
                Token::Literal(*escaped)
            }
            ('[', _) => {
                // The first character of a class may be a `]`, also after a `!`.
                let start = 1 + usize::from(after.first() == Some(&'!'));
                let end = after.iter().skip(start).position(|character| *character == ']');
                rest = end.map_or(&[][..], |end| &after[start + end + 1..]);
                Token::Wildcard
            }
            ('*' | '?', _) => Token::Wildcard,
            (character, _) => Token::Literal(*character),
        });
    }
    tokens
}

/// Returns the text before the first wildcard.
fn literal<'a>(tokens: impl Iterator<Item = &'a Token>) -> String {
    tokens.map_while(|token| if let Token::Literal(character) = token { Some(*character) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pattern: &str, path: &str) -> Option<String> {
        wildcard_text(pattern, Path::new(path))
    }

    #[test]
    fn the_text_of_wildcards_extends_from_the_first_to_the_last() {
        assert_eq!(text("lits/volume-*.nii", "lits/volume-17.nii").as_deref(), Some("17"));
        assert_eq!(text("kits/*/imaging.nii.gz", "kits/case_00003/imaging.nii.gz").as_deref(), Some("case_00003"));
        assert_eq!(text("./brats/*/*_t1.nii.gz", "brats/B1/B1_t1.nii.gz").as_deref(), Some("B1/B1"));
        assert_eq!(text("/data/**/v?-[0-9]*.nii", "/data/a/b/v1-23.nii").as_deref(), Some("a/b/v1-23"));
        assert_eq!(text("a/b.nii", "a/b.nii"), None);
    }

    #[test]
    fn a_class_of_one_character_is_that_character() {
        assert_eq!(text("[[]2023] CT/x[*]*.nii", "[2023] CT/x*1.nii").as_deref(), Some("1"));
        assert_eq!(text("a[]b]c*", "abc7").as_deref(), Some("bc7"));
    }

    #[test]
    fn files_of_a_format_that_cannot_be_read_are_named_with_their_conversion() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("scan.nrrd"), "NRRD0004").unwrap();
        for pattern in ["*.nii.gz", "*/image.nii.gz"] {
            let error = find(&folder.path().join(pattern).display().to_string()).unwrap_err();
            assert!(error.help().contains("scan.nrrd is NRRD, which cannot be read: convert it"), "{}", error.help());
        }
    }

    #[test]
    fn a_folder_with_brackets_is_found_with_escaped_brackets_and_recommended_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("[2023] CT");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("a.nii"), "").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let error = find(&at("[2023] CT/*.nii")).unwrap_err();
        let advised = at("[[]2023] CT/*.nii");
        assert!(matches!(error, DatasetError::Pattern { help, .. } if help.contains(&advised)));
        assert_eq!(find(&advised).unwrap(), [root.join("a.nii")]);
    }
}
