//! Experiments that are not valid YAML, not an experiment, or too large for any machine.

use std::fs;

use engine::experiment::check::{self, Environment};
use engine::experiment::load::{self, SetArgument};
use engine::experiment::problem::{Problem, Problems, RenderOptions, render};
use proptest::prelude::*;
use proptest::sample::select;

use super::assert_messages;
use super::feed::{self, EXPERIMENT};
use super::mutate::{changed, changes};

/// Returns the problems of an experiment on a machine with 16 GB of memory.
fn problems(text: &str) -> Problems {
    let environment = Environment { cache_dir: "no-cache".into(), memory_bytes: Some(16_000_000_000) };
    load::parse("a.yaml", text).and_then(|document| check::check(&document, &environment, None)).unwrap_err()
}

/// Returns the line, column and text that a problem marks.
fn marked(problem: &Problem) -> (usize, usize, String) {
    let location = problem.location.as_ref().expect("the problem has a location");
    let (line, column) = location.line_and_column();
    (line, column, location.source.text[location.span.clone()].to_owned())
}

#[test]
fn a_malformed_document_is_an_error_with_its_position() {
    let aliases = |levels: usize| {
        let level =
            |level: usize| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
        format!("a0: &a0 [x, x, x]\n{}", (1..levels).map(level).collect::<String>())
    };
    let long_aliases = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 100_000].join(", "));
    let nested = |open: &str, close: &str| format!("a: {}{}", open.repeat(1000), close.repeat(1000));
    let blocks: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let deep = "lists and maps are nested too deeply";
    let large = "the file is too large once its aliases are expanded";
    let messages = [
        ("", "the file is empty", (1, 1)),
        ("# nothing\n", "expected a map of keys at the top of the file", (2, 1)),
        ("---\n", "expected a map of keys at the top of the file", (1, 4)),
        ("- a\n", "expected a map of keys at the top of the file", (1, 1)),
        ("seed: 1\n---\nseed: 2\n", "expected one document, got several", (3, 1)),
        ("seed: 1\nseed: 2\n", "duplicate key `seed`", (2, 1)),
        ("seed: 1e999\n", "expected a finite number, got `1e999`", (1, 7)),
        ("seed: .nan\n", "expected a finite number, got `.nan`", (1, 7)),
        ("seed: -.inf\n", "expected a finite number, got `-.inf`", (1, 7)),
        ("~: 3\n", "expected text as the key, got nothing", (1, 1)),
        ("? [a]\n: 3\n", "expected text as the key, got a list or a map", (1, 3)),
        ("name: !python/object a\n", "unsupported tag `!python/object`", (1, 22)),
        ("name: !!binary aGVsbG8=\n", "unsupported tag `tag:yaml.org,2002:binary`", (1, 16)),
        ("a: &a [*a]\n", "an alias refers to a value that contains it", (1, 8)),
        ("a: *b\n", "invalid YAML: alias references unknown anchor", (1, 4)),
        ("name: a\0b\n", "invalid YAML: unexpected character: `\\u{0}'", (1, 8)),
        (&aliases(9), large, (6, 30)),
        (&long_aliases, large, (2, 537)),
        (&nested("[", "]"), deep, (1, 259)),
        (&nested("{a: ", "}"), deep, (1, 256)),
        (&blocks, deep, (65, 65)),
        (&"- ".repeat(400_000), deep, (1, 129)),
    ]
    .map(|(text, expected, (line, column))| {
        let problem = problems(text).0.remove(0);
        let (at_line, at_column, _) = marked(&problem);
        let start: String = text.chars().take(40).collect();
        let message = format!("{at_line}:{at_column} {} ({start})", problem.message);
        (message, format!("{line}:{column} {expected} ({start})"))
    });
    assert_messages(messages);
}

#[test]
fn a_number_out_of_range_is_an_error_at_the_number() {
    for (written, number, expected) in [
        ("epochs: 2", "1180591620717411303424", "expected a whole number of at least 1, got `1180591620717411303424`"),
        ("epochs: 2", "-0", "expected a whole number of at least 1, got `-0`"),
        ("epochs: 2", "99999999999", "expected at most 10000000, got 99999999999"),
        ("batch_size: 2", "18446744073709551615", "expected at most 1000000, got 18446744073709551615"),
        ("max_length: 40", "18446744073709551615", "expected at most 1000000, got 18446744073709551615"),
        ("workers: 0", "1000000", "expected at most 1024, got 1000000"),
        ("keep_last: 1", "18446744073709551615", "expected at most 1000, got 18446744073709551615"),
        ("subjects: 6", "18446744073709551615", "expected at most 100000, got 18446744073709551615"),
        ("learning_rate: 1.0e-4", "0", "expected a number above 0, got 0"),
    ] {
        let (key, _) = written.split_once(": ").unwrap();
        let problems = problems(&EXPERIMENT.replace(written, &format!("{key}: {number}")));
        assert_eq!((problems.0[0].message.as_str(), marked(&problems.0[0]).2.as_str()), (expected, number));
    }
}

#[test]
fn volumes_larger_than_memory_are_rejected_at_the_step() {
    let resized = "resize: { shape: [48, 48, null] }";
    let memory = "and the machine has 16 GB";
    for (step, mark, size) in [
        ("resize: { shape: [60000, 60000, 60000] }", "resize", "60000 x 60000 x 60000 voxels, which take 1296 TB"),
        (
            "crop_or_pad: { shape: [60000, 60000, 60000] }",
            "crop_or_pad",
            "60000 x 60000 x 60000 voxels, which take 1296 TB",
        ),
        ("pad: { start: [60000, 60000, 60000] }", "pad", "60048 x 60048 x 60032 voxels, which take 1298.8 TB"),
        (
            "ensure_shape_multiple: { multiple: [60000, 60000, 60000] }",
            "ensure_shape_multiple",
            "60000 x 60000 x 60000 voxels, which take 1296 TB",
        ),
        (
            "resample: { spacing_mm: [0.001, 0.001, 0.001] }",
            "resample",
            "240000 x 240000 x 192000 voxels, which take 66355.2 TB",
        ),
        (
            "maybe: { probability: 1, steps: [{ pad: { end: [60000, 60000, 60000] } }] }",
            "pad",
            "60048 x 60048 x 60032 voxels, which take 1298.8 TB",
        ),
    ] {
        for text in
            [EXPERIMENT.replace(resized, step), EXPERIMENT.replace("augment:\n", &format!("augment:\n  - {step}\n"))]
        {
            let problems = problems(&text);
            let expected = format!("subject phantom_000 would have {size}, {memory}");
            assert_eq!(problems.0[0].message, expected);
            assert_eq!(marked(&problems.0[0]).2, mark);
        }
    }
    let many = format!("preprocess: [{}]\n", vec!["pad: { start: [65535, 65535, 65535] }"; 300].join(", "));
    let text = EXPERIMENT
        .replace("preprocess: [{ clamp: { min: -200, max: 250 } }, { resize: { shape: [48, 48, null] } }]\n", &many);
    assert_eq!(problems(&text).0.len(), 1);
}

#[test]
fn steps_that_do_not_fit_a_subject_are_rejected_at_the_step() {
    let landmarks = |channels: usize| format!("[{}]", vec![format!("{:?}", [0; 13]); channels].join(", "));
    for (step, mark, expected) in [
        (
            "crop: { start: [20, 40, 0], end: [20, 8, 0] }".to_owned(),
            "crop",
            "subject phantom_000: 48 voxels along y would be cropped, and it has 48",
        ),
        (
            "maybe: { probability: 1, steps: [{ crop: { end: [0, 0, 40] } }] }".to_owned(),
            "crop",
            "subject phantom_000: 40 voxels along z would be cropped, and it has 32",
        ),
        (
            format!("histogram_standardization: {{ landmarks: {} }}", landmarks(2)),
            "histogram_standardization",
            "subject phantom_000: expected landmarks for each of 1 channels, got 2",
        ),
        (
            format!("histogram_standardization: {{ landmarks: {} }}", landmarks(0)),
            "histogram_standardization",
            "subject phantom_000: expected landmarks for each of 1 channels, got 0",
        ),
    ] {
        let problems = problems(&EXPERIMENT.replace("resize: { shape: [48, 48, null] }", &step));
        let problem = problems.0.iter().find(|problem| problem.message == expected);
        let messages: Vec<_> = problems.0.iter().map(|problem| &problem.message).collect();
        assert_eq!(marked(problem.unwrap_or_else(|| panic!("{messages:?}"))).2, mark);
    }
}

#[test]
fn patches_and_sources_larger_than_memory_are_rejected_at_the_value() {
    for (written, new, mark, expected) in [
        (
            "patch: [32, 32, 32]",
            "patch: [60000, 60000, 60000]",
            "patch",
            "one patch takes 1296 TB, and the machine has 16 GB",
        ),
        (
            "max_length: 40, samples_per_volume: 5",
            "max_length: 1000000, samples_per_volume: 1000000",
            "1000000",
            "the patches of a full queue take 196.6 GB, and the machine has 16 GB",
        ),
        (
            "shape: [48, 48, 32]",
            "shape: [60000, 60000, 60000]",
            "shape",
            "subject phantom_000 would have 60000 x 60000 x 60000 voxels, which take 1296 TB, and the machine has 16 GB",
        ),
        (
            "loss:",
            "inference: { window: [60000, 60000, 60000] }\nloss:",
            "window",
            "one window takes 1296 TB, and the machine has 16 GB",
        ),
    ] {
        let problems = problems(&EXPERIMENT.replace(written, new));
        let problem = problems.0.iter().find(|problem| problem.message == expected);
        let messages: Vec<_> = problems.0.iter().map(|problem| &problem.message).collect();
        assert_eq!(marked(problem.unwrap_or_else(|| panic!("{messages:?}"))).2, mark);
    }
}

#[test]
fn a_very_long_line_is_abbreviated_in_the_message() {
    let options = RenderOptions { width: 100, colour: false, unicode: true };
    for text in [format!("{}a: 1", "\t".repeat(100_000)), ":".repeat(100_000), format!("{}: 1\n", "a".repeat(900_000))]
    {
        let message = render(&problems(&text), options);
        assert!(message.contains("a.yaml:1:") && message.len() < 4000, "{}", &message[..message.len().min(500)]);
    }
    let many: String = (0..90_000).map(|key| format!("k{key}: 1\n")).collect();
    assert!(render(&problems(&many), options).len() < 40_000);
}

#[test]
fn circular_or_too_long_extends_and_paths_that_are_not_files_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        let path = folder.path().join(format!("{number}.yaml"));
        fs::write(path, format!("extends: {}.yaml\n", number + 1)).unwrap();
    }
    let message = |text: &str| {
        let path = folder.path().join("a.yaml");
        fs::write(&path, text).unwrap();
        load::load(&path, &[]).unwrap_err().0[0].message.clone()
    };
    assert_eq!(message("extends: 0.yaml\n"), "more than 64 files extend each other");
    assert_eq!(message("extends: a.yaml\n"), "circular `extends`: a.yaml -> a.yaml");
    #[cfg(unix)]
    assert!(message("extends: /dev/zero\n").ends_with("is a pipe or a device, expected an experiment file"));
    assert!(message("extends: .\n").ends_with("is a folder, expected an experiment file"));
    assert!(
        message(&format!("#{}", "x".repeat(2 << 20))).ends_with("has 2097153 bytes, expected a file of at most 1 MiB")
    );
    fs::write(folder.path().join("latin.yaml"), b"name: caf\xe9\n").unwrap();
    assert!(message("extends: latin.yaml\n").ends_with("latin.yaml is not UTF-8 text"));
}

#[test]
fn a_key_with_too_many_parts_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs::write(&path, EXPERIMENT).unwrap();
    let set: SetArgument = format!("{}=1", vec!["a"; 60_000].join(".")).parse().unwrap();
    assert_eq!(load::load(&path, &[set]).unwrap_err().0[0].message, "expected a key of at most 64 parts");
}

#[test]
fn every_invalid_file_exits_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let resized = EXPERIMENT.replace("shape: [48, 48, null]", "shape: [60000, 60000, 60000]");
    for text in [&b""[..], b"\0", b"\xff\xfe", b"a: [", b"a: &a [*a]", &b":".repeat(100_000), resized.as_bytes()] {
        fs::write(folder.path().join("a.yaml"), text).unwrap();
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_runner"));
        command.current_dir(folder.path()).env("RUNNER_CACHE_DIR", "cache").args(["check", "a.yaml"]).assert().code(2);
    }
}

/// Text with a meaning in YAML or in an experiment.
const PIECES: [&str; 24] = [
    "&a ",
    "*a",
    "!!str ",
    "<<: ",
    "? ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "|\n",
    "'",
    "\"",
    "\n",
    "  ",
    "\t",
    "#",
    "---\n",
    "null",
    "18446744073709551615",
    "-1",
    "1e308",
    "extends: a.yaml\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_experiment_with_changes_causes_no_panic(changes in changes()) {
        feed::yaml(&changed(EXPERIMENT.as_bytes(), usize::MAX, &changes));
    }

    #[test]
    fn an_experiment_with_inserted_syntax_causes_no_panic(
        pieces in prop::collection::vec((any::<proptest::sample::Index>(), select(PIECES.to_vec())), 1..6),
    ) {
        let mut text = EXPERIMENT.to_owned();
        for (index, piece) in pieces {
            text.insert_str(index.index(text.len()), piece);
        }
        feed::yaml(text.as_bytes());
    }

    #[test]
    fn a_number_of_any_size_causes_no_panic(
        index in any::<proptest::sample::Index>(),
        number in select(vec!["0", "-1", "1", "18446744073709551615", "1e308", "-1e308", "1e-320", "4294967296", "65535", "0.5"]),
    ) {
        let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit() || c == '-') && word != "-";
        let parts: Vec<&str> = EXPERIMENT.split_inclusive([' ', ',', ']', '[', '}']).collect();
        let numbers: Vec<usize> = (0..parts.len()).filter(|part| is_number(parts[*part])).collect();
        let at = numbers[index.index(numbers.len())];
        let mut parts = parts;
        let end = parts[at].chars().last().filter(|end| " ,][}".contains(*end)).map(String::from).unwrap_or_default();
        let new = format!("{number}{end}");
        parts[at] = &new;
        feed::yaml(parts.concat().as_bytes());
    }

    #[test]
    fn random_text_causes_no_panic(text in "\\PC{0,200}") {
        feed::yaml(text.as_bytes());
    }
}
