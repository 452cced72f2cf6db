//! Names that become files and folders.

/// Bytes of the longest name; endings are added to it, and no file system takes more than 255.
const LONGEST: usize = 200;

/// Whether a name that somebody wrote can be that of one file or folder, which then lies where it is put: it leads
/// nowhere else, hides nothing and is no line of a terminal's commands.
pub fn is_file_name(name: &str) -> bool {
    let is_bad = |c: char| matches!(c, '/' | '\\') || c.is_control();
    !name.is_empty() && name.len() <= LONGEST && !name.starts_with('.') && !name.contains(is_bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for name in ["liver", "Leber links", "fold_0-a.b", "läsion"] {
            assert!(is_file_name(name), "{name}");
        }
        let long = "x".repeat(LONGEST + 1);
        for name in ["", ".", "..", ".hidden", "a/b", "../a", "/a", "a\\b", "C:\\a", "a\0", "a\nb", "\u{1b}[2J", &long]
        {
            assert!(!is_file_name(name), "{name:?}");
        }
    }
}
