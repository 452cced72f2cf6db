//! The best candidate and its post-processing are those of nnU-Net.
//!
//! `selection/nnunet.py` writes the expected values with nnU-Net's own functions; probabilities are a formula in whole numbers,
//! which the test repeats.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::convert::Infallible;

use engine::experiment::targets::{RegionSpec, Targets};
use engine::inference::postprocess::Postprocess;
use engine::inference::sliding_window::LabelMapOutput;
use engine::selection::postprocessing::{ClassMetric, accepted, determine};
use metrics::{CaseScores, Metric, Pair};
use serde::Deserialize;
use volume::{Affine, Grid, Label, unravel_index};

const SHAPE: [usize; 3] = [14, 12, 10];
const VOXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
const GRID: Grid = Grid { shape: SHAPE, affine: Affine::IDENTITY };
const SUBJECTS: u64 = 6;
const SETTINGS: [&str; 3] = ["a", "b", "c"];

/// A case of the script, in its order.
struct Case {
    name: &'static str,
    common: [usize; 2],
    own: [[usize; 2]; 3],
    background: [u64; 3],
    is_inside: bool,
}

const CASES: [Case; 4] = [
    Case { name: "inside", common: [3, 1], own: [[1, 0], [1, 1], [1, 1]], background: [0, 0, 0], is_inside: true },
    Case { name: "apart", common: [2, 0], own: [[0, 2], [1, 1], [2, 2]], background: [0, 0, 0], is_inside: false },
    Case { name: "both", common: [2, 2], own: [[0, 0], [0, 0], [0, 0]], background: [10, 0, 20], is_inside: false },
    Case { name: "single", common: [0, 0], own: [[6, 5], [0, 0], [6, 6]], background: [90, 0, 160], is_inside: true },
];

#[derive(Deserialize)]
struct File {
    data: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    scores: BTreeMap<String, Option<f64>>,
    best: String,
    labels: Steps,
    regions_of_a: Steps,
}

#[derive(Deserialize)]
struct Steps {
    /// The labels of each step.
    steps: Vec<Vec<Label>>,
    before: f64,
    after: f64,
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_str::<File>(include_str!("selection/nnunet.json")).unwrap().data
}

/// The script's linear congruential generator.
struct Random(u64);

impl Random {
    fn new(names: &[u64]) -> Self {
        Self(names.iter().fold(12345, |state, name| (state * 31 + name) % 2_147_483_648))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = (self.0 * 1_103_515_245 + 12_345) % 2_147_483_648;
        self.0 / 65_536 % limit
    }

    /// Returns the voxels of some balls.
    fn balls(&mut self, number: usize, [smallest, largest]: [u64; 2]) -> Vec<Ball> {
        let ball = |_| {
            let centre = SHAPE.map(|size| self.below(size as u64));
            Ball { centre, radius: smallest + self.below(largest - smallest + 1) }
        };
        (0..number).map(ball).collect()
    }
}

struct Ball {
    centre: [u64; 3],
    radius: u64,
}

impl Ball {
    fn voxels(&self) -> impl Iterator<Item = usize> {
        let squares = |voxel: usize| {
            let position = unravel_index(SHAPE, voxel);
            (0..3).map(|axis| (position[axis] as u64).abs_diff(self.centre[axis]).pow(2)).sum::<u64>()
        };
        (0..VOXELS).filter(move |voxel| squares(*voxel) <= self.radius * self.radius)
    }
}

fn truth(case: &Case, subject: u64) -> Vec<Label> {
    let mut random = Random::new(&[1, subject]);
    let liver = random.balls(1, [3, 4]).remove(0);
    let tumour = random.balls(1, [1, 2]).remove(0);
    let mut label = vec![0; VOXELS];
    liver.voxels().for_each(|voxel| label[voxel] = 1);
    if subject != 2 {
        let tumour = Ball { centre: if case.is_inside { liver.centre } else { tumour.centre }, ..tumour };
        tumour.voxels().for_each(|voxel| label[voxel] = 2);
    }
    label
}

/// Returns the probabilities `[class, x, y, z]` of a setting.
fn probabilities(case: &Case, subject: u64, setting: usize) -> Vec<f32> {
    let number = CASES.iter().position(|other| other.name == case.name).unwrap() as u64;
    let mut common = Random::new(&[2, subject, number]);
    let mut random = Random::new(&[3, subject, number, setting as u64]);
    let label = truth(case, subject);
    let mut weights = vec![0u64; 3 * VOXELS];
    weights[..VOXELS].fill(100 + case.background[setting]);
    for class in 1..=2 {
        let weight = 150 + random.below(100);
        (0..VOXELS)
            .filter(|voxel| usize::from(label[*voxel]) == class)
            .for_each(|voxel| weights[class * VOXELS + voxel] += weight);
        for ball in random.balls(2, [0, 1]) {
            ball.voxels().for_each(|voxel| weights[voxel] += 100);
        }
        for ball in common.balls(case.common[class - 1], [0, 1]) {
            let weight = 150 + common.below(100);
            ball.voxels().for_each(|voxel| weights[class * VOXELS + voxel] += weight);
        }
        for ball in random.balls(case.own[setting][class - 1], [0, 1]) {
            let weight = 120 + random.below(200);
            ball.voxels().for_each(|voxel| weights[class * VOXELS + voxel] += weight);
        }
    }
    let sum = |voxel: usize| (0..3).map(|class| weights[class * VOXELS + voxel] as f32).sum::<f32>();
    (0..3 * VOXELS).map(|index| weights[index] as f32 / sum(index % VOXELS)).collect()
}

fn targets(regions: bool) -> Targets {
    let labels = BTreeMap::from([(1, "liver".to_owned()), (2, "tumour".to_owned())]);
    let spec = |name: &str, labels: &[Label], write| {
        (name.to_owned(), RegionSpec { labels: labels.to_vec(), write: Some(write) })
    };
    let all = if regions { vec![spec("whole", &[1, 2], 1), spec("tumour", &[2], 2)] } else { Vec::new() };
    Targets::new(&labels, &all, None).unwrap()
}

/// Returns the label maps of a candidate, `a` or `a + b`.
fn label_maps(case: &Case, candidate: &str) -> Vec<Vec<Label>> {
    let targets = targets(false);
    let output = LabelMapOutput { grid: &GRID, targets: &targets, postprocess: &[] };
    let settings: Vec<usize> =
        candidate.split(" + ").map(|name| SETTINGS.iter().position(|other| *other == name).unwrap()).collect();
    let map = |subject| {
        let mut mean = vec![0.0; 3 * VOXELS];
        for setting in &settings {
            let one = probabilities(case, subject, *setting);
            mean.iter_mut().zip(one).for_each(|(mean, value)| *mean += value / settings.len() as f32);
        }
        output.label_map(&mean).to_vec()
    };
    (0..SUBJECTS).map(map).collect()
}

fn dice() -> Metric {
    serde_yaml::from_str("!dice {}").unwrap()
}

/// Scores label maps after some steps.
fn score(case: &Case, maps: &[Vec<Label>], targets: &Targets, steps: &[Postprocess]) -> Vec<CaseScores> {
    let score = |(subject, map): (u64, &Vec<Label>)| {
        let mut map = map.clone();
        steps.iter().for_each(|step| step.component().apply(&mut map, &GRID));
        let truth = truth(case, subject);
        let pair = Pair { prediction: &map, truth: &truth, shape: SHAPE, spacing: [1.0; 3] };
        dice().score(&pair, &targets.classes())
    };
    (0..).zip(maps).map(score).collect()
}

/// Returns the labels of the accepted steps, and the mean Dice before and after them.
fn determined(case: &Case, candidate: &str, regions: bool) -> (Vec<Vec<Label>>, [f64; 2]) {
    let (maps, targets, dice) = (label_maps(case, candidate), targets(regions), dice());
    let classes = targets.classes();
    let metric = ClassMetric { metric: &dice, classes: &classes };
    let means = |steps: &[Postprocess]| metric.means(&score(case, &maps, &targets, steps)).unwrap();
    let trials = determine(metric, &[1, 2], |steps| Ok::<_, Infallible>(means(steps))).unwrap();
    let steps = accepted(&trials);
    let labels = steps.iter().map(|step| step.component().labels()).collect();
    (labels, [means(&[]).mean.unwrap(), means(&steps).mean.unwrap()])
}

fn assert_near(actual: f64, expected: f64, what: &str) {
    assert!((actual - expected).abs() < 1e-12, "{what}: {actual}, expected {expected}");
}

#[test]
fn the_best_candidate_and_every_score_are_nnunets() {
    for case in &CASES {
        let expected = &expected()[case.name];
        let (dice, targets) = (dice(), targets(false));
        let classes = targets.classes();
        let metric = ClassMetric { metric: &dice, classes: &classes };
        let pairs = (0..3).flat_map(|a| (a + 1..3).map(move |b| format!("{} + {}", SETTINGS[a], SETTINGS[b])));
        let mut best: Option<(String, Option<f64>)> = None;
        for name in SETTINGS.map(str::to_owned).into_iter().chain(pairs) {
            let mean = metric.means(&score(case, &label_maps(case, &name), &targets, &[])).unwrap().mean;
            assert_near(mean.unwrap(), expected.scores[&name].unwrap(), &format!("{}, {name}", case.name));
            if best.as_ref().is_none_or(|(_, other)| metric.compare(mean, *other) == Ordering::Greater) {
                best = Some((name, mean));
            }
        }
        assert_eq!(best.unwrap().0, expected.best, "{}", case.name);
    }
}

#[test]
fn the_post_processing_of_labels_is_nnunets() {
    for case in &CASES {
        let Expected { best, labels, .. } = &expected()[case.name];
        let (steps, [before, after]) = determined(case, best, false);
        assert_eq!(steps, labels.steps, "{}", case.name);
        assert_near(before, labels.before, case.name);
        assert_near(after, labels.after, case.name);
    }
    // The cases have one of each kind.
    let steps: Vec<Vec<Vec<Label>>> = CASES.iter().map(|case| expected()[case.name].labels.steps.clone()).collect();
    assert_eq!(steps, [vec![vec![1, 2]], vec![vec![1]], vec![vec![1]], vec![]]);
}

#[test]
fn the_post_processing_of_regions_is_nnunets_where_that_harms_no_region() {
    let mut num_harmful = 0;
    for case in &CASES {
        let nnunets = &expected()[case.name].regions_of_a;
        let (steps, [before, after]) = determined(case, "a", true);
        assert_near(before, nnunets.before, case.name);
        if nnunets.after < nnunets.before {
            // nnU-Net keeps the largest component of the whole region, although that removes tumour.
            num_harmful += 1;
            assert!(after >= before, "{}: {before}, {after}", case.name);
        } else {
            assert_eq!(steps, nnunets.steps, "{}", case.name);
            assert_near(after, nnunets.after, case.name);
        }
    }
    assert_eq!(num_harmful, 2);
}
