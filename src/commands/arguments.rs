//! Parses the command line, with hints for options that are keys of an experiment.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error, FromArgMatches};

use super::Cli;
use engine::experiment::keys::Keys;

/// Returns the command line's description. Options of a command with subcommands may also follow the subcommand.
pub(super) fn command() -> Command {
    Cli::command().mut_subcommands(|command| {
        let has_common_options = command.has_subcommands() && !command.is_args_conflicts_with_subcommands_set();
        match has_common_options {
            true => {
                command.mut_args(|argument| if argument.is_positional() { argument } else { argument.global(true) })
            }
            false => command,
        }
    })
}

/// Parses arguments, the first of which is the program.
///
/// # Errors
/// If they are wrong, or ask for help or the version.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Cli, Error> {
    let arguments: Vec<OsString> = arguments.into_iter().map(with_home).collect();
    let mut command = command();
    let matches = command.try_get_matches_from_mut(&arguments);
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| with_hint(error, &command, &arguments))
}

/// Replaces a `~` that the shell left, at the start of an argument or of an option's value, by the home folder.
fn with_home(argument: OsString) -> OsString {
    let Some(text) = argument.to_str() else { return argument };
    let option = text.starts_with("--").then(|| text.split_once('=')).flatten();
    let expanded = match option {
        Some((option, value)) => values::expand_home(value).map(|value| format!("{option}={value}")),
        None => values::expand_home(text),
    };
    expanded.map_or(argument, Into::into)
}

/// Adds to the error of an unknown option which key of the experiment sets it.
fn with_hint(mut error: Error, command: &Command, arguments: &[OsString]) -> Error {
    let unknown = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) => option.clone(),
        _ => return error,
    };
    let subcommand = arguments.get(1).and_then(|name| command.find_subcommand(name));
    let has = |command: &Command, ids: &[&str]| {
        command.get_arguments().any(|argument| ids.iter().any(|id| argument.get_id() == id))
    };
    // Commands that read a run take the place of its data only.
    let takes_keys = subcommand.is_some_and(|command| has(command, &["set"]) && has(command, &["experiment", "file"]));
    if let Some(set) = unknown.strip_prefix("--").filter(|_| takes_keys).and_then(|name| set_for(name, arguments)) {
        let tip = format!("use `{set}`");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Returns the `--set` argument for an option that is the last part of a key.
fn set_for(option: &str, arguments: &[OsString]) -> Option<String> {
    let keys = Keys::experiment();
    let path = keys.find(&option.replace('-', "_"))?;
    let value = value_of(option, arguments).unwrap_or("VALUE");
    let assignment = match keys.choices(&path) {
        Some(names) if names.contains(&value) => format!("{path}={{{value}: {{}}}}"),
        Some(_) => format!("{path}={{NAME: {{}}}}"),
        None => format!("{path}={value}"),
    };
    let is_plain = |c: char| c.is_alphanumeric() || "._-=/:+,".contains(c);
    Some(if assignment.chars().all(is_plain) { format!("--set {assignment}") } else { format!("--set '{assignment}'") })
}

/// Returns the value that an option was given.
fn value_of<'a>(option: &str, arguments: &'a [OsString]) -> Option<&'a str> {
    let texts: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    texts.iter().enumerate().find_map(|(index, text)| {
        let rest = text.strip_prefix("--")?.strip_prefix(option)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => texts.get(index + 1).copied().filter(|next| !next.starts_with("--")),
            None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(arguments: &[&str]) -> String {
        let arguments = ["runner"].iter().chain(arguments).map(OsString::from).collect();
        parse(arguments).err().map(|error| error.render().to_string()).unwrap_or_default()
    }

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn an_option_that_is_a_key_leads_to_set() {
        for (arguments, hint) in [
            (&["run", "e.yaml", "--epochs", "3"][..], "use `--set train.epochs=3`"),
            (&["run", "e.yaml", "--epochs=3"], "use `--set train.epochs=3`"),
            (&["check", "e.yaml", "--batch-size", "4"], "use `--set train.batch_size=4`"),
            (&["sweep", "e.yaml", "--seed", "7"], "use `--set seed=7`"),
            (&["patches", "e.yaml", "--workers"], "use `--set queue.workers=VALUE`"),
            (&["run", "e.yaml", "--learning-rate", "1e-3"], "use `--set 'optimizer.*.learning_rate=1e-3'`"),
            (&["run", "e.yaml", "--widths", "[8, 16]"], "use `--set 'model.unet.widths=[8, 16]'`"),
            (&["run", "e.yaml", "--loss", "focal"], "use `--set 'loss={focal: {}}'`"),
        ] {
            let message = error_of(arguments);
            assert!(message.contains(hint) && !message.contains("'-- --"), "{message}");
        }
        for arguments in [
            &["run", "e.yaml", "--colour", "red"][..],
            &["report", "runs", "--epochs", "3"],
            &["evaluate", "run", "--epochs", "3"],
        ] {
            assert!(!error_of(arguments).contains("--set"));
        }
    }

    #[test]
    fn options_of_the_cache_stand_on_both_sides_of_the_subcommand() {
        for arguments in [["cache", "list", "--cache-dir", "x"], ["cache", "--cache-dir", "x", "list"]] {
            assert_eq!(error_of(&arguments), "");
        }
        assert!(error_of(&["sweep", "status", "runs", "--cache-dir", "x"]).contains("unexpected argument"));
    }

    #[test]
    fn a_tilde_that_the_shell_left_is_the_home_folder() {
        let home = std::env::home_dir().unwrap().display().to_string();
        for (argument, expected) in [
            ("~/a.yaml", format!("{home}/a.yaml")),
            ("--out=~/x", format!("--out={home}/x")),
            ("--set", "--set".to_owned()),
            ("a=~/x", "a=~/x".to_owned()),
            ("~other", "~other".to_owned()),
        ] {
            assert_eq!(with_home(argument.into()), OsString::from(expected));
        }
    }
}
