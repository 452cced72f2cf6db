//! The checks that compare subjects, on synthetic summaries.

use super::summary::{Channel, Content, Image, Intensities};
use super::*;
use crate::alignment::Role;
use crate::samplers::{LabelSampler, UniformSampler};
use crate::sources::Incomplete;
use values::{NonNegative, Shape};
use volume::{Affine, Grid};

/// Returns subjects of a CT dataset without faults, named `s00` and up.
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
            is_unannotated: false,
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

/// Returns the findings of all checks.
fn findings(summaries: &[Summary]) -> Vec<String> {
    findings_with(summaries, &UniformSampler { patch: Shape([8; 3]) }.into())
}

/// Returns the findings with a sampler; the last three subjects are for validation, the two before them for testing.
fn findings_with(summaries: &[Summary], sampler: &Sampler) -> Vec<String> {
    let names: Vec<String> = summaries.iter().map(|summary| summary.name.clone()).collect();
    let [test, val] = [names.len() - 5, names.len() - 3];
    let parts = Parts { train: names[..test].to_vec(), test: names[test..val].to_vec(), val: names[val..].to_vec() };
    let labels = [(1, "liver".to_owned()), (2, "tumour".to_owned())];
    let other_folds = BTreeMap::from([(3, names[..2].to_vec())]);
    let dataset = Dataset {
        listing: &Listing::default(),
        generator: None,
        parts: &parts,
        other_folds,
        labels: &labels,
        ignore: None,
        chain: &[],
        reorients: true,
        sampler,
        weight_maps: Vec::new(),
        samples_val: true,
    };
    let findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(summaries, &dataset)).collect();
    CheckReport::new(summaries.len(), findings).findings.iter().map(ToString::to_string).collect()
}

/// Asserts that there is exactly one finding with this text.
#[track_caller]
fn assert_only(findings: &[String], start: &str, part: &str) {
    assert!(findings.len() == 1 && findings[0].starts_with(start) && findings[0].contains(part), "{findings:#?}");
}

#[test]
fn missing_files_are_faults_where_training_needs_them_and_unused_label_maps_are_noted() {
    let incomplete = |subject: &str, role| Incomplete { subject: subject.to_owned(), role, reason: "why".to_owned() };
    let listing = Listing {
        incomplete: vec![
            incomplete("s00", Role::Image),
            incomplete("s00", Role::LabelMap),
            incomplete("s01", Role::LabelMap),
            incomplete("s02", Role::LabelMap),
        ],
        unused_labels: vec!["labelsTr/z.nii.gz".into()],
        ..Listing::default()
    };
    let parts = Parts { train: vec!["s00".to_owned()], val: vec!["s01".to_owned()], test: vec!["s02".to_owned()] };
    let sampler = UniformSampler { patch: Shape([8; 3]) }.into();
    let dataset = Dataset {
        listing: &listing,
        generator: None,
        parts: &parts,
        other_folds: BTreeMap::new(),
        labels: &[],
        ignore: None,
        chain: &[],
        reorients: true,
        sampler: &sampler,
        weight_maps: Vec::new(),
        samples_val: true,
    };
    let findings: Vec<String> = files::check(&[], &dataset).iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "fault: s00: an image is missing: why",
            "fault: s00: it trains or validates, but has no label map: why",
            "fault: s01: it trains or validates, but has no label map: why",
            "note: s02: it has no label map, so it is predicted, but not scored: why",
            "note: label map labelsTr/z.nii.gz belongs to no image of the dataset",
        ]
    );
}

#[test]
fn images_of_very_different_scales_are_noted_unless_they_are_normalized() {
    let mut summaries = mri(6);
    for (index, summary) in summaries.iter_mut().enumerate() {
        let high = 100.0 * 6f64.powi(index as i32);
        *intensities(summary) = Intensities { lowest: 0.0, high, highest: 1.1 * high, mean: 0.3 * high };
    }
    let note = "note: the 99.5th percentiles of the images range from 100 to 777600";
    assert_only(&findings(&summaries), note, "z_normalize");
    let listing = Listing::default();
    let sampler = UniformSampler { patch: Shape([8; 3]) }.into();
    let chain = [serde_json::from_str(r#"{"z_normalize": {}}"#).unwrap()];
    let dataset = Dataset {
        listing: &listing,
        generator: None,
        parts: &Parts::default(),
        other_folds: BTreeMap::new(),
        labels: &[],
        ignore: None,
        chain: &chain,
        reorients: true,
        sampler: &sampler,
        weight_maps: Vec::new(),
        samples_val: false,
    };
    assert_eq!(intensity::check(&summaries, &dataset), []);
}

#[test]
fn a_dataset_without_faults_has_no_findings() {
    assert_eq!(findings(&healthy(20)), [""; 0]);
    assert_eq!(findings(&healthy(6)), [""; 0]);
}

#[test]
fn a_spacing_of_1_mm_among_others_is_reported_once() {
    let mut summaries = healthy(20);
    summaries[3].grid.as_mut().unwrap().affine = Affine::IDENTITY;
    assert_only(&findings(&summaries), "note: s03: its spacing is 1 x 1 x 1 mm, as in 1 of 20 subjects", "was it lost");
}

#[test]
fn a_spacing_of_1_mm_in_most_subjects_is_not_reported() {
    let mut summaries = healthy(20);
    for summary in &mut summaries[..19] {
        summary.grid.as_mut().unwrap().affine = Affine::IDENTITY;
    }
    assert!(!findings(&summaries).iter().any(|finding| finding.contains("1 x 1 x 1 mm, as in")));
}

#[test]
fn unusually_thick_slices_are_reported_along_any_axis() {
    let mut summaries = healthy(20);
    // The first voxel axis points to the head.
    let permuted = Affine([[0.0, 0.8, 0.0, 0.0], [0.0, 0.0, 0.8, 0.0], [8.0, 0.0, 0.0, 0.0]]);
    summaries[7].grid = Some(Grid { shape: [100, 512, 512], affine: permuted });
    assert_only(&findings(&summaries), "note: s07: its spacing of 0.8 x 0.8 x 8 mm", "feet to head");
}

#[test]
fn a_volume_of_few_slices_is_reported() {
    let mut summaries = healthy(20);
    summaries[7].grid.as_mut().unwrap().shape[2] = 3;
    assert_only(&findings(&summaries), "note: s07: its 512 x 512 x 3 voxels", "the median is 512 x 512 x ");
}

#[test]
fn another_number_of_channels_is_a_fault() {
    let mut summaries = healthy(6);
    let second = channel(Intensities { lowest: -1000.0, high: 1.0, highest: 2.0, mean: 0.0 }, 99);
    summaries[1].image.as_mut().unwrap().channels.push(second);
    assert_only(&findings(&summaries), "fault: s01: its image has 2 channels", "most subjects have 1");
}

#[test]
fn slices_that_were_stored_as_channels_are_reported() {
    let mut summaries = healthy(12);
    for summary in &mut summaries {
        let second = channel(*intensities(summary), 99);
        summary.image.as_mut().unwrap().channels.push(second);
    }
    assert!(findings(&summaries).iter().all(|finding| !finding.contains("numpy.squeeze")));
    summaries[3].grid.as_mut().unwrap().shape = [512, 512, 1];
    let found = findings(&summaries);
    let about_slices: Vec<_> = found.iter().filter(|finding| finding.contains("numpy.squeeze")).collect();
    assert!(matches!(&about_slices[..], [one] if one.starts_with("note: s03: its image has 1 slice and 2 channels")));
}

#[test]
fn two_channels_with_the_same_voxels_are_reported() {
    let mut summaries = healthy(1);
    let image = summaries[0].image.as_mut().unwrap();
    image.channels.push(image.channels[0].clone());
    let sampler = UniformSampler { patch: Shape([8; 3]) }.into();
    let dataset = Dataset {
        listing: &Listing::default(),
        generator: None,
        parts: &Parts::default(),
        other_folds: BTreeMap::new(),
        labels: &[],
        ignore: None,
        chain: &[],
        reorients: true,
        sampler: &sampler,
        weight_maps: Vec::new(),
        samples_val: false,
    };
    let findings = duplicates::check(&summaries, &dataset);
    assert_eq!(findings[0].to_string(), "note: s00: its channels 0 and 1 have the same voxels");
}

#[test]
fn a_ct_without_its_offset_is_reported_once() {
    let mut summaries = healthy(20);
    let shifted = intensities(&mut summaries[4]);
    (shifted.lowest, shifted.mean, shifted.highest) = (0.0, 624.0, 2524.0);
    assert_only(&findings(&summaries), "note: s04: its smallest intensity is 0, but the median is -1024", "offset");
}

#[test]
fn a_ct_with_an_unusual_mean_is_reported() {
    let mut summaries = healthy(20);
    intensities(&mut summaries[4]).mean = 2000.0;
    assert_only(&findings(&summaries), "note: s04: its mean intensity of 2000", "");
}

/// Returns subjects of an MRI dataset without faults, each with its own intensity scale.
fn mri(count: usize) -> Vec<Summary> {
    let mut summaries = healthy(count);
    for (index, summary) in summaries.iter_mut().enumerate() {
        let high = 300.0 * (1.0 + (index % 5) as f64);
        *intensities(summary) = Intensities { lowest: 0.0, high, highest: 1.4 * high, mean: 0.3 * high };
    }
    summaries
}

#[test]
fn different_scales_of_mri_are_not_reported() {
    assert_eq!(findings(&mri(20)), [""; 0]);
}

#[test]
fn a_normalized_image_among_others_is_reported() {
    let mut summaries = mri(20);
    *intensities(&mut summaries[2]) = Intensities { lowest: -2.0, high: 4.0, highest: 5.0, mean: 0.0 };
    assert_only(&findings(&summaries), "note: s02: its intensities range from -2 to 5", "normalized");
}

#[test]
fn an_image_brighter_by_orders_of_magnitude_is_reported() {
    let mut summaries = mri(20);
    *intensities(&mut summaries[2]) = Intensities { lowest: 0.0, high: 5e6, highest: 6e6, mean: 1e6 };
    assert_only(&findings(&summaries), "note: s02: its 99.5th percentile of 5000000", "the median is");
}

#[test]
fn a_liver_of_three_voxels_is_reported() {
    let mut summaries = healthy(20);
    voxels(&mut summaries[6]).insert(1, 3);
    assert_only(&findings(&summaries), "note: s06: it has 3 voxels of label 1 liver", "ml");
}

#[test]
fn a_lost_spacing_is_not_also_reported_as_an_unusual_volume() {
    let mut summaries = healthy(20);
    summaries[5].grid.as_mut().unwrap().affine = Affine::IDENTITY;
    summaries[5].label.as_mut().unwrap().voxel_mm3 = 1e-3;
    assert_only(&findings(&summaries), "note: s05: its spacing is 1 x 1 x 1 mm", "");
}

#[test]
fn a_label_missing_in_validation_is_a_note_and_one_missing_in_training_a_fault() {
    let mut summaries = healthy(20);
    summaries[17..].iter_mut().for_each(remove_tumours);
    assert_only(
        &findings(&summaries),
        "note: label 2 tumour: it does not occur in any validation subject",
        "undefined",
    );
    let mut summaries = healthy(20);
    summaries[..15].iter_mut().for_each(remove_tumours);
    let findings = findings(&summaries);
    assert!(
        findings[0].starts_with("fault: label 2 tumour: it does not occur in any training subject"),
        "{findings:#?}"
    );
    assert!(
        findings[1].starts_with("note: label 2 tumour: it does not occur in any validation subject of fold 3"),
        "{findings:#?}"
    );
    assert_eq!(findings.len(), 2);
}

#[test]
fn a_label_that_no_subject_has_is_reported_once() {
    let mut summaries = healthy(20);
    summaries.iter_mut().for_each(remove_tumours);
    assert_only(&findings(&summaries), "fault: label 2 tumour: it does not occur in any subject", "");
}

#[test]
fn unreadable_label_maps_are_not_reported_as_empty() {
    let mut summaries = healthy(20);
    summaries[17..].iter_mut().for_each(|summary| summary.label = None);
    assert_eq!(findings(&summaries), [""; 0]);
}

#[test]
fn an_empty_label_map_is_a_fault_only_if_patches_are_centred_on_labels() {
    let mut summaries = healthy(20);
    voxels(&mut summaries[0]).clear();
    summaries[0].label.as_mut().unwrap().is_empty = true;
    assert_only(&findings(&summaries), "note: s00: its label map is empty", "");
    let around = |probabilities: &[(Label, f64)]| {
        let weights = probabilities.iter().map(|(label, weight)| (*label, NonNegative::new(*weight).unwrap()));
        Sampler::from(LabelSampler { patch: Shape([8; 3]), probabilities: Some(weights.collect()) })
    };
    assert_only(
        &findings_with(&summaries, &around(&[(1, 0.5), (2, 0.5)])),
        "fault: s00: its label map is empty",
        "cannot sample a patch",
    );
    assert_only(&findings_with(&summaries, &around(&[(0, 0.5), (1, 0.5)])), "note: s00: its label map is empty", "");
}

#[test]
fn a_subject_without_the_labels_that_patches_are_centred_on_is_a_fault() {
    let mut summaries = healthy(20);
    voxels(&mut summaries[0]).remove(&2);
    let only_tumours = Sampler::from(LabelSampler {
        patch: Shape([8; 3]),
        probabilities: Some([(2, NonNegative::new(1.0).unwrap())].into()),
    });
    assert_only(
        &findings_with(&summaries, &only_tumours),
        "fault: s00: its label map has none of the labels",
        "sampler.label",
    );
}

/// Copies the image of one subject to another.
fn copy(summaries: &mut [Summary], from: usize, to: usize) {
    summaries[to].image = summaries[from].image.clone();
    summaries[to].grid = summaries[from].grid;
}

#[test]
fn the_same_image_in_two_parts_is_a_leak() {
    let mut summaries = healthy(20);
    copy(&mut summaries, 2, 18);
    summaries[18].label = summaries[2].label.clone();
    assert_only(&findings(&summaries), "fault: s02 (train) and s18 (val) have the same image: a leak", "keep one");
}

#[test]
fn the_same_image_with_different_label_maps_is_reported_as_such() {
    let mut summaries = healthy(20);
    copy(&mut summaries, 2, 3);
    assert_only(
        &findings(&summaries),
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
        &findings(&summaries),
        "fault: s02 (train) and s16 (test) have the same image, flipped or with permuted axes",
        "leak",
    );
}

#[test]
fn the_same_label_map_of_two_images_is_reported() {
    let mut summaries = healthy(20);
    summaries[9].label = summaries[8].label.clone();
    assert_only(&findings(&summaries), "note: s08 (train) and s09 (train) have the same label map", "different images");
}
