//! Invalid and inconsistent NIfTI files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use volume::io::{read_header, read_image, read_label, write_image};
use volume::{Affine, Grid, Voxels};

use super::allocator::largest_of;
use super::mutate::{changed, changes};
use super::{assert_messages, feed};

const HEADER: usize = 348;

/// Returns a valid file of float32 voxels.
fn valid() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let grid = Grid { shape: [4, 3, 5], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]) };
    let values = (0..60).map(|value| value as f32).collect();
    write_image(&path, &grid, &Voxels::new(1, grid.shape, values)).unwrap();
    fs::read(path).unwrap()
}

fn patched(changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = valid();
    for (at, new) in changes {
        bytes[*at..*at + new.len()].copy_from_slice(new);
    }
    bytes
}

fn compressed(content: &[u8], zeros: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    let block = vec![0; 1 << 20];
    for start in (0..zeros).step_by(block.len()) {
        encoder.write_all(&block[..block.len().min(zeros - start)]).unwrap();
    }
    encoder.finish().unwrap()
}

fn written(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("a.nii.gz");
    fs::write(&path, bytes).unwrap();
    path
}

/// Returns the error of reading a file of these bytes, without its path.
fn message(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), bytes);
    let error = read_image(&path).unwrap_err().to_string();
    error.strip_prefix(&format!("{}: ", path.display())).expect("an error starts with its file").to_owned()
}

fn shorts(numbers: &[i16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[test]
fn an_invalid_field_is_named() {
    let floats = |values: [f32; 4]| values.map(f32::to_le_bytes).as_flattened().to_vec();
    let float = |value: f32| value.to_le_bytes().to_vec();
    let rows = |spacing: f32| {
        [floats([spacing, 0.0, 0.0, 0.0]), floats([0.0, 1.0, 0.0, 0.0]), floats([0.0, 0.0, 1.0, 0.0])].concat()
    };
    let messages = [
        (40, shorts(&[0]), "header field dim: expected 1 to 7 axes, got 0"),
        (40, shorts(&[20]), "header field dim: expected 1 to 7 axes, got 20"),
        (40, shorts(&[-1]), "header field dim: expected 1 to 7 axes, got -1"),
        (42, shorts(&[0]), "header field dim: expected at least 1 voxel along axis 1, got 0"),
        (
            40,
            shorts(&[7, 2, 2, 2, 2, 2, 2, 2]),
            "header field dim: expected three axes and channels, got [2, 2, 2, 2, 2, 2, 2]",
        ),
        (
            40,
            shorts(&[7, 32767, 32767, 32767, 32767, 32767, 32767, 32767]),
            "header field dim: expected three axes and channels, got [32767, 32767, 32767, 32767, 32767, 32767, 32767]",
        ),
        (
            40,
            shorts(&[4, 32767, 32767, 32767, 32767]),
            "truncated: the header declares 4611123094243246084 bytes of voxels, a file of 592 bytes cannot hold them; copy the file again",
        ),
        (
            40,
            shorts(&[3, 32767, 32767, 32767]),
            "truncated: the header declares 140724603846652 bytes of voxels, a file of 592 bytes cannot hold them; copy the file again",
        ),
        (70, shorts(&[1]), "header field datatype: unknown code 1"),
        (70, shorts(&[-7]), "header field datatype: unknown code -7"),
        (
            70,
            shorts(&[32]),
            "header field datatype: expected an integer or real type of at most 64 bits, got complex64",
        ),
        (108, float(-352.0), "header field vox_offset: expected an offset from 352 to 1073741824, got -352"),
        (108, float(f32::NAN), "header field vox_offset: expected an offset from 352 to 1073741824, got NaN"),
        (108, float(100.0), "header field vox_offset: expected an offset from 352 to 1073741824, got 100"),
        (
            108,
            float(1e30),
            "header field vox_offset: expected an offset from 352 to 1073741824, got 1000000015047466200000000000000",
        ),
        (108, float(1e6), "header field vox_offset: expected an offset within the file of 592 bytes, got 1000000"),
        (
            108,
            float(400.0),
            "truncated: the header declares 240 bytes of voxels, a file of 592 bytes cannot hold them; copy the file again",
        ),
        (116, float(f32::NAN), "header field scl_inter: expected a finite number, got NaN"),
        (
            280,
            floats([f32::NAN, 0.0, 0.0, 0.0]),
            "header field srow_x, srow_y, srow_z: expected finite numbers, got the affine [[NaN, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 5.0], [0.0, 0.0, 3.0, 6.0]]",
        ),
        (
            280,
            floats([0.0; 4]),
            "header field srow_x, srow_y, srow_z: expected an affine that can be inverted, got [[0.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 5.0], [0.0, 0.0, 3.0, 6.0]]",
        ),
        (
            280,
            rows(0.5e-4),
            "header field srow_x, srow_y, srow_z: expected voxels between 0.0001 and 100000 mm, got 0.00004999999873689376 mm",
        ),
    ]
    // Without a qform, which would be used instead of an unusable sform.
    .map(|(at, bytes, expected)| (message(&patched(&[(252, &[0, 0]), (at, &bytes)])), expected.to_owned()));
    assert_messages(messages);
}

#[test]
fn a_negative_pixdim_is_read_as_positive_and_a_missing_one_is_an_error() {
    let no_forms: &[(usize, &[u8])] = &[(252, &[0; 4])];
    let with = |spacing: f32| patched(&[no_forms, &[(80, &spacing.to_le_bytes())]].concat());
    let folder = tempfile::tempdir().unwrap();
    let grid = read_header(&written(folder.path(), &with(-1.5))).unwrap().grid;
    assert_eq!(grid.spacing()[0], 1.5);
    assert!(message(&with(0.0)).starts_with("header field pixdim: expected an affine that can be inverted"));
    assert!(message(&with(f32::INFINITY)).starts_with("header field pixdim: expected finite numbers"));
}

#[test]
fn a_slope_that_is_not_finite_is_ignored_as_in_nibabel() {
    let folder = tempfile::tempdir().unwrap();
    for slope in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0] {
        let path = written(folder.path(), &patched(&[(112, &slope.to_le_bytes())]));
        assert_eq!(read_image(&path).unwrap().1[..3], [0.0, 1.0, 2.0]);
    }
}

#[test]
fn files_of_other_formats_are_recognized() {
    let header = |size: i32, magic: &[u8]| {
        let mut bytes = vec![0; 600];
        bytes[..4].copy_from_slice(&size.to_le_bytes());
        bytes[4..4 + magic.len()].copy_from_slice(magic);
        bytes
    };
    let dicom = [vec![0; 128], b"DICM".to_vec(), vec![0; 400]].concat();
    let convert = "convert it to a single NIfTI file, .nii or .nii.gz";
    let messages = [
        (vec![], "an empty file", "copy the file again"),
        (compressed(&[], 0), "an empty file", "copy the file again"),
        (valid()[..100].to_vec(), "a file that ends within its header, after 100 bytes", "copy the file again"),
        (header(540, b"n+2\0\n\x1a\n\0"), "a NIfTI-2 file that was damaged by a transfer in text mode", convert),
        (compressed(&header(540, b"ni2\0\r\n\x1a\n"), 0), "the header of a .hdr and .img pair", convert),
        (
            header(540i32.swap_bytes(), b"n+2\0\r\n\x1a\n")[..400].to_vec(),
            "a file that ends within its header, after 400 bytes",
            "copy the file again",
        ),
        (patched(&[(344, &[0; 4])]), "the header of an Analyze 7.5 file", convert),
        (patched(&[(344, b"ni1\0")]), "the header of a .hdr and .img pair", convert),
        (dicom, "a DICOM file", convert),
        (vec![b'x'; 1000], "a file of another kind", convert),
        (
            compressed(
                &compressed(
                    &(0..1000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>(),
                    0,
                ),
                0,
            ),
            "a file that is compressed twice",
            convert,
        ),
    ]
    .map(|(bytes, kind, fix)| (message(&bytes), format!("expected a single NIfTI file, got {kind}; {fix}")));
    assert_messages(messages);
    let folder = tempfile::tempdir().unwrap();
    let error = read_header(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("is a folder; name a file that ends with .nii or .nii.gz"), "{error}");
}

#[test]
fn a_truncated_compressed_file_is_an_error() {
    let file = compressed(&valid(), 0);
    let folder = tempfile::tempdir().unwrap();
    assert!(read_image(&written(folder.path(), &file)).is_ok());
    for end in 0..file.len() {
        let path = written(folder.path(), &file[..end]);
        let error = read_image(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("copy the file again") || error.contains("got a file of another kind"),
            "{end}: {error}"
        );
    }
}

#[test]
fn a_flipped_bit_in_a_compressed_file_is_an_error_or_changes_no_voxel() {
    let (content, folder) = (valid(), tempfile::tempdir().unwrap());
    let file = compressed(&content, 0);
    let voxels = read_image(&written(folder.path(), &file)).unwrap().1.to_vec();
    for bit in (0..file.len() * 8).step_by(3) {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok((_, image)) = read_image(&written(folder.path(), &flipped)) {
            assert_eq!(image[..], voxels[..], "bit {bit} of the gzip header is not in the checksum");
        }
    }
}

#[test]
fn a_header_that_declares_more_than_the_file_has_allocates_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    // 1000 x 1000 x 250 numbers of 4 bytes: a compressed file of a megabyte could hold them, this one does not.
    let inconsistent = patched(&[(40, &shorts(&[3, 1000, 1000, 250]))]);
    let mut noise: Vec<u8> = (0..250_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    noise.truncate(1_000_000);
    let path = written(folder.path(), &compressed(&[inconsistent.clone(), noise].concat(), 0));
    let (result, largest) = largest_of(|| read_image(&path));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("declares 1000000000 bytes of voxels, and the file ends earlier"), "{error}");
    assert!(largest < 1 << 20, "{largest} bytes in one allocation");
    // The same header in a file that is far too small for it.
    let path = written(folder.path(), &compressed(&inconsistent, 0));
    let (result, largest) = largest_of(|| read_image(&path));
    assert!(result.unwrap_err().to_string().contains("cannot hold them"));
    assert!(largest < 1 << 20, "{largest} bytes in one allocation");
}

#[test]
fn data_after_the_voxels_is_not_decompressed() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &compressed(&valid(), 64 << 20));
    let (result, largest) = largest_of(|| read_image(&path));
    assert_eq!(result.unwrap().1.len(), 60);
    assert!(largest < 1 << 20, "{largest} bytes in one allocation");
}

#[test]
fn a_volume_larger_than_memory_is_rejected_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    // A sparse file of eight terabytes, as long as its header declares.
    let mut bytes = patched(&[(40, &shorts(&[3, 20000, 20000, 20000])), (70, &shorts(&[2, 8]))]);
    bytes.truncate(352);
    fs::write(&path, bytes).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    if file.set_len(352 + 8_000_000_000_000).is_err() {
        return eprintln!("skipped: this disk supports no sparse files of eight terabytes");
    }
    let (result, largest) = largest_of(|| read_label(&path));
    let error = result.unwrap_err().to_string();
    assert!(error.contains(": the voxels take 16 TB to read, the machine has "), "{error}");
    assert!(largest < 1 << 20, "{largest} bytes in one allocation");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_corrupted_header_causes_no_panic(changes in changes(), compress in any::<bool>()) {
        let mut bytes = changed(&valid(), HEADER, &changes);
        if compress {
            bytes.insert(0, b'z');
        }
        let (_, largest) = largest_of(|| feed::nifti(&bytes));
        prop_assert!(largest < 128 << 20, "{} bytes in one allocation", largest);
    }

    #[test]
    fn a_corrupted_nifti_2_header_causes_no_panic(changes in changes()) {
        let valid = fs::read("tests/parity/nifti/nifti_2_le.nii").unwrap();
        let (_, largest) = largest_of(|| feed::nifti(&changed(&valid, 540, &changes)));
        prop_assert!(largest < 128 << 20, "{} bytes in one allocation", largest);
    }

    #[test]
    fn a_corrupted_compressed_file_causes_no_panic(changes in changes()) {
        feed::nifti(&changed(&compressed(&valid(), 0), usize::MAX, &changes));
    }

    #[test]
    fn random_bytes_cause_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(feed::nifti(&bytes).is_some());
    }
}
