//! Names of files and folders.

/// The maximum length in bytes; file systems allow 255, and extensions are added.
const MAX_LENGTH: usize = 200;

/// Returns whether a name from user input is safe as the name of a file or folder: it is not a path, not hidden, and without
/// control characters.
///
/// ```
/// assert!(values::is_file_name("liver_3"));
/// assert!(!values::is_file_name("../liver_3"));
/// ```
pub fn is_file_name(name: &str) -> bool {
    let is_bad = |c: char| matches!(c, '/' | '\\') || c.is_control();
    !name.is_empty() && name.len() <= MAX_LENGTH && !name.starts_with('.') && !name.contains(is_bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_hidden_names_and_control_characters_are_rejected() {
        for name in ["liver", "Leber links", "fold_0-a.b", "läsion"] {
            assert!(is_file_name(name), "{name}");
        }
        let long = "x".repeat(MAX_LENGTH + 1);
        for name in ["", ".", "..", ".hidden", "a/b", "../a", "/a", "a\\b", "C:\\a", "a\0", "a\nb", "\u{1b}[2J", &long]
        {
            assert!(!is_file_name(name), "{name:?}");
        }
    }
}
