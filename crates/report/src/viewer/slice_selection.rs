//! Selection of the slices to show.

/// Returns up to `max` slices, evenly spaced from the first to the last slice with voxels, or over all slices if none has
/// any.
///
/// `voxels` has the number of voxels of each slice, as in the other functions.
pub fn evenly_spaced(voxels: &[u32], max: usize) -> Vec<usize> {
    let first = voxels.iter().position(|count| *count > 0);
    let last = voxels.iter().rposition(|count| *count > 0);
    let (first, last) = first.zip(last).unwrap_or((0, voxels.len() - 1));
    let span = last - first + 1;
    let count = span.min(max);
    (0..count).map(|i| first + (2 * i + 1) * span / (2 * count)).collect()
}

/// Returns up to `max` slices with the most voxels, in slice order and with a minimum distance between them, so that one
/// large error does not hide the others. Slices without voxels are never selected.
pub fn largest_separated(voxels: &[u32], max: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..voxels.len()).filter(|slice| voxels[*slice] > 0).collect();
    let min_distance = (order.len() / (2 * max.max(1))).max(1);
    order.sort_by_key(|slice| std::cmp::Reverse(voxels[*slice]));
    let mut selected: Vec<usize> = Vec::new();
    for slice in order {
        if selected.len() < max && selected.iter().all(|other| other.abs_diff(slice) >= min_distance) {
            selected.push(slice);
        }
    }
    selected.sort_unstable();
    selected
}

/// Returns the slice with the most voxels, the first if there are several, or the middle slice if none has any.
pub fn largest_slice(voxels: &[u32]) -> usize {
    let max = voxels.iter().copied().max().unwrap_or(0);
    if max == 0 { voxels.len() / 2 } else { voxels.iter().position(|count| *count == max).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spaced_slices_cover_those_with_voxels() {
        assert_eq!(evenly_spaced(&[0, 0, 1, 5, 0, 2, 0], 9), [2, 3, 4, 5]);
        assert_eq!(evenly_spaced(&[0, 1, 1, 1, 1, 1, 1, 1, 1, 0], 2), [3, 7]);
        assert_eq!(evenly_spaced(&[0; 4], 2), [1, 3]);
        assert_eq!(evenly_spaced(&[0], 12), [0]);
    }

    #[test]
    fn the_largest_slices_keep_a_minimum_distance() {
        assert_eq!(largest_separated(&[0, 3, 9, 8, 7, 1, 1, 2], 1), [2]);
        // Seven slices have voxels, so the minimum distance of two is one.
        assert_eq!(largest_separated(&[0, 3, 9, 8, 7, 1, 1, 2], 2), [2, 3]);
        assert_eq!(largest_separated(&[1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 9], 2), [6, 11]);
        assert!(largest_separated(&[0; 5], 3).is_empty());
    }

    #[test]
    fn the_largest_slice_is_the_first_of_several_or_the_middle_without_voxels() {
        assert_eq!((largest_slice(&[0, 4, 4]), largest_slice(&[0; 8])), (1, 4));
    }
}
