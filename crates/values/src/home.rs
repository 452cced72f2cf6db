//! The user's home folder in paths.

/// Returns a path that starts with `~/`, or is `~`, with the home folder in its place; `None` for any other text, and for a
/// user without a home folder.
pub fn expand_home(path: &str) -> Option<String> {
    let rest = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with(std::path::is_separator))?;
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty())?;
    Some(format!("{}{rest}", home.display()))
}

/// Returns a path with `~` replaced by the home folder, if it starts with it.
pub fn home_expanded(path: &str) -> String {
    expand_home(path).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leading_tilde_that_stands_alone_is_the_home_folder() {
        let home = std::env::home_dir().unwrap().display().to_string();
        assert_eq!(expand_home("~/data/x").unwrap(), format!("{home}/data/x"));
        assert_eq!(expand_home("~").unwrap(), home);
        for other in ["~other/x", "data/~/x", "", "x~", "a/b"] {
            assert_eq!(expand_home(other), None, "{other}");
            assert_eq!(home_expanded(other), other);
        }
    }
}
