//! Formats of medical images that cannot be read, and how to convert them.

use std::path::{Path, PathBuf};

use super::{FORMATS, ImageError, has_ending};

/// An image format that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedFormat {
    /// Its name or names, such as `NRRD`.
    pub name: &'static str,
    /// The file endings with their leading dot, in lower case.
    endings: &'static [&'static str],
    /// How to convert its files to NIfTI, as an imperative.
    pub conversion: &'static str,
}

/// How to convert files that SimpleITK reads.
const WITH_SIMPLEITK: &str =
    "convert it with SimpleITK: `SimpleITK.WriteImage(SimpleITK.ReadImage(\"IN\"), \"OUT.nii.gz\")`";
/// How to convert files that nibabel reads.
const WITH_NIBABEL: &str = "convert it with nibabel: `nibabel.save(nibabel.load(\"IN\"), \"OUT.nii.gz\")`";

/// The formats, by the endings of their files.
const UNSUPPORTED: &[UnsupportedFormat] = &[
    UnsupportedFormat {
        name: "DICOM",
        endings: &[".dcm", ".dicom", ".ima"],
        conversion: "convert the series with `dcm2niix -z y -o OUT_FOLDER FOLDER`",
    },
    UnsupportedFormat { name: "NRRD", endings: &[".nrrd", ".nhdr"], conversion: WITH_SIMPLEITK },
    UnsupportedFormat { name: "MetaImage", endings: &[".mha", ".mhd"], conversion: WITH_SIMPLEITK },
    UnsupportedFormat {
        name: "FreeSurfer MGH",
        endings: &[".mgz", ".mgh"],
        conversion: "convert it with FreeSurfer's `mri_convert IN OUT.nii.gz`, or with nibabel",
    },
    UnsupportedFormat {
        name: "NIfTI or Analyze in a pair of files",
        endings: &[".hdr", ".img", ".hdr.gz", ".img.gz"],
        conversion: WITH_NIBABEL,
    },
    UnsupportedFormat { name: "MINC", endings: &[".mnc"], conversion: WITH_NIBABEL },
    UnsupportedFormat {
        name: "NIfTI that is not compressed with gzip",
        endings: &[".nii.bz2", ".nii.xz", ".nii.zst", ".nii.zip", ".nii.7z"],
        conversion: "decompress it to a `.nii` file",
    },
    UnsupportedFormat {
        name: "NumPy",
        endings: &[".npy", ".npz"],
        conversion: "an array has no voxel spacing: write it as NIfTI with its affine, \
                     `nibabel.save(nibabel.Nifti1Image(array, affine), \"OUT.nii.gz\")`",
    },
    UnsupportedFormat {
        name: "PNG, JPEG, TIFF or BMP",
        endings: &[".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"],
        conversion: "write the slices of a volume into one NIfTI file with their spacing, for example with SimpleITK",
    },
];

/// Returns the format of a path by its name if that cannot be read.
pub fn unsupported_format(path: &Path) -> Option<UnsupportedFormat> {
    let is_readable = FORMATS.iter().any(|format| format.handles(path));
    let of_path = |format: &&UnsupportedFormat| format.endings.iter().any(|ending| has_ending(path, ending));
    UNSUPPORTED.iter().find(of_path).filter(|_| !is_readable).copied()
}

/// Returns the first file of a folder, by name, whose format cannot be read, with that format.
pub fn unsupported_in(folder: &Path) -> Option<(PathBuf, UnsupportedFormat)> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_hidden = |path: &PathBuf| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let mut files: Vec<PathBuf> = entries.filter(|path| !is_hidden(path) && path.is_file()).collect();
    files.sort();
    files.into_iter().find_map(|path| unsupported_format(&path).map(|format| (path, format)))
}

/// Returns the error of a path that cannot be read: which format it has, or that it is a folder, if that is why.
pub(super) fn explained(path: &Path, error: ImageError) -> ImageError {
    if path.is_dir() {
        return match unsupported_in(path) {
            Some((_, format)) => ImageError::Unsupported { path: path.to_owned(), format, is_folder: true },
            None => ImageError::Folder { path: path.to_owned() },
        };
    }
    match unsupported_format(path) {
        Some(format) if path.exists() => ImageError::Unsupported { path: path.to_owned(), format, is_folder: false },
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::read_header;

    #[test]
    fn files_and_folders_of_other_formats_are_refused_by_name_with_their_conversion() {
        let folder = tempfile::tempdir().unwrap();
        let series = folder.path().join("series");
        std::fs::create_dir(&series).unwrap();
        for (file, expected) in [
            ("a.nrrd", "NRRD cannot be read; convert it with SimpleITK"),
            ("A.MHA", "MetaImage cannot be read"),
            ("a.mgz", "mri_convert"),
            ("a.nii.bz2", "decompress it"),
            ("a.img", "NIfTI or Analyze in a pair of files cannot be read"),
            ("a.npz", "no voxel spacing"),
            ("a.png", "write the slices of a volume into one NIfTI file"),
            ("series/1.dcm", "dcm2niix"),
        ] {
            let path = folder.path().join(file);
            std::fs::write(&path, "not an image").unwrap();
            let error = read_header(&path).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with(&path.display().to_string()) && message.contains(expected), "{message}");
            assert!(error.is_wrong_path());
        }
        let message = read_header(&series).unwrap_err().to_string();
        assert!(
            message.contains("is a folder with files that cannot be read (DICOM)") && message.contains("dcm2niix"),
            "{message}"
        );
    }

    #[test]
    fn a_folder_and_a_missing_file_are_wrong_paths_and_a_damaged_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_header(folder.path()).unwrap_err();
        assert!(error.is_wrong_path() && error.to_string().contains("is a folder"), "{error}");
        assert!(read_header(&folder.path().join("absent.nrrd")).unwrap_err().is_wrong_path());
        let damaged = folder.path().join("a.nii");
        std::fs::write(&damaged, "damaged").unwrap();
        assert!(!read_header(&damaged).unwrap_err().is_wrong_path());
    }

    #[test]
    fn no_ending_is_that_of_two_formats() {
        let all: Vec<&str> = UNSUPPORTED.iter().flat_map(|format| format.endings).copied().collect();
        for ending in &all {
            assert!(ending.starts_with('.') && *ending == ending.to_lowercase(), "{ending}");
            assert_eq!(all.iter().filter(|other| *other == ending).count(), 1, "{ending}");
        }
    }
}
