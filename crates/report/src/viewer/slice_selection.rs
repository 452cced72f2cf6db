//! Which slices are worth showing.

/// At most so many slices, spread evenly from the first to the last that has voxels; over all where none has.
pub fn evenly_spaced(voxels: &[u32], most: usize) -> Vec<usize> {
    let first = voxels.iter().position(|count| *count > 0);
    let last = voxels.iter().rposition(|count| *count > 0);
    let (first, last) = first.zip(last).unwrap_or((0, voxels.len() - 1));
    let span = last - first + 1;
    let count = span.min(most);
    (0..count).map(|place| first + (2 * place + 1) * span / (2 * count)).collect()
}

/// At most so many slices with the most voxels, apart from one another, in the order of the slices.
///
/// The largest is taken first, then the largest of those that lie far enough from all that were
/// taken, so that one large error does not hide the others; none has no voxels.
pub fn largest_separated(voxels: &[u32], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..voxels.len()).filter(|slice| voxels[*slice] > 0).collect();
    let apart = (order.len() / (2 * most.max(1))).max(1);
    order.sort_by_key(|slice| std::cmp::Reverse(voxels[*slice]));
    let mut chosen: Vec<usize> = Vec::new();
    for slice in order {
        if chosen.len() < most && chosen.iter().all(|other| other.abs_diff(slice) >= apart) {
            chosen.push(slice);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// The slice with the most voxels; the first of equals, the middle one where none has any.
pub fn largest_slice(voxels: &[u32]) -> usize {
    let most = voxels.iter().copied().max().unwrap_or(0);
    if most == 0 { voxels.len() / 2 } else { voxels.iter().position(|count| *count == most).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_spread_over_those_with_labels() {
        assert_eq!(evenly_spaced(&[0, 0, 1, 5, 0, 2, 0], 9), [2, 3, 4, 5]);
        assert_eq!(evenly_spaced(&[0, 1, 1, 1, 1, 1, 1, 1, 1, 0], 2), [3, 7]);
        assert_eq!(evenly_spaced(&[0; 4], 2), [1, 3]);
        assert_eq!(evenly_spaced(&[0], 12), [0]);
    }

    #[test]
    fn the_largest_are_shown_apart_from_one_another() {
        assert_eq!(largest_separated(&[0, 3, 9, 8, 7, 1, 1, 2], 1), [2]);
        // Seven slices hold voxels, so two that are shown lie at least one apart.
        assert_eq!(largest_separated(&[0, 3, 9, 8, 7, 1, 1, 2], 2), [2, 3]);
        assert_eq!(largest_separated(&[1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 9], 2), [6, 11]);
        assert!(largest_separated(&[0; 5], 3).is_empty());
    }

    #[test]
    fn the_fullest_slice_is_the_first_of_equals_and_else_the_middle() {
        assert_eq!((largest_slice(&[0, 4, 4]), largest_slice(&[0; 8])), (1, 4));
    }
}
