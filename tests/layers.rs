//! Who may import whom: arrows point down only. ARCHITECTURE.md shows the same table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the lowest up; modules on one line do not know each other.
const LAYERS: &[&[&str]] = &[
    &["trusted"],
    &["value", "elementary"],
    &["seed"],
    &["data", "components"],
    &["transforms", "model", "loss", "metrics", "optim"],
    &["pipeline"],
    &["sampling"],
    &["queue", "infer", "view", "doctor"],
    &["spec", "run"],
    &["train"],
    &["sweep", "report"],
    &["cli"],
];

#[test]
fn no_module_imports_from_its_own_layer_or_above() {
    let rank: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(rank, modules)| modules.iter().map(move |module| (*module, rank)))
        .collect();
    let mut faults = Vec::new();
    for file in rust_files(Path::new("src")) {
        let Some(module) = top_module(&file) else { continue };
        let Some(own) = rank.get(module.as_str()) else {
            faults.push(format!("{}: module `{module}` has no layer", file.display()));
            continue;
        };
        for (number, imported) in imports(&fs::read_to_string(&file).unwrap()) {
            match rank.get(imported.as_str()) {
                None => faults.push(format!("{}:{number}: `{imported}` has no layer", file.display())),
                Some(other) if imported != module && other >= own => {
                    faults.push(format!("{}:{number}: `{module}` must not import `{imported}`", file.display()));
                }
                Some(_) => {}
            }
        }
    }
    assert!(faults.is_empty(), "arrows that point up:\n{}", faults.join("\n"));
}

#[test]
fn only_one_source_file_has_unsafe_code() {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    // The macro takes the word of who calls it for what the processor has; `for_avx2` and `for_avx512` keep it.
    let is_trusted = |line: &str| line.contains("unsafe") || line.contains("for_processor");
    let is_unsafe = |text: &str| text.lines().filter(is_code).any(is_trusted);
    assert_eq!(files_but("src/trusted.rs", is_unsafe), [""; 0]);
}

#[test]
fn only_the_device_module_names_the_deprecated_backend() {
    let names_it = |text: &str| text.contains("burn_tch") || text.contains("LibTorchDevice");
    assert_eq!(files_but("model/device.rs", names_it), [""; 0]);
}

/// The source files but one whose text is so.
fn files_but(one: &str, is_so: impl Fn(&str) -> bool) -> Vec<String> {
    let others = rust_files(Path::new("src")).into_iter().filter(|file| !file.ends_with(one));
    let found = others.filter(|file| is_so(&fs::read_to_string(file).unwrap()));
    found.map(|file| file.display().to_string()).collect()
}

#[test]
fn modules_on_plain_arrays_do_not_import_burn() {
    let plain = [
        "data",
        "transforms",
        "pipeline",
        "sampling",
        "queue",
        "components",
        "metrics",
        "view",
        "doctor",
        "run",
        "report",
    ];
    let offenders: Vec<_> = rust_files(Path::new("src"))
        .into_iter()
        .filter(|file| top_module(file).is_some_and(|module| plain.contains(&module.as_str())))
        .filter(|file| fs::read_to_string(file).unwrap().contains("use burn"))
        .collect();
    assert!(offenders.is_empty(), "{offenders:?}");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// `src/data/nifti.rs` and `src/queue.rs` belong to `data` and `queue`; `lib.rs` and `main.rs` to none.
fn top_module(file: &Path) -> Option<String> {
    let name = file.strip_prefix("src").unwrap().components().next()?.as_os_str().to_str()?;
    let module = name.strip_suffix(".rs").unwrap_or(name);
    (!["lib", "main"].contains(&module)).then(|| module.to_owned())
}

/// The top modules named after `crate::`, with their line, outside comments.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for rest in line.split("crate::").skip(1) {
            let names = match rest.strip_prefix('{') {
                Some(group) => group.split(',').map(str::trim).map(leading_identifier).collect(),
                None => vec![leading_identifier(rest)],
            };
            found.extend(names.into_iter().filter(|name| !name.is_empty()).map(|name| (number + 1, name)));
        }
    }
    found
}

fn leading_identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
