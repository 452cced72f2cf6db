//! The rules that compare subjects, on summaries made by formula.

use super::summary::{Channel, Content, Image, Intensities};
use super::*;
use crate::samplers::{LabelSampler, UniformSampler};
use values::{NonNegative, Shape};
use volume::{Affine, Grid};

/// So many subjects as a healthy CT dataset has them: `s00` and up.
fn healthy(count: usize) -> Vec<Summary> {
    (0..count).map(subject).collect()
}

fn subject(index: usize) -> Summary {
    let wobble = 1.0 + 0.1 * (index as f64 * 2.3).sin();
    let spacing = [0.8 * wobble, 0.8 * wobble, 2.5 * wobble];
    let intensities = Intensities { lowest: -1024.0, high: 400.0 * wobble, highest: 1500.0, mean: -400.0 * wobble };
    let own = [index as u8; 32];
    Summary {
        name: format!("s{index:02}"),
        findings: Vec::new(),
        grid: Some(Grid {
            shape: [512, 512, (100.0 * wobble) as usize],
            affine: Affine::scale_and_shift(spacing, [0.0; 3]),
        }),
        image: Some(Image { channels: vec![channel(intensities, index)] }),
        label: Some(summary::LabelMap {
            voxels: BTreeMap::from([(1, (1e6 * wobble) as u64), (2, 100 * (index as u64 + 1))]),
            voxel_mm3: spacing.iter().product(),
            is_empty: false,
            content: own,
        }),
    }
}

fn channel(intensities: Intensities, content: usize) -> Channel {
    let content = Content { ordered: [content as u8; 32], unordered: content as u128 };
    Channel { intensities: Some(intensities), num_nan: 0, num_infinite: 0, first_not_finite: None, content }
}

fn intensities(summary: &mut Summary) -> &mut Intensities {
    summary.image.as_mut().unwrap().channels[0].intensities.as_mut().unwrap()
}

fn voxels(summary: &mut Summary) -> &mut BTreeMap<Label, u64> {
    &mut summary.label.as_mut().unwrap().voxels
}

fn remove_tumours(summary: &mut Summary) {
    voxels(summary).remove(&2);
}

/// Everything that the rules say.
fn told(summaries: &[Summary]) -> Vec<String> {
    told_for(summaries, &UniformSampler { patch: Shape([8; 3]) }.into())
}

/// The last three validate, the two before them are for tests.
fn told_for(summaries: &[Summary], sampler: &Sampler) -> Vec<String> {
    let names: Vec<String> = summaries.iter().map(|summary| summary.name.clone()).collect();
    let [test, val] = [names.len() - 5, names.len() - 3];
    let parts = Parts { train: names[..test].to_vec(), test: names[test..val].to_vec(), val: names[val..].to_vec() };
    let labels = [(1, "liver".to_owned()), (2, "tumour".to_owned())];
    let other_folds = BTreeMap::from([(3, names[..2].to_vec())]);
    let dataset = Dataset {
        subjects: &[],
        generator: None,
        parts: &parts,
        other_folds,
        labels: &labels,
        chain: &[],
        sampler,
        samples_val: true,
    };
    let findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(summaries, &dataset)).collect();
    Report::new(summaries.len(), findings).findings.iter().map(ToString::to_string).collect()
}

/// Asserts that the rules say this one thing and nothing else.
#[track_caller]
fn assert_only(told: &[String], start: &str, part: &str) {
    assert!(told.len() == 1 && told[0].starts_with(start) && told[0].contains(part), "{told:#?}");
}

#[test]
fn a_healthy_dataset_shows_nothing() {
    assert_eq!(told(&healthy(20)), [""; 0]);
    assert_eq!(told(&healthy(6)), [""; 0]);
}

#[test]
fn a_spacing_of_one_among_others_is_told_once() {
    let mut summaries = healthy(20);
    summaries[3].grid.as_mut().unwrap().affine = Affine::IDENTITY;
    assert_only(&told(&summaries), "note: s03: its spacing is 1 x 1 x 1 mm, as in 1 of 20 subjects", "was it lost");
}

#[test]
fn a_dataset_whose_spacing_is_one_is_as_it_should_be() {
    let mut summaries = healthy(20);
    for summary in &mut summaries[..19] {
        summary.grid.as_mut().unwrap().affine = Affine::IDENTITY;
    }
    assert!(!told(&summaries).iter().any(|told| told.contains("1 x 1 x 1 mm, as in")));
}

#[test]
fn slices_much_thicker_than_the_others_are_told_whichever_axis_they_lie_along() {
    let mut summaries = healthy(20);
    // Voxel x runs to the head.
    let turned = Affine([[0.0, 0.8, 0.0, 0.0], [0.0, 0.0, 0.8, 0.0], [8.0, 0.0, 0.0, 0.0]]);
    summaries[7].grid = Some(Grid { shape: [100, 512, 512], affine: turned });
    assert_only(&told(&summaries), "note: s07: its spacing of 0.8 x 0.8 x 8 mm", "feet to head");
}

#[test]
fn a_volume_of_few_slices_is_told() {
    let mut summaries = healthy(20);
    summaries[7].grid.as_mut().unwrap().shape[2] = 3;
    assert_only(&told(&summaries), "note: s07: its 512 x 512 x 3 voxels", "the median is 512 x 512 x ");
}

#[test]
fn a_subject_with_other_channels_is_a_fault() {
    let mut summaries = healthy(6);
    let second = channel(Intensities { lowest: -1000.0, high: 1.0, highest: 2.0, mean: 0.0 }, 99);
    summaries[1].image.as_mut().unwrap().channels.push(second);
    assert_only(&told(&summaries), "fault: s01: its image has 2 channels", "most subjects 1");
}

#[test]
fn two_channels_with_the_same_voxels_are_told() {
    let mut summaries = healthy(1);
    let image = summaries[0].image.as_mut().unwrap();
    image.channels.push(image.channels[0].clone());
    let sampler = UniformSampler { patch: Shape([8; 3]) }.into();
    let dataset = Dataset {
        subjects: &[],
        generator: None,
        parts: &Parts::default(),
        other_folds: BTreeMap::new(),
        labels: &[],
        chain: &[],
        sampler: &sampler,
        samples_val: false,
    };
    let findings = sameness::check(&summaries, &dataset);
    assert_eq!(findings[0].to_string(), "note: s00: its channels 0 and 1 have the same voxels");
}

#[test]
fn a_ct_without_its_offset_is_told_once() {
    let mut summaries = healthy(20);
    let shifted = intensities(&mut summaries[4]);
    (shifted.lowest, shifted.mean, shifted.highest) = (0.0, 624.0, 2524.0);
    assert_only(&told(&summaries), "note: s04: its smallest intensity is 0, where the median is -1024", "offset");
}

#[test]
fn a_ct_at_another_level_is_told() {
    let mut summaries = healthy(20);
    intensities(&mut summaries[4]).mean = 2000.0;
    assert_only(&told(&summaries), "note: s04: its mean intensity of 2000", "");
}

/// The same subjects as of a magnet, each in units of its own.
fn magnetic(count: usize) -> Vec<Summary> {
    let mut summaries = healthy(count);
    for (index, summary) in summaries.iter_mut().enumerate() {
        let high = 300.0 * (1.0 + (index % 5) as f64);
        *intensities(summary) = Intensities { lowest: 0.0, high, highest: 1.4 * high, mean: 0.3 * high };
    }
    summaries
}

#[test]
fn magnets_have_units_of_their_own() {
    assert_eq!(told(&magnetic(20)), [""; 0]);
}

#[test]
fn a_normalised_image_among_others_is_told() {
    let mut summaries = magnetic(20);
    *intensities(&mut summaries[2]) = Intensities { lowest: -2.0, high: 4.0, highest: 5.0, mean: 0.0 };
    assert_only(&told(&summaries), "note: s02: its intensities go from -2 to 5", "normalised");
}

#[test]
fn an_image_brighter_by_orders_of_magnitude_is_told() {
    let mut summaries = magnetic(20);
    *intensities(&mut summaries[2]) = Intensities { lowest: 0.0, high: 5e6, highest: 6e6, mean: 1e6 };
    assert_only(&told(&summaries), "note: s02: its bright voxels, at 5000000", "the median is");
}

#[test]
fn a_liver_of_three_voxels_is_told() {
    let mut summaries = healthy(20);
    voxels(&mut summaries[6]).insert(1, 3);
    assert_only(&told(&summaries), "note: s06: it has 3 voxels of label 1 liver", "ml");
}

#[test]
fn a_volume_that_only_a_lost_spacing_makes_unusual_is_told_as_a_spacing() {
    let mut summaries = healthy(20);
    summaries[5].grid.as_mut().unwrap().affine = Affine::IDENTITY;
    summaries[5].label.as_mut().unwrap().voxel_mm3 = 1e-3;
    assert_only(&told(&summaries), "note: s05: its spacing is 1 x 1 x 1 mm", "");
}

#[test]
fn a_class_that_validation_lacks_is_a_note_and_one_that_training_lacks_a_fault() {
    let mut summaries = healthy(20);
    summaries[17..].iter_mut().for_each(remove_tumours);
    assert_only(&told(&summaries), "note: label 2 tumour: no validation subject has a voxel of it", "undefined");
    let mut summaries = healthy(20);
    summaries[..15].iter_mut().for_each(remove_tumours);
    let told = told(&summaries);
    assert!(told[0].starts_with("fault: label 2 tumour: no training subject"), "{told:#?}");
    assert!(told[1].starts_with("note: label 2 tumour: no validation subject of fold 3"), "{told:#?}");
    assert_eq!(told.len(), 2);
}

#[test]
fn a_class_that_nobody_has_is_told_once() {
    let mut summaries = healthy(20);
    summaries.iter_mut().for_each(remove_tumours);
    assert_only(&told(&summaries), "fault: label 2 tumour: no subject has a voxel of it", "");
}

#[test]
fn label_maps_that_cannot_be_read_are_not_called_empty() {
    let mut summaries = healthy(20);
    summaries[17..].iter_mut().for_each(|summary| summary.label = None);
    assert_eq!(told(&summaries), [""; 0]);
}

#[test]
fn an_empty_label_map_is_a_fault_only_where_a_patch_must_be_drawn_from_it() {
    let mut summaries = healthy(20);
    voxels(&mut summaries[0]).clear();
    summaries[0].label.as_mut().unwrap().is_empty = true;
    assert_only(&told(&summaries), "note: s00: its label map is empty", "");
    let around = |probabilities: &[(Label, f64)]| {
        let weights = probabilities.iter().map(|(label, weight)| (*label, NonNegative::new(*weight).unwrap()));
        Sampler::from(LabelSampler { patch: Shape([8; 3]), probabilities: Some(weights.collect()) })
    };
    assert_only(
        &told_for(&summaries, &around(&[(1, 0.5), (2, 0.5)])),
        "fault: s00: its label map is empty",
        "no patch",
    );
    assert_only(&told_for(&summaries, &around(&[(0, 0.5), (1, 0.5)])), "note: s00: its label map is empty", "");
}

#[test]
fn a_subject_without_the_labels_that_patches_are_drawn_around_is_a_fault() {
    let mut summaries = healthy(20);
    voxels(&mut summaries[0]).remove(&2);
    let only_tumours = Sampler::from(LabelSampler {
        patch: Shape([8; 3]),
        probabilities: Some([(2, NonNegative::new(1.0).unwrap())].into()),
    });
    assert_only(
        &told_for(&summaries, &only_tumours),
        "fault: s00: its label map has none of the labels",
        "sampler.label",
    );
}

/// Gives one subject the voxels of another.
fn copy(summaries: &mut [Summary], from: usize, to: usize) {
    summaries[to].image = summaries[from].image.clone();
    summaries[to].grid = summaries[from].grid;
}

#[test]
fn the_same_image_in_two_parts_is_a_leak() {
    let mut summaries = healthy(20);
    copy(&mut summaries, 2, 18);
    summaries[18].label = summaries[2].label.clone();
    assert_only(&told(&summaries), "fault: s02 (train) and s18 (val) have the same image: a leak", "keep one");
}

#[test]
fn the_same_image_with_another_label_map_is_told_as_such() {
    let mut summaries = healthy(20);
    copy(&mut summaries, 2, 3);
    assert_only(
        &told(&summaries),
        "note: s02 (train) and s03 (train) have the same image, with different label maps",
        "",
    );
}

#[test]
fn a_mirrored_copy_is_a_leak_too() {
    let mut summaries = healthy(20);
    copy(&mut summaries, 2, 16);
    summaries[16].image.as_mut().unwrap().channels[0].content.ordered = [77; 32];
    assert_only(
        &told(&summaries),
        "fault: s02 (train) and s16 (test) have the same image, flipped or with permuted axes",
        "leak",
    );
}

#[test]
fn the_same_label_map_of_two_images_is_told() {
    let mut summaries = healthy(20);
    summaries[9].label = summaries[8].label.clone();
    assert_only(&told(&summaries), "note: s08 (train) and s09 (train) have the same label map", "different images");
}
