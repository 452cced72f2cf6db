//! Commands for the user to copy.

/// Quotes words for a POSIX shell and joins them, so that the text can be copied into a terminal or a script.
///
/// # Panics
/// When a word has a NUL byte, which neither a path nor an argument of a process can have.
pub fn shell_command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    shlex::try_join(words).expect("no path and no argument of a process has a NUL byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_a_shell_would_split_or_expand_are_quoted() {
        let words = ["runner", "run", "--resume", "runs/it's a [run]/$HOME"];
        let command = shell_command(words);
        assert!(command.starts_with("runner run --resume "), "{command}");
        assert_eq!(shlex::split(&command).unwrap(), words);
        assert_eq!(shell_command(["runner", "patches", "runs/a/plan.yaml"]), "runner patches runs/a/plan.yaml");
    }
}
