//! Rules of the layers that the compiler cannot check: which crates a crate may depend on, and where unsafe code is allowed.
//!
//! Cargo rejects cyclic dependencies, but not a new dependency on a higher layer. ARCHITECTURE.md has the same table.

use std::fs;
use std::path::{Path, PathBuf};

/// Each crate with the crates of this workspace that it may depend on.
const LAYERS: &[(&str, &[&str])] = &[
    ("simd", &[]),
    ("values", &[]),
    ("random", &["simd", "values"]),
    ("volume", &["simd", "values"]),
    ("transforms", &["simd", "values", "random", "volume"]),
    ("metrics", &["values", "random", "volume"]),
    ("dataset", &["simd", "values", "random", "volume", "transforms"]),
    ("planner", &["values", "volume", "dataset"]),
    ("nn", &["simd", "values", "random", "volume"]),
    ("run_folder", &["simd", "volume", "dataset", "metrics"]),
    ("engine", &["values", "random", "volume", "transforms", "metrics", "dataset", "nn", "run_folder"]),
    ("report", &["random", "volume", "metrics", "dataset", "run_folder"]),
    ("sweep", &["random", "volume", "dataset", "nn", "run_folder", "engine"]),
    ("nnunet", &["volume", "transforms", "dataset", "planner", "nn", "run_folder", "engine"]),
];

/// The crate that every other may depend on, since it has no code: it unifies the features of shared dependencies.
const FEATURES: &str = "workspace-hack";

/// The crates that may depend on burn; all others use plain arrays.
const MAY_USE_BURN: &[&str] = &["nn", "engine", "sweep"];

#[test]
fn every_crate_depends_on_lower_layers_only() {
    let mut faults = Vec::new();
    let mut crates: Vec<String> =
        fs::read_dir("crates").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    crates.sort();
    crates.retain(|name| name != FEATURES);
    for name in &crates {
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| layer == name) else {
            faults.push(format!("{name} is not in the table of layers"));
            continue;
        };
        let dependencies = dependencies(name);
        for other in dependencies.iter().filter(|other| crates.contains(other)) {
            if !allowed.contains(&other.as_str()) {
                faults.push(format!("{name} must not depend on {other}"));
            }
        }
        if !MAY_USE_BURN.contains(&name.as_str()) && dependencies.iter().any(|other| other.starts_with("burn")) {
            faults.push(format!("{name} must not depend on burn"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_the_simd_crate_allows_unsafe_code() {
    // `for_avx2!` and `for_avx512!` expand to a checked unsafe call; no other code may silence the lint.
    let silences_the_lint = |text: &str| text.contains("unsafe_code") || text.contains("unsafe {");
    assert_eq!(files_outside("crates/simd", silences_the_lint), [""; 0]);
}

#[test]
fn only_the_device_module_names_the_deprecated_backend() {
    let names_it = |text: &str| text.contains("burn_tch") || text.contains("LibTorchDevice");
    assert_eq!(files_outside("crates/nn/src/devices", names_it), [""; 0]);
}

/// Returns the dependencies of a crate, including those of its tests.
fn dependencies(name: &str) -> Vec<String> {
    let manifest = fs::read_to_string(format!("crates/{name}/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let sections = ["dependencies", "dev-dependencies"].into_iter().filter_map(|section| manifest.get(section));
    sections.flat_map(|section| section.as_table().unwrap().keys().cloned()).collect()
}

/// Returns the source files outside a path whose text matches.
fn files_outside(path: &str, matches: impl Fn(&str) -> bool) -> Vec<String> {
    let files = rust_files(Path::new("src")).into_iter().chain(rust_files(Path::new("crates")));
    let outside = files.filter(|file| !file.to_str().unwrap().starts_with(path));
    let matching = outside.filter(|file| matches(&fs::read_to_string(file).unwrap()));
    matching.map(|file| file.display().to_string()).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}
