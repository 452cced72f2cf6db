//! Folds agree with those of nnU-Net.
//!
//! `nnunet_folds/folds.py` writes the expected folds; the names are a formula, which the test repeats.

use dataset::sources::Listing;
use dataset::split::{NnunetFold, Split, folds, parts};
use dataset::subject::Subject;
use random::Seed;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    count: usize,
    /// The indices of the validation subjects of each fold.
    val: [Vec<usize>; 5],
}

fn listing(count: usize) -> Listing {
    let subject = |index: usize| Subject { name: format!("case_{index}"), images: Vec::new(), label: None };
    Listing { subjects: (0..count).map(subject).collect(), ..Listing::default() }
}

#[test]
fn nnunets_folds_are_reproduced_from_the_names_of_the_subjects() {
    let file: File = serde_json::from_str(include_str!("nnunet_folds/folds.json")).unwrap();
    assert!(file.cases.len() >= 8);
    for Case { count, val } in file.cases {
        let listing = listing(count);
        let all = folds(&Split::Nnunet(NnunetFold { index: 0 }), Seed(1), &listing).unwrap().unwrap();
        for (index, indices) in val.into_iter().enumerate() {
            let mut expected: Vec<String> = indices.into_iter().map(|index| format!("case_{index}")).collect();
            expected.sort();
            let parts = parts(&Split::Nnunet(NnunetFold { index }), Seed(2), &listing).unwrap();
            assert_eq!(parts.val, expected, "fold {index} of {count} subjects");
            assert_eq!(parts, all[index]);
            assert_eq!(parts.train.len(), count - expected.len());
        }
    }
}
