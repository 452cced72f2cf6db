//! Makes the program search for LibTorch where it was at build time, so that `LD_LIBRARY_PATH` is not needed, and passes
//! LibTorch's version to the code as the environment variable `LIBTORCH_VERSION`.

use std::path::Path;

fn main() {
    // Cargo reruns a changed script anyway; without this line it would do so after any change in the package.
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if std::env::var_os("CARGO_FEATURE_LIBTORCH").is_none() {
        return;
    }
    // torch-sys passes its folder to the crates that depend on it.
    let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo::warning=the program will look for LibTorch in the system's library path alone");
        return;
    };
    if cfg!(unix) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
    match version(Path::new(&folder)) {
        Some(version) => println!("cargo::rustc-env=LIBTORCH_VERSION={version}"),
        None => println!("cargo::warning=the version of LibTorch in {folder} is unknown"),
    }
}

/// Returns the version of the LibTorch with a folder of libraries, from the headers beside it.
fn version(libraries: &Path) -> Option<String> {
    let include = libraries.parent()?.join("include/torch");
    let headers = ["headeronly/version.h", "csrc/api/include/torch/version.h"].map(|name| include.join(name));
    let header = headers.into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    header.into_iter().find_map(|text| {
        let part = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("#define TORCH_VERSION_")?.strip_prefix(name));
            line?.trim().parse::<u32>().ok()
        };
        Some(format!("{}.{}.{}", part("MAJOR ")?, part("MINOR ")?, part("PATCH ")?))
    })
}
