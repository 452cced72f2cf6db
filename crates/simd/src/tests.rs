use std::fs::File;

use super::map_immutable_file;

#[test]
fn a_mapped_file_outlives_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "bytes").unwrap();
    let map = map_immutable_file(&File::open(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(&map[..], b"bytes");
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use std::arch::x86_64::*;

    use crate::{CornerGather, Gather, GatherIndices, LANES, MAX_GROUPS, for_avx2, has_avx2, store_f32x8};

    /// At each of eight positions the values at both x, both y and both z.
    type Read = [[[[f32; LANES]; 2]; 2]; 2];

    for_avx2! {
        fn add(positions: &mut GatherIndices, at: &[i32; LANES]) {
            let [a, b, c, d, e, f, g, h] = *at;
            positions.add(_mm256_set_epi32(h, g, f, e, d, c, b, a));
        }
    }

    /// A group that lies in every array, and one at these positions.
    fn positions(at: &[i32; LANES]) -> GatherIndices {
        let mut positions = GatherIndices::new();
        add(&mut positions, &[0; LANES]).unwrap();
        add(&mut positions, at).unwrap();
        positions
    }

    for_avx2! {
        fn read(corners: &CornerGather, at: &[i32; LANES]) -> Read {
            let positions = positions(at);
            let read = corners.of(&positions).group(1);
            let mut out = [[[[0.0; LANES]; 2]; 2]; 2];
            for (x, y) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let [low, high] = &mut out[x][y];
                store_f32x8(read[x][y].0, low);
                store_f32x8(read[x][y].1, high);
            }
            out
        }
    }

    /// The same with a look at each bound.
    fn read_safely(values: &[f32], [size_y, size_z]: [usize; 2], at: [i32; LANES]) -> Read {
        let voxel = |at: i32, [x, y, z]: [usize; 3]| values[at as usize + (x * size_y + y) * size_z + z];
        std::array::from_fn(|x| std::array::from_fn(|y| std::array::from_fn(|z| at.map(|at| voxel(at, [x, y, z])))))
    }

    #[test]
    fn corners_are_those_of_reads_that_look_at_each_bound() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values: Vec<f32> = (0..7 * 9 * 11).map(|index| (index * 7919 % 1009) as f32).collect();
        for sizes in [[9, 11], [11, 9], [1, 1], [3, 7]] {
            let corners = CornerGather::new(&values, sizes).unwrap();
            let last = corners.last;
            for round in 0..500 {
                let at: [i32; LANES] = std::array::from_fn(|lane| (round * 467 + lane as i32 * 131) % (last + 1));
                assert_eq!(read(&corners, &at), Some(read_safely(&values, sizes, at)));
            }
            let ends = [0, last, 0, last, 0, 0, 0, last];
            assert_eq!(read(&corners, &ends), Some(read_safely(&values, sizes, ends)));
        }
    }

    #[test]
    fn the_last_position_is_the_largest_that_reads_with_bounds_allow() {
        for (count, sizes) in [(7 * 9 * 11, [9, 11]), (12, [2, 3]), (8, [2, 2])] {
            let values = vec![0.0; count];
            let last = CornerGather::new(&values, sizes).unwrap().last;
            let read = |at| std::panic::catch_unwind(|| read_safely(&vec![0.0; count], sizes, [at; LANES]));
            assert!(read(last).is_ok());
            assert!(read(last + 1).is_err());
        }
        assert!(CornerGather::new(&[0.0; 7], [2, 2]).is_none());
        assert!(CornerGather::new(&[0.0; 7], [usize::MAX, 2]).is_none());
    }

    fn looked_up(values: &[u16], at: &[i32; LANES]) -> [u16; LANES] {
        Gather::new(values, &positions(at)).group(1)
    }

    #[test]
    fn positions_are_those_that_were_added_since_they_were_cleared() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let mut positions = positions(&[i32::MAX; LANES]);
        assert_eq!(positions.groups(), [[0; LANES], [i32::MAX; LANES]]);
        positions.clear();
        let groups: Vec<[i32; LANES]> =
            (0..MAX_GROUPS as i32).map(|group| std::array::from_fn(|at| group + at as i32)).collect();
        for group in &groups {
            assert!(positions.has_room());
            add(&mut positions, group).unwrap();
        }
        assert!(!positions.has_room());
        assert_eq!(positions.groups(), groups);
        // What was cleared is not among the largest any more.
        assert_eq!(Gather::new(&[7u16; 30], &positions).group(MAX_GROUPS - 1), [7; LANES]);
        assert!(std::panic::catch_unwind(move || add(&mut positions, &[0; LANES])).is_err());
    }

    #[test]
    fn values_are_looked_up_within_the_array_alone() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values: Vec<u16> = (0..500).map(|index| index * 3).collect();
        let at = [0, 499, 7, 7, 250, 3, 498, 1];
        assert_eq!(looked_up(&values, &at), at.map(|at| at as u16 * 3));
        for (lane, offset) in (0..LANES).flat_map(|lane| [-1, 500, i32::MIN, i32::MAX].map(|offset| (lane, offset))) {
            let mut at = at;
            at[lane] = offset;
            assert!(std::panic::catch_unwind(|| looked_up(&values, &at)).is_err(), "{at:?}");
        }
        assert!(std::panic::catch_unwind(|| looked_up(&[], &[0; LANES])).is_err());
    }

    #[test]
    fn a_position_outside_of_the_block_is_not_read() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values = [0.0; 7 * 9 * 11];
        let corners = CornerGather::new(&values, [9, 11]).unwrap();
        assert!(read(&corners, &[corners.last; LANES]).is_some());
        for lane in 0..LANES {
            for position in [-1, i32::MIN, corners.last + 1, i32::MAX] {
                let mut at = [corners.last; LANES];
                at[lane] = position;
                assert!(std::panic::catch_unwind(|| read(&corners, &at)).is_err(), "{at:?}");
            }
        }
    }
}
