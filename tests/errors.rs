//! Each wrong experiment in `tests/errors/` beside the exact text that its author sees.

use std::fs;
use std::path::{Path, PathBuf};

use engine::experiment::check;
use engine::experiment::load::{SetArgument, load};
use engine::experiment::problem::{Problems, RenderOptions, render};

/// The problems of a file, with the `--set` arguments that its first comment names.
fn problems_of(path: &Path) -> Option<Problems> {
    let text = fs::read_to_string(path).unwrap();
    let sets: Vec<SetArgument> =
        text.lines().filter_map(|line| line.strip_prefix("# --set ")).map(|set| set.parse().unwrap()).collect();
    let document = match load(path, &sets) {
        Ok(document) => document,
        Err(problems) => return Some(problems),
    };
    let environment = check::Environment { cache_dir: "no-cache".into(), memory_bytes: None };
    check::check(&document, &environment, None).err()
}

#[test]
fn every_wrong_file_says_where_and_how_to_mend_it() {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/errors").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 25);
    for path in files {
        let problems = problems_of(&path).unwrap_or_else(|| panic!("{} is not refused", path.display()));
        let text = render(&problems, RenderOptions { width: 100, colour: false, unicode: true });
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        insta::with_settings!({ snapshot_path => "errors", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, text);
        });
    }
}
