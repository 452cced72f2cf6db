use std::collections::BTreeMap;
use std::io::Write;

use std::path::{Path, PathBuf};

use crate::io::*;
use crate::{Affine, Grid, Label, Voxels, unravel_index};

#[derive(serde::Deserialize)]
struct Expected {
    file: String,
    affine: [[f64; 4]; 3],
    orientation: String,
    shape: [usize; 3],
    channels: usize,
    values: Vec<f32>,
}

fn parity() -> (PathBuf, Vec<Expected>) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/nifti"));
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    (folder.to_owned(), serde_json::from_str(&text).unwrap())
}

fn grid() -> Grid {
    let affine = Affine([[0.0, -1.5, 0.0, 10.0], [0.7, 0.0, 0.0, -20.0], [0.0, 0.0, -3.0, 30.0]]);
    Grid { shape: [3, 4, 18], affine }
}

fn ramp(channels: usize) -> Voxels<f32> {
    Voxels::new(channels, grid().shape, (0..channels * grid().num_voxels()).map(|i| i as f32 - 100.0).collect())
}

/// A valid file with some bytes of its header replaced.
fn patched(folder: &Path, at: usize, bytes: &[u8]) -> PathBuf {
    let path = folder.join("patched.nii");
    write_image(&path, &grid(), &ramp(1)).unwrap();
    patch(&path, at, bytes);
    path
}

fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut content = std::fs::read(path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, content).unwrap();
}

#[test]
fn every_type_byte_order_scaling_and_form_reads_as_nibabel_reads_it() {
    let (folder, cases) = parity();
    assert!(cases.len() >= 31);
    for case in cases {
        let (grid, image) = read_image(&folder.join(&case.file)).unwrap();
        assert_eq!((grid.shape, image.channels), (case.shape, case.channels), "{}", case.file);
        let far = |(a, b): (&f64, &f64)| (a - b).abs() > 1e-6;
        let differs = grid.affine.0.iter().flatten().zip(case.affine.iter().flatten()).any(far);
        assert!(!differs, "{}: {:?} instead of {:?}", case.file, grid.affine, case.affine);
        assert_eq!(grid.affine.orientation(), case.orientation, "{}", case.file);
        assert_eq!(&image[..], &case.values[..], "{}", case.file);
        assert_eq!(read_header(&folder.join(&case.file)).unwrap().grid, grid);
    }
}

#[test]
fn images_and_labels_survive_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.nii", "a.nii.gz"] {
        let path = folder.path().join(name);
        write_image(&path, &grid(), &ramp(2)).unwrap();
        let (read_grid, image) = read_image(&path).unwrap();
        assert!(read_grid.matches(&grid(), 1e-5));
        assert_eq!((image.channels, &image[..]), (2, &ramp(2)[..]));
        let labels: Vec<Label> = (0..grid().num_voxels()).map(|i| (i * 7) as Label).collect();
        write_label(&path, &grid(), &Voxels::new(1, grid().shape, labels.clone())).unwrap();
        assert_eq!(read_label(&path).unwrap().1[..], labels);
        write_int16_image(&path, &grid(), &ramp(1)).unwrap();
        assert_eq!(read_header(&path).unwrap().datatype, "int16");
        assert_eq!(read_image(&path).unwrap().1[..], ramp(1)[..]);
    }
}

#[test]
fn a_description_is_written_into_the_header_and_cut_to_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("described.nii");
    let label = Voxels::new(1, grid().shape, vec![1; grid().num_voxels()]);
    for (description, expected) in [("runner 1.0", "runner 1.0".to_owned()), (&"é".repeat(50)[..], "é".repeat(39))] {
        crate::io::write_described_label(&path, &grid(), &label, description).unwrap();
        let field = std::fs::read(&path).unwrap()[148..228].to_vec();
        let end = field.iter().position(|&byte| byte == 0).unwrap();
        assert_eq!(String::from_utf8(field[..end].to_vec()).unwrap(), expected);
        assert!(read_label(&path).unwrap().1.iter().all(|&value| value == 1));
    }
}

#[test]
fn the_written_qform_equals_the_sform() {
    let folder = tempfile::tempdir().unwrap();
    // With an sform code of 0 the qform is read.
    let path = patched(folder.path(), 254, &0i16.to_le_bytes());
    assert!(read_header(&path).unwrap().grid.matches(&grid(), 1e-4));
}

#[test]
fn a_fractional_label_is_reported_with_its_voxel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let mut values = vec![1.0f32; grid().num_voxels()];
    values[crate::offset(grid().shape, [2, 1, 17])] = 0.5;
    write_image(&path, &grid(), &Voxels::new(1, grid().shape, values)).unwrap();
    let message = read_label(&path).unwrap_err().to_string();
    assert!(message.contains("voxel [2, 1, 17] has the value 0.5"), "{message}");
}

#[test]
fn negative_and_excessive_sizes_are_rejected_before_memory_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let negative = read_image(&patched(folder.path(), 42, &(-3i16).to_le_bytes())).unwrap_err().to_string();
    assert!(negative.contains("dim: expected at least 1 voxel along axis 1, got -3"), "{negative}");
    let huge: Vec<u8> = [32767i16; 3].into_iter().flat_map(i16::to_le_bytes).collect();
    let error = read_image(&patched(folder.path(), 42, &huge)).unwrap_err();
    assert!(matches!(error, ImageError::Truncated { .. }), "{error}");
}

#[test]
fn a_singular_or_non_finite_affine_is_rejected_with_the_name_of_its_field() {
    let folder = tempfile::tempdir().unwrap();
    for bytes in [[0u8; 16], [0xff; 16]] {
        let path = patched(folder.path(), 280, &bytes);
        patch(&path, 252, &[0, 0]);
        let message = read_header(&path).unwrap_err().to_string();
        assert!(message.contains("srow_x"), "{message}");
    }
}

#[test]
fn a_form_that_cannot_be_used_leaves_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let quaternion = [0.8f32; 3].map(f32::to_le_bytes);
    for (at, bytes, used) in
        [(280, &[0u8; 48][..], "the qform is used"), (256, quaternion.as_flattened(), "the sform is used")]
    {
        let header = read_header(&patched(folder.path(), at, bytes)).unwrap();
        assert!(header.grid.matches(&grid(), 1e-4), "{header:?}");
        assert!(header.ambiguities.len() == 1 && header.ambiguities[0].contains(used), "{:?}", header.ambiguities);
    }
}

#[test]
fn a_quaternion_slightly_longer_than_one_is_normalized_and_another_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let with = |excess: f32| {
        let quaternion = [0.5f32.sqrt(), 0.5f32.sqrt() + excess, 0.0].map(f32::to_le_bytes);
        let path = patched(folder.path(), 256, quaternion.as_flattened());
        patch(&path, 254, &[0, 0]);
        patch(&path, 76, &1f32.to_le_bytes());
        read_header(&path)
    };
    // Half a turn about the diagonal of x and y exchanges them and flips z.
    for excess in [0.0, 4.5e-7, 3e-5] {
        let linear = with(excess).unwrap().grid.affine.linear();
        let expected = [[0.0, 1.5, 0.0], [0.7, 0.0, 0.0], [0.0, 0.0, -3.0]];
        let differs = linear.as_flattened().iter().zip(expected.as_flattened()).any(|(a, b)| (a - b).abs() > 1e-4);
        assert!(!differs, "{linear:?}");
    }
    let message = with(0.1).unwrap_err().to_string();
    assert!(message.contains("expected a unit quaternion"), "{message}");
}

#[test]
fn lengths_are_converted_to_millimetres_from_every_form_and_version() {
    let folder = tempfile::tempdir().unwrap();
    // The codes for seconds, which share the byte, do not matter.
    for (code, unit, spacing) in [
        (0, LengthUnit::Unknown, 0.7),
        (8 + 1, LengthUnit::Metre, 700.0),
        (8 + 2, LengthUnit::Millimetre, 0.7),
        (3, LengthUnit::Micrometre, 0.0007),
    ] {
        for forms in [[1u8, 0, 1, 0], [1, 0, 0, 0], [0; 4]] {
            let path = patched(folder.path(), 123, &[code]);
            patch(&path, 252, &forms);
            let header = read_header(&path).unwrap();
            assert_eq!(header.unit, unit);
            assert!((header.grid.spacing()[0] / spacing - 1.0).abs() < 1e-6, "{code} {forms:?} {:?}", header.grid);
            assert_eq!(read_image(&path).unwrap().0, header.grid);
        }
        let mut nifti_2 = std::fs::read(parity().0.join("nifti_2_le.nii")).unwrap();
        nifti_2[500] = code;
        let path = folder.path().join("nifti_2.nii");
        std::fs::write(&path, nifti_2).unwrap();
        assert!(
            (read_header(&path).unwrap().grid.spacing()[0] - 0.8 * unit.millimetres()).abs()
                < 1e-6 * unit.millimetres()
        );
    }
}

#[test]
fn an_axis_of_no_voxels_beyond_the_third_counts_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = patched(folder.path(), 40, [4i16, 3, 4, 18, 0].map(i16::to_le_bytes).as_flattened());
    let header = read_header(&path).unwrap();
    assert_eq!((header.grid.shape, header.channels), (grid().shape, 1));
    assert_eq!(header.ambiguities, ["its dim declares 0 voxels along axis 4, read as 1"]);
}

#[test]
fn labels_that_a_writer_scaled_are_read_and_others_quoted_as_computed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    // uint8 with a slope of 3 / 255 in float32, as nibabel stores labels up to 3.
    let [size_x, size_y, _] = grid().shape;
    let in_file = |voxel| unravel_index(grid().shape, voxel);
    let in_file = |voxel| in_file(voxel)[0] + size_x * (in_file(voxel)[1] + size_y * in_file(voxel)[2]);
    let stored: Vec<Label> = (0..grid().num_voxels()).map(|voxel| [0, 85, 170, 255][in_file(voxel) % 4]).collect();
    write_label(&path, &grid(), &Voxels::new(1, grid().shape, stored)).unwrap();
    patch(&path, 112, &(3f32 / 255.0).to_le_bytes());
    let (_, labels) = read_label(&path).unwrap();
    assert!(labels.iter().enumerate().all(|(voxel, label)| usize::from(*label) == in_file(voxel) % 4));
    patch(&path, 112, &(3.5f32 / 255.0).to_le_bytes());
    let message = read_label(&path).unwrap_err().to_string();
    let expected = "voxel [1, 0, 0] has the value 1.1666666 (slope 0.01372549 times the stored 85 plus intercept 0)";
    assert!(message.contains(expected), "{message}");
}

#[test]
fn slices_on_the_fourth_axis_of_a_label_map_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = patched(folder.path(), 40, [4i16, 3, 4, 1, 18].map(i16::to_le_bytes).as_flattened());
    let message = read_label(&path).unwrap_err().to_string();
    assert!(message.contains("1 channel, got 18; if its slices are on the fourth axis"), "{message}");
}

#[test]
fn a_truncated_compressed_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    write_image(&path, &grid(), &ramp(1)).unwrap();
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, &content[..content.len() / 2]).unwrap();
    let error = read_image(&path).unwrap_err();
    assert!(matches!(error, ImageError::Truncated { .. }), "{error}");
}

#[test]
fn a_compressed_file_with_a_wrong_checksum_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii.gz");
    write_image(&path, &grid(), &ramp(1)).unwrap();
    let mut content = std::fs::read(&path).unwrap();
    let checksum = content.len() - 8;
    content[checksum] ^= 1;
    std::fs::write(&path, &content).unwrap();
    assert!(matches!(read_image(&path).unwrap_err(), ImageError::Damaged { .. }));
}

#[test]
fn a_file_of_another_format_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    std::fs::File::create(&path).unwrap().write_all(&[b'x'; 400]).unwrap();
    let error = read_header(&path).unwrap_err();
    assert!(matches!(error, ImageError::Format { .. }), "{error}");
}

fn real(dataset: &str, subject: &str) -> Option<(Grid, Voxels<f32>, BTreeMap<Label, usize>)> {
    let root = Path::new("../../../shared/data").join(dataset);
    if !root.is_dir() {
        eprintln!("skipped: {dataset} is missing");
        return None;
    }
    let (grid, image) = read_image(&root.join(format!("imagesTr/{subject}.nii.gz"))).unwrap();
    let (label_grid, label) = read_label(&root.join(format!("labelsTr/{subject}.nii.gz"))).unwrap();
    assert!(grid.matches(&label_grid, 1e-3));
    let mut counts = BTreeMap::new();
    for &value in label.iter() {
        *counts.entry(value).or_default() += 1;
    }
    Some((grid, image, counts))
}

#[test]
fn a_hippocampus_reads_as_nibabel_reads_it() {
    let Some((grid, image, counts)) = real("Task04_Hippocampus", "hippocampus_003") else { return };
    assert_eq!((grid.shape, grid.spacing(), grid.affine.orientation().as_str()), ([34, 52, 35], [1.0; 3], "RAS"));
    assert_eq!(counts, BTreeMap::from([(0, 58527), (1, 1550), (2, 1803)]));
    let sum: f64 = image.iter().map(|&v| f64::from(v)).sum();
    assert!((sum - 29_866_089.868_690_49).abs() < 1e-3, "{sum}");
}

#[test]
fn a_ct_with_a_qform_alone_reads_as_nibabel_reads_it() {
    let Some((grid, image, counts)) = real("STS_CT", "STS_001") else { return };
    assert_eq!((grid.shape, grid.affine.orientation().as_str()), ([198, 202, 59], "LPS"));
    assert_eq!(grid.affine.0[0], [-0.976_562_023_162_841_8, 0.0, 0.0, 23.437_616_348_266_6]);
    assert_eq!(counts, BTreeMap::from([(0, 2_242_619), (1, 117_145)]));
    let sum: f64 = image.iter().map(|&v| f64::from(v)).sum();
    assert!((sum + 523_058_985.0).abs() < 1e-3, "{sum}");
}

#[test]
fn a_ct_of_int32_with_an_sform_alone_reads_as_nibabel_reads_it() {
    let Some((grid, image, counts)) = real("TS_Example_CT", "ts_example_ct") else { return };
    assert_eq!((grid.shape, grid.spacing(), grid.affine.orientation().as_str()), ([122, 101, 112], [3.0; 3], "RAS"));
    assert_eq!(counts, BTreeMap::from([(0, 1_338_372), (1, 41_692)]));
    let sum: f64 = image.iter().map(|&v| f64::from(v)).sum();
    assert!((sum + 496_851_173.0).abs() < 1e-3, "{sum}");
}
