//! Makes the program search for LibTorch where it was at build time, so that `LD_LIBRARY_PATH` is not needed.

fn main() {
    // Cargo reruns a changed script anyway; without this line it would do so after any change in the package.
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    if std::env::var_os("CARGO_FEATURE_LIBTORCH").is_none() {
        return;
    }
    // torch-sys tells its folder to the crates that depend on it.
    match std::env::var("DEP_TCH_LIBTORCH_LIB") {
        Ok(folder) if cfg!(unix) => println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}"),
        Ok(_) => {}
        Err(_) => println!("cargo::warning=the program will look for LibTorch in the system's library path alone"),
    }
}
