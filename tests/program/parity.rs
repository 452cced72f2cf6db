//! `runner parity`: whether devices compute the same.

use crate::test_dir::{TestDir, stderr_line, stdout};

#[test]
fn one_device_is_compared_with_pytorchs_values() {
    let place = TestDir::new();
    let text = stdout(&place.runner(&["parity", "--devices", "flex"]).success());
    for part in ["6 networks on flex compared with PyTorch 2.", "weights after a step of Adam", "same within tolerance"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_device_is_equal_to_itself_on_waves_and_on_the_patches_of_an_experiment() {
    let place = TestDir::new();
    for experiment in [&[][..], &["tiny.yaml"]] {
        let text = stdout(&place.runner(&[&["parity", "--devices", "flex,flex"], experiment].concat()).success());
        let rows: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("flex ")).collect();
        assert!(rows.len() >= 10 && text.contains("same within tolerance"), "{text}");
        let compared = rows.iter().filter(|row| row.contains("same"));
        assert!(compared.clone().count() == 10 && compared.clone().all(|row| row.contains("0.0e0")), "{text}");
    }
    assert!(!place.path("runs").exists());
}

#[test]
fn devices_that_cannot_be_compared_are_reported() {
    let place = TestDir::new();
    let refused = stderr_line(&place.runner(&["parity", "tiny.yaml", "--devices", "flex"]).code(2));
    assert!(refused.contains("name a second device"), "{refused}");
    place.runner(&["parity", "--devices", "gpu"]).code(2);
    place.runner(&["parity"]).code(2);
    #[cfg(not(feature = "wgpu"))]
    assert!(stderr_line(&place.runner(&["parity", "--devices", "flex,wgpu:0"]).code(2)).contains("--features wgpu"));
}
