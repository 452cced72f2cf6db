//! The steps on masks compute what batchgeneratorsv2 computes for the second stage of nnU-Net's cascade.
//!
//! `tests/nnunet/masks.py` writes the expected masks.

use serde::Deserialize;

use transforms::{MaskParams, MaskTransform, Masks};
use volume::unravel_index;

const SHAPE: [usize; 3] = [13, 17, 15];
const LABELS: usize = 3;

#[derive(Deserialize)]
struct File {
    morphology: Vec<Case>,
    removals: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    params: MaskParams,
    #[serde(default)]
    max_fraction: Option<f64>,
    /// The lengths of alternating runs of 0 and 1, starting with 0.
    masks: Vec<Vec<usize>>,
}

/// Returns the masks of ellipsoids that touch each other and the border.
fn masks() -> Vec<f32> {
    let ellipsoids = [([3, 5, 2], 5i64), ([9, 12, 8], 4), ([6, 8, 12], 3), ([11, 2, 13], 2)];
    let label = |voxel: usize| -> Option<usize> {
        let at = unravel_index(SHAPE, voxel).map(|index| index as i64);
        let squared = |centre: [i64; 3]| (0..3).map(|axis| (at[axis] - centre[axis]).pow(2)).sum::<i64>();
        let inside = |(_, (centre, radius)): &(usize, &([i64; 3], i64))| squared(*centre) <= radius * radius;
        let last = ellipsoids.iter().enumerate().rfind(inside)?.0;
        ((7 * at[0] + 5 * at[1] + 3 * at[2]) % 23 != 0).then_some(last % LABELS)
    };
    let labels: Vec<Option<usize>> = (0..SHAPE.iter().product()).map(label).collect();
    (0..LABELS).flat_map(|mask| labels.iter().map(move |label| f32::from(u8::from(*label == Some(mask))))).collect()
}

fn check(step: &str, case: &Case) {
    let step: MaskTransform = serde_json::from_value(serde_yaml::from_str(step).unwrap()).unwrap();
    assert_eq!(step.component().validate(), []);
    let mut values = masks();
    step.component().apply(&case.params, &mut Masks { values: &mut values, shape: SHAPE });
    let runs = |runs: &Vec<usize>| -> Vec<f32> {
        runs.iter().enumerate().flat_map(|(index, length)| vec![(index % 2) as f32; *length]).collect()
    };
    let expected: Vec<f32> = case.masks.iter().flat_map(runs).collect();
    assert_eq!(values.len(), expected.len());
    let different = values.iter().zip(&expected).filter(|(value, expected)| value != expected).count();
    assert_eq!(different, 0, "{:?}", case.params);
    // Every component is larger than a thousandth of the block, so none of them is removed.
    assert_eq!(expected == masks(), case.max_fraction == Some(0.001), "{:?}", case.params);
}

#[test]
fn masks_change_as_in_nnunet() {
    let file: File = serde_json::from_str(include_str!("nnunet/masks.json")).unwrap();
    assert!(file.morphology.len() > 40 && file.removals.len() == 5);
    for case in &file.morphology {
        check("random_morphology: { probability: 0.4, radius: [1, 8] }", case);
    }
    for case in &file.removals {
        let fraction = case.max_fraction.unwrap();
        check(&format!("remove_component: {{ probability: 0.2, max_fraction: {fraction} }}"), case);
    }
}
