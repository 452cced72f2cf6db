//! The cases to predict: their images and their names.

use std::path::{Path, PathBuf};

use clap::Args;

use super::channel_patterns::from_channels;
use crate::commands::evaluate::pairs::no_images;
use crate::terminal::CliError;
use dataset::alignment::Role;
use dataset::channels::{group_channels, split_channel, with_channel};
use dataset::sources::{self, DatasetError, Source, TableSource, find_files};
use dataset::subject::Subject;
use values::is_file_name;
use volume::io::{self, unsupported_format, unsupported_in};

/// Where the images are: files and folders, a table, or one pattern per channel.
#[derive(Debug, Args)]
pub(super) struct Images {
    /// Images to predict: `.nii` or `.nii.gz` files, folders of them, or glob patterns. Where the network takes several
    /// channels, `CASE_0000.nii.gz`, `CASE_0001.nii.gz`, … are one case, as in nnU-Net.
    #[arg(value_name = "IMAGE", required_unless_present_any = ["table", "channels"])]
    images: Vec<PathBuf>,
    /// CSV table with a row per case and the columns `subject`, `image` and, for further channels, `image_2`, `image_3`, …;
    /// paths are relative to the table.
    #[arg(long, value_name = "FILE.csv", conflicts_with_all = ["images", "channels"])]
    table: Option<PathBuf>,
    /// Image of a channel; repeat it for each channel, in the order of training. A glob pattern such as
    /// 'scans/*/t1.nii.gz' stands for many cases, which are named after the text in place of its wildcards.
    #[arg(long = "channel", value_name = "IMAGE", conflicts_with = "images")]
    channels: Vec<PathBuf>,
}

impl Images {
    /// Returns the cases for a network that takes images of `channels` channels; every problem is reported before anything
    /// is predicted.
    pub(super) fn cases(&self, channels: usize) -> Result<Vec<Subject>, CliError> {
        let cases = match &self.table {
            Some(table) => from_table(table)?,
            None if !self.channels.is_empty() => from_channels(&self.channels, channels)?,
            None => grouped(&files(&self.images)?, channels),
        };
        check_names(&cases)?;
        check_formats(&cases)?;
        check_channels(&cases, channels)?;
        Ok(cases)
    }
}

/// Returns the files of paths, which may be folders or patterns.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() && !io::is_image(path) {
            files.extend(images_in(path)?);
        } else if path.exists() {
            files.push(path.clone());
        } else {
            files.extend(matches(path)?);
        }
    }
    Ok(files)
}

/// Returns the cases of files, and warns of files that may be channels of one case if the network takes a single channel.
fn grouped(files: &[PathBuf], channels: usize) -> Vec<Subject> {
    if channels == 1 {
        let numbered = group_channels(files, None);
        if let Some(case) = numbered.iter().find(|case| case.images.len() > 1) {
            let (first, second) = (case.images[0].display(), case.images[1].display());
            eprintln!(
                "warning: {first} and {second} look like channels of one case, but the network takes 1 channel: each file is \
                 predicted as a case of its own"
            );
        }
    }
    group_channels(files, Some(channels))
}

/// Returns the images of a folder, in alphabetical order.
fn images_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
    let entries = entries.map_err(|error| CliError::Failure(format!("{}: {error}", folder.display())))?;
    let mut images: Vec<PathBuf> = entries.into_iter().filter(|path| io::is_image(path)).collect();
    images.sort();
    if !images.is_empty() {
        if let Some((file, format)) = unsupported_in(folder) {
            let (file, name) = (file.display(), format.name);
            eprintln!("warning: files that cannot be read are left out, such as {file} ({name})");
        }
        return Ok(images);
    }
    if let Some(error) = no_images(folder) {
        return Err(error);
    }
    let message = format!("{} has no images", folder.display());
    if let Some(inside) = ["imagesTs", "imagesTr"].map(|name| folder.join(name)).into_iter().find(|path| path.is_dir())
    {
        return Err(CliError::problem(message, format!("name the folder of its images, such as {}", inside.display())));
    }
    Err(CliError::problem(
        message,
        format!(
            "name a folder of {} files; for a folder per case, give a pattern such as --channel '{}'",
            io::endings(),
            folder.join("*").join(format!("image{}", io::DEFAULT_ENDING)).display()
        ),
    ))
}

/// Returns the files that match a pattern.
pub(super) fn matches(pattern: &Path) -> Result<Vec<PathBuf>, CliError> {
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return Err(CliError::problem(format!("{text}: No such file or directory"), "check the path"));
    }
    find_files(&text).map_err(dataset_error)
}

fn dataset_error(error: DatasetError) -> CliError {
    let message = error.to_string();
    CliError::problem(message, error.help())
}

/// Returns the cases of a table, whose label maps are not needed.
fn from_table(table: &Path) -> Result<Vec<Subject>, CliError> {
    let source = Source::from(TableSource { file: table.to_owned() });
    let listing = sources::list(&source, Path::new("")).map_err(dataset_error)?;
    let missing: Vec<_> = listing.incomplete.iter().filter(|missing| missing.role == Role::Image).collect();
    if let Some(first) = missing.first() {
        let others = if missing.len() > 1 {
            format!(", and {} more images are missing", missing.len() - 1)
        } else {
            String::new()
        };
        let message = format!("{}: case {}: {}{others}", table.display(), first.subject, first.reason);
        return Err(CliError::problem(message, "paths are relative to the table"));
    }
    Ok(listing.subjects.into_iter().map(|subject| Subject { label: None, ..subject }).collect())
}

/// Checks that no file has a format that cannot be read.
fn check_formats(cases: &[Subject]) -> Result<(), CliError> {
    let images = cases.iter().flat_map(|case| &case.images).filter(|image| unsupported_format(image).is_some());
    let mut wrong = images.filter_map(|image| io::read_header(image).err().filter(|error| error.is_wrong_path()));
    wrong.next().map_or(Ok(()), |error| Err(CliError::image(&error)))
}

/// Checks that every name is that of a file.
fn check_names(cases: &[Subject]) -> Result<(), CliError> {
    match cases.iter().find(|case| !is_file_name(&case.name)) {
        None => Ok(()),
        Some(case) => {
            let image = case.images.first().map(|image| image.display().to_string()).unwrap_or_default();
            let message = format!("{:?}, the name of the case of {image}, cannot be the name of a file", case.name);
            Err(CliError::problem(message, "name the case in a table for --table"))
        }
    }
}

/// Checks that no case is a single file of one channel if the network takes several; other mismatches are reported when the
/// image is read.
fn check_channels(cases: &[Subject], channels: usize) -> Result<(), CliError> {
    if channels == 1 {
        return Ok(());
    }
    let is_single = |case: &&Subject| {
        case.images.len() == 1 && io::read_header(&case.images[0]).is_ok_and(|header| header.channels == 1)
    };
    let single: Vec<&Subject> = cases.iter().filter(is_single).collect();
    let Some(first) = single.first() else { return Ok(()) };
    let others = match single.len() - 1 {
        0 => String::new(),
        1 => ", like 1 other file".to_owned(),
        count => format!(", like {count} other files"),
    };
    let last = channels - 1;
    let image = &first.images[0];
    if let Some(missing) = missing_channel(image, channels) {
        return Err(CliError::problem(
            format!(
                "{} does not exist, but {} does, and the network takes {channels} channels",
                missing.display(),
                image.display()
            ),
            "add the missing file, or move the files of incomplete cases elsewhere",
        ));
    }
    Err(CliError::problem(
        format!("{} has 1 channel{others}, but the network takes {channels}", image.display()),
        format!(
            "name the files of every case CASE_0000{0} to CASE_{last:04}{0}, list them with --table, or give --channel {channels} times",
            io::DEFAULT_ENDING
        ),
    ))
}

/// Returns the file of another channel that an image in nnU-Net's form lacks beside it, if it is in that form.
fn missing_channel(image: &Path, channels: usize) -> Option<PathBuf> {
    let case = io::case_name(image);
    let (name, number) = split_channel(&case)?;
    let ending = image.file_name()?.to_str()?.strip_prefix(&case)?;
    let files = (0..channels).map(|channel| image.with_file_name(format!("{}{ending}", with_channel(name, channel))));
    (number < channels).then(|| files.into_iter().find(|file| !file.exists()))?
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use volume::{Affine, Grid, Voxels};

    /// Writes images of one channel and returns the folder.
    pub(in super::super) fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let grid = Grid { shape: [1, 1, 2], affine: Affine::IDENTITY };
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            io::write_image(&path, &grid, &Voxels::new(1, grid.shape, vec![0.0; 2])).unwrap();
        }
        folder
    }

    pub(in super::super) fn named(cases: Result<Vec<Subject>, CliError>) -> Vec<(String, usize)> {
        cases.unwrap().into_iter().map(|case| (case.name, case.images.len())).collect()
    }

    fn images(paths: &[PathBuf]) -> Images {
        Images { images: paths.to_vec(), table: None, channels: Vec::new() }
    }

    #[test]
    fn a_folder_in_the_form_of_nnunet_has_a_case_for_all_of_its_channels() {
        let folder = folder(&["b_0001.nii.gz", "b_0000.nii.gz", "a_0000.nii.gz", "a_0001.nii.gz", ".hidden.nii.gz"]);
        std::fs::write(folder.path().join("dataset.json"), "{}").unwrap();
        let cases = images(&[folder.path().to_owned()]).cases(2);
        assert_eq!(named(cases), [("a".to_owned(), 2), ("b".to_owned(), 2)]);
    }

    #[test]
    fn a_single_channel_keeps_names_that_only_look_like_channels() {
        let folder = folder(&["p_0000.nii.gz", "amos_0001.nii.gz"]);
        let case = |name: &str| named(images(&[folder.path().join(name)]).cases(1));
        assert_eq!(case("p_0000.nii.gz"), [("p".to_owned(), 1)]);
        assert_eq!(case("amos_0001.nii.gz"), [("amos_0001".to_owned(), 1)]);
    }

    #[test]
    fn files_that_are_no_whole_case_are_a_problem_before_anything_runs() {
        let folder = folder(&["a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz"]);
        let error = images(&[folder.path().to_owned()]).cases(2).unwrap_err();
        let names_it =
            error.message().contains("b_0001.nii.gz does not exist") && error.message().contains("b_0000.nii.gz");
        assert!(error.code() == 2 && names_it, "{error:?}");
        let folder = self::folder(&["a.nii.gz", "b.nii.gz"]);
        let error = images(&[folder.path().to_owned()]).cases(2).unwrap_err();
        assert!(error.code() == 2 && error.message().contains("has 1 channel, like 1 other file,"), "{error:?}");
    }

    #[test]
    fn a_table_names_cases_and_needs_no_label_maps() {
        let folder = folder(&["x/1.nii.gz", "x/2.nii.gz"]);
        let file = folder.path().join("cases.csv");
        std::fs::write(&file, "subject,image,image_2\nanna,x/1.nii.gz,x/2.nii.gz\n").unwrap();
        let table = Images { images: Vec::new(), table: Some(file.clone()), channels: Vec::new() };
        assert_eq!(named(table.cases(2)), [("anna".to_owned(), 2)]);
        std::fs::write(&file, "subject,image\nanna,x/absent.nii.gz\n").unwrap();
        let error = table.cases(1).unwrap_err();
        assert!(error.code() == 2 && error.message().contains("absent.nii.gz"), "{error:?}");
    }

    #[test]
    fn files_of_other_formats_are_a_problem_before_anything_runs() {
        let folder = folder(&["a.nii.gz"]);
        let other = folder.path().join("b.nrrd");
        std::fs::write(&other, "NRRD0004").unwrap();
        let error = images(&[folder.path().join("a.nii.gz"), other]).cases(1).unwrap_err();
        assert!(error.code() == 2 && error.message().contains("b.nrrd: NRRD cannot be read"), "{error:?}");
        // In a folder, the images that can be read are predicted.
        assert_eq!(named(images(&[folder.path().to_owned()]).cases(1)), [("a".to_owned(), 1)]);
        std::fs::remove_file(folder.path().join("a.nii.gz")).unwrap();
        let error = images(&[folder.path().to_owned()]).cases(1).unwrap_err();
        assert!(error.code() == 2 && error.message().contains("b.nrrd is NRRD"), "{error:?}");
    }

    #[test]
    fn a_path_that_exists_is_no_pattern() {
        let folder = folder(&["[2023] a.nii.gz", "b.nii.gz"]);
        let case = |name: &str| images(&[folder.path().join(name)]).cases(1);
        assert_eq!(named(case("[2023] a.nii.gz")), [("[2023] a".to_owned(), 1)]);
        assert_eq!(named(case("*.nii.gz")).len(), 2);
        assert_eq!(case("absent.nii.gz").unwrap_err().code(), 2);
    }
}
