//! Measuring every subject, a few at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::intensities::{ChannelIntensities, Sampled, samples_per_subject};
use super::labels::occurrences;
use super::subject::{Measured, measure};
use super::{DatasetFingerprint, FORMAT};
use dataset::expected_channels::ExpectedChannels;
use dataset::subject::Subject;

/// The maximum number of subjects in memory at once.
const MAX_SUBJECTS_IN_MEMORY: usize = 8;

/// What became of reading the subjects.
#[derive(Debug)]
pub enum Extraction {
    /// All were read.
    Done(DatasetFingerprint),
    /// Some cannot be used; all others were read too.
    Unreadable(Vec<Unreadable>),
    /// No subject has a voxel above label 0.
    NoForeground,
    /// The stop flag was set.
    Stopped,
}

/// A subject that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its name.
    pub subject: String,
    /// Why, with the file.
    pub reason: String,
}

/// Reads every subject and summarizes the dataset; the result does not depend on the number of threads.
///
/// Every image must have `channels` channels if that is known, else as many as most have. `progress` receives the number of
/// subjects that have been read and the total. When `stop` is set, no further subject is read.
pub fn extract(
    subjects: &[Subject],
    channels: Option<usize>,
    stop: &AtomicBool,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Extraction {
    let samples = samples_per_subject(subjects.len());
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::with_capacity(subjects.len()), progress));
    let work = || {
        while !stop.load(Ordering::Relaxed)
            && let Some(subject) = subjects.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let measured = measure(subject, samples)
                .map_err(|error| Unreadable { subject: subject.name.clone(), reason: error.to_string() });
            let mut done = done.lock().expect("reporting progress does not panic");
            done.0.push(measured);
            let count = done.0.len();
            (done.1)(count, subjects.len());
        }
    };
    // Not rayon's threads: a waiting one would start another subject, and memory would grow without bound.
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
        let workers = MAX_SUBJECTS_IN_MEMORY.min(rayon::current_num_threads()).min(subjects.len());
        if (0..workers).map_while(spawn).count() == 0 {
            work();
        }
    });
    let (results, _) = done.into_inner().expect("reporting progress does not panic");
    if stop.load(Ordering::Relaxed) && results.len() < subjects.len() {
        return Extraction::Stopped;
    }
    summarize(results, subjects, channels)
}

fn summarize(results: Vec<Result<Measured, Unreadable>>, files: &[Subject], declared: Option<usize>) -> Extraction {
    let (mut measured, mut unreadable) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(subject) => measured.push(subject),
            Err(error) => unreadable.push(error),
        }
    }
    unreadable.extend(other_channel_counts(&measured, files, declared));
    if !unreadable.is_empty() {
        unreadable.sort_by(|a, b| a.subject.cmp(&b.subject));
        return Extraction::Unreadable(unreadable);
    }
    measured.sort_by(|a, b| a.fingerprint.name.cmp(&b.fingerprint.name));
    let count = measured.first().map_or(0, |subject| subject.channels.len());
    let mut sampled: Vec<Vec<Sampled>> = (0..count).map(|_| Vec::with_capacity(measured.len())).collect();
    let labels = occurrences(measured.iter().map(|subject| (&subject.fingerprint, &subject.labels)));
    let mut subjects = Vec::with_capacity(measured.len());
    for Measured { fingerprint, channels, .. } in measured {
        subjects.push(fingerprint);
        sampled.iter_mut().zip(channels).for_each(|(all, channel)| all.push(channel));
    }
    let Some(channels) = sampled.into_iter().map(ChannelIntensities::of).collect() else {
        return Extraction::NoForeground;
    };
    let median_relative_size_after_cropping = DatasetFingerprint::median_relative_size(&subjects);
    Extraction::Done(DatasetFingerprint {
        format: FORMAT,
        subjects,
        channels,
        max_label: labels.last().map_or(0, |one| one.label),
        labels,
        median_relative_size_after_cropping,
    })
}

/// Returns the subjects whose images have another number of channels than the others.
fn other_channel_counts(measured: &[Measured], files: &[Subject], declared: Option<usize>) -> Vec<Unreadable> {
    let counts = measured.iter().map(|subject| subject.channels.len());
    let Some(expected) = ExpectedChannels::of(counts, declared) else { return Vec::new() };
    let others = measured.iter().filter(|subject| subject.channels.len() != expected.count);
    let unreadable = |subject: &Measured| {
        let name = &subject.fingerprint.name;
        let images = files.iter().find(|files| files.name == *name).map_or(&[][..], |files| &files.images);
        Unreadable { subject: name.clone(), reason: expected.difference(images, subject.channels.len()) }
    };
    others.map(unreadable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use volume::{Affine, Grid, Voxels, io};

    /// Writes a subject whose image is 0 outside one box, with a label in one voxel.
    fn write(folder: &Path, name: &str) -> Subject {
        let [image, label] = ["image", "label"].map(|kind| folder.join(format!("{name}_{kind}.nii.gz")));
        let grid = Grid { shape: [4, 4, 4], affine: Affine::scale_and_shift([-1.0, 1.0, 2.5], [0.0; 3]) };
        let values = (0..64).map(|index| if index < 16 { 0.0 } else { index as f32 }).collect();
        io::write_image(&image, &grid, &Voxels::new(1, grid.shape, values)).unwrap();
        let labels = (0..64).map(|index| u16::from(index == 20 || index == 3)).collect();
        io::write_label(&label, &grid, &Voxels::new(1, grid.shape, labels)).unwrap();
        Subject { name: name.to_owned(), images: vec![image], label: Some(label) }
    }

    #[test]
    fn a_dataset_is_summarized_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        let subjects = ["b", "a"].map(|name| write(folder.path(), name));
        let mut steps = Vec::new();
        let extraction =
            extract(&subjects, None, &AtomicBool::new(false), &mut |done, total| steps.push((done, total)));
        let Extraction::Done(fingerprint) = extraction else { panic!("{extraction:?}") };
        assert_eq!(steps, [(1, 2), (2, 2)]);
        let first = &fingerprint.subjects[0];
        assert_eq!((first.name.as_str(), first.orientation.as_str()), ("a", "LAS"));
        assert_eq!((first.shape_after_crop, first.spacing_mm), ([3, 4, 4], [1.0, 1.0, 2.5]));
        // The label outside the non-zero box is not foreground.
        assert_eq!(
            (first.foreground_voxels, fingerprint.channels[0].mean, fingerprint.channels[0].std),
            (1, 20.0, 0.0)
        );
        assert_eq!(fingerprint.median_relative_size_after_cropping, 0.75);
        let file = folder.path().join("fingerprint.json");
        std::fs::write(&file, fingerprint.to_json()).unwrap();
        assert_eq!(DatasetFingerprint::read(&file), Ok(fingerprint));
    }

    #[test]
    fn a_damaged_subject_is_named_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let subjects = ["a", "b", "c"].map(|name| write(folder.path(), name));
        std::fs::write(&subjects[1].images[0], b"damaged").unwrap();
        std::fs::remove_file(subjects[2].label.as_ref().unwrap()).unwrap();
        let extraction = extract(&subjects, None, &AtomicBool::new(false), &mut |_, _| {});
        let Extraction::Unreadable(unreadable) = extraction else { panic!("{extraction:?}") };
        let names: Vec<&str> = unreadable.iter().map(|one| one.subject.as_str()).collect();
        assert_eq!(names, ["b", "c"]);
        assert!(unreadable[0].reason.contains("b_image.nii.gz"), "{unreadable:?}");
    }

    /// Replaces the image of a subject by one of several channels.
    fn write_channels(subject: &Subject, channels: usize) {
        let (grid, _) = io::read_image(&subject.images[0]).unwrap();
        let image = Voxels::new(channels, grid.shape, vec![1.0; 64 * channels]);
        io::write_image(&subject.images[0], &grid, &image).unwrap();
    }

    fn unreadable(subjects: &[Subject], channels: Option<usize>) -> Vec<String> {
        match extract(subjects, channels, &AtomicBool::new(false), &mut |_, _| {}) {
            Extraction::Unreadable(all) => all.iter().map(|one| format!("{}: {}", one.subject, one.reason)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn the_file_with_another_number_of_channels_than_declared_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let subjects = ["a", "b", "c"].map(|name| write(folder.path(), name));
        write_channels(&subjects[0], 4);
        let image = subjects[0].images[0].display();
        assert_eq!(unreadable(&subjects, Some(1)), [format!("a: {image} has 4 channels, but the dataset declares 1")]);
        // Without a declaration, or if no image has the declared number, the majority decides.
        for declared in [None, Some(2)] {
            assert_eq!(unreadable(&subjects, declared), [format!("a: {image} has 4 channels, but most images have 1")]);
        }
        write_channels(&subjects[1], 4);
        write_channels(&subjects[2], 4);
        assert_eq!(unreadable(&subjects, Some(1)), [""; 0]);
    }

    #[test]
    fn of_several_files_the_one_with_several_channels_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let [mut a, mut b, other, two] = ["a", "b", "t2", "two"].map(|name| write(folder.path(), name));
        write_channels(&two, 2);
        a.images.push(other.images[0].clone());
        b.images.push(two.images[0].clone());
        let file = two.images[0].display();
        let expected = format!(
            "b: its 2 image files have 3 channels together ({file} has 2 channels), but the dataset declares 2"
        );
        assert_eq!(unreadable(&[a, b], Some(2)), [expected]);
    }

    #[test]
    fn labels_are_counted_over_the_whole_volume_and_their_first_subjects_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let subjects = ["e", "d", "c", "b", "a"].map(|name| write(folder.path(), name));
        let (grid, label) = io::read_label(subjects[1].label.as_ref().unwrap()).unwrap();
        let mut label = label.to_vec();
        label[63] = 9;
        io::write_label(subjects[1].label.as_ref().unwrap(), &grid, &Voxels::new(1, grid.shape, label)).unwrap();
        let extraction = extract(&subjects, None, &AtomicBool::new(false), &mut |_, _| {});
        let Extraction::Done(fingerprint) = extraction else { panic!("{extraction:?}") };
        let found: Vec<_> =
            fingerprint.labels.iter().map(|one| (one.label, one.subjects, one.first.join(" "))).collect();
        assert_eq!(found, [(1, 5, "a b c".to_owned()), (9, 1, "d".to_owned())]);
        assert_eq!(fingerprint.max_label, 9);
    }

    #[test]
    fn a_set_flag_stops_before_the_next_subject() {
        let folder = tempfile::tempdir().unwrap();
        let subjects = [write(folder.path(), "a")];
        assert!(matches!(extract(&subjects, None, &AtomicBool::new(true), &mut |_, _| {}), Extraction::Stopped));
    }
}
