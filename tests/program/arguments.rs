//! Arguments: `explain`, `--set`, hints for keys that are written as options.

use crate::test_dir::{TestDir, stderr, stdout};

#[test]
fn a_key_is_explained_and_a_misspelt_one_is_a_problem() {
    let dir = TestDir::new();
    let text = stdout(&dir.runner(&["explain", "train.batch_size"]).success());
    assert!(text.starts_with("train.batch_size\n  whole number ≥ 1; default 2\n"), "{text}");
    assert!(stdout(&dir.runner(&["explain"]).success()).contains("optimizer"));
    let text = stderr(&dir.runner(&["explain", "train.batchsize"]).code(2));
    assert!(text.contains("did you mean `runner explain train.batch_size`?"), "{text}");
}

#[test]
fn a_key_that_stands_in_several_places_is_listed_and_each_is_explained_by_its_path() {
    let dir = TestDir::new();
    let text = stdout(&dir.runner(&["explain", "learning_rate"]).success());
    for path in ["optimizer.adam.learning_rate", "optimizer.sgd.learning_rate"] {
        assert!(text.contains(path), "{text}");
        let own = stdout(&dir.runner(&["explain", path]).success());
        assert!(own.starts_with(&format!("{path}\n")), "{own}");
    }
    assert!(text.contains("`runner explain optimizer."), "{text}");
}

#[test]
fn a_problem_of_an_argument_is_shown_in_the_argument() {
    let dir = TestDir::new();
    for (arguments, shown) in [
        (["--set", "optimizer.sgd.learning_rate=1e-3"], "--set optimizer.sgd.learning_rate=1e-3"),
        (["--set", "train.epochs=many"], "--set train.epochs=many"),
        // Problems that are found after parsing: of a value, and of the dataset.
        (["--set", "sampler.label.patch=[9, 8, 8]"], "--set sampler.label.patch=[9, 8, 8]"),
        (["--set", "data.source={msd: {root: nowhere}}"], "--set data.source={msd: {root: nowhere}}"),
        (["--device", "wgpu:0"], "--device wgpu:0"),
    ] {
        let text = stderr(&dir.runner(&[&["check", "tiny.yaml"][..], &arguments].concat()).code(2));
        assert!(text.contains("[command line:1:") && text.contains(shown), "{text}");
    }
    let text = stderr(&dir.runner(&["run", "tiny.yaml", "--name", "a/b"]).code(2));
    assert!(text.contains("--name a/b"), "{text}");
}

#[test]
fn an_option_that_is_a_key_suggests_set() {
    let dir = TestDir::new();
    let text = stderr(&dir.runner(&["run", "tiny.yaml", "--epochs", "3"]).code(2));
    assert!(text.contains("--set train.epochs=3"), "{text}");
    dir.runner(&["cache", "list", "--cache-dir", "somewhere"]).success();
}
