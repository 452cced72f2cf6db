//! The exact error text for each invalid experiment in `tests/errors/`.

use std::fs;
use std::path::{Path, PathBuf};

use engine::experiment::check;
use engine::experiment::load::{SetArgument, load};
use engine::experiment::problem::{Problems, RenderOptions, render};

/// Returns the problems of a file, with the `--set` arguments of its comments `# --set KEY=VALUE`.
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
fn every_invalid_file_has_an_error_with_location_and_help() {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/errors").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 25);
    for path in files {
        let problems = problems_of(&path).unwrap_or_else(|| panic!("{} is valid", path.display()));
        let text = render(&problems, RenderOptions { width: 100, colour: false, unicode: true });
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        insta::with_settings!({ snapshot_path => "errors", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, text);
        });
    }
}
