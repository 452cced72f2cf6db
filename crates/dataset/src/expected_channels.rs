//! The number of channels of a dataset's images, and images that have another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use volume::io;

/// The number of channels that every image of a dataset should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedChannels {
    /// The number.
    pub count: usize,
    /// Whether the dataset declares it; else most images have it.
    pub is_declared: bool,
}

impl ExpectedChannels {
    /// Returns the declared number if any image has it, else the one that most images have; `counts` are those of the images.
    pub fn of(counts: impl IntoIterator<Item = usize>, declared: Option<usize>) -> Option<Self> {
        let mut images_of: BTreeMap<usize, usize> = BTreeMap::new();
        counts.into_iter().for_each(|count| *images_of.entry(count).or_default() += 1);
        if let Some(count) = declared.filter(|declared| images_of.contains_key(declared)) {
            return Some(Self { count, is_declared: true });
        }
        // Of equally frequent numbers, the smallest.
        let most = images_of.iter().min_by_key(|(_, images)| std::cmp::Reverse(**images))?;
        Some(Self { count: *most.0, is_declared: false })
    }

    /// Says that image files have another number of channels, and which of several files has more than one.
    pub fn difference(self, images: &[PathBuf], channels: usize) -> String {
        let has = |path: &Path, channels: usize| {
            format!("{} has {channels} channel{}", path.display(), if channels == 1 { "" } else { "s" })
        };
        let several = |path: &PathBuf| {
            let channels = io::read_header(path).ok()?.channels;
            (channels > 1).then(|| has(path, channels))
        };
        let found = match images {
            [image] => has(image, channels),
            images => {
                let several: Vec<String> = images.iter().filter_map(several).collect();
                let which = if several.is_empty() { String::new() } else { format!(" ({})", several.join(", ")) };
                format!("its {} image files have {channels} channels together{which}", images.len())
            }
        };
        let who = if self.is_declared { "the dataset declares" } else { "most images have" };
        format!("{found}, but {who} {}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_number_counts_if_any_image_has_it_and_else_that_of_most() {
        let of = |counts: &[usize], declared| {
            ExpectedChannels::of(counts.iter().copied(), declared).map(|one| (one.count, one.is_declared))
        };
        assert_eq!(of(&[4, 1, 1], Some(4)), Some((4, true)));
        assert_eq!(of(&[4, 1, 1], Some(2)), Some((1, false)));
        assert_eq!(of(&[4, 4, 1], None), Some((4, false)));
        assert_eq!(of(&[4, 1], None), Some((1, false)));
        assert_eq!(of(&[], Some(1)), None);
    }
}
