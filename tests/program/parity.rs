//! `runner parity`: comparison of the results of devices.

use crate::test_dir::{TestDir, stderr_line, stdout};

#[test]
fn one_device_is_compared_with_pytorchs_values() {
    let dir = TestDir::new();
    let text = stdout(&dir.runner(&["parity", "--devices", "flex"]).success());
    for part in ["6 networks on flex compared with PyTorch 2.", "weights after a step of Adam", "same within tolerance"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_device_agrees_with_itself_on_sine_waves_and_on_the_patches_of_an_experiment() {
    let dir = TestDir::new();
    for experiment in [&[][..], &["tiny.yaml"]] {
        let text = stdout(&dir.runner(&[&["parity", "--devices", "flex,flex"], experiment].concat()).success());
        let rows: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("flex ")).collect();
        assert!(rows.len() >= 10 && text.contains("same within tolerance"), "{text}");
        let compared = rows.iter().filter(|row| row.contains("same"));
        assert!(compared.clone().count() == 10 && compared.clone().all(|row| row.contains("0.0e0")), "{text}");
    }
    assert!(!dir.path("runs").exists());
}

#[test]
fn devices_that_cannot_be_compared_are_reported() {
    let dir = TestDir::new();
    let rejected = stderr_line(&dir.runner(&["parity", "tiny.yaml", "--devices", "flex"]).code(2));
    assert!(rejected.contains("name a second device"), "{rejected}");
    dir.runner(&["parity", "--devices", "gpu"]).code(2);
    dir.runner(&["parity"]).code(2);
    #[cfg(not(feature = "wgpu"))]
    assert!(stderr_line(&dir.runner(&["parity", "--devices", "flex,wgpu:0"]).code(2)).contains("--features wgpu"));
}
