use std::fs::File;

use super::map_unchanging;

#[test]
fn a_mapped_file_outlives_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "bytes").unwrap();
    let map = map_unchanging(&File::open(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(&map[..], b"bytes");
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use std::arch::x86_64::*;

    use crate::trusted::{Corners, LANES, for_avx2, for_avx512, has_avx2, has_avx512, look_up, store_reals};

    /// At each of eight offsets the values at both x, both y and both z.
    type Read = [[[[f32; LANES]; 2]; 2]; 2];

    for_avx2! {
        fn read(corners: &Corners, at: [i64; LANES]) -> Read {
            let [a, b, c, d, e, f, g, h] = at.map(|at| at as i32);
            let read = corners.at(_mm256_set_epi32(h, g, f, e, d, c, b, a));
            let mut out = [[[[0.0; LANES]; 2]; 2]; 2];
            for (x, y) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let [low, high] = &mut out[x][y];
                store_reals(read[x][y].0, low);
                store_reals(read[x][y].1, high);
            }
            out
        }
    }

    for_avx512! {
        fn gather(corners: &Corners, at: [i64; LANES]) -> Read {
            let [a, b, c, d, e, f, g, h] = at;
            let read = corners.gathered(_mm512_set_epi64(h, g, f, e, d, c, b, a));
            let mut out = [[[[0.0; LANES]; 2]; 2]; 2];
            for (x, y) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let [low, high] = &mut out[x][y];
                let pairs = _mm512_castps_si512(read[x][y]);
                store_reals(_mm256_castsi256_ps(_mm512_cvtepi64_epi32(pairs)), low);
                store_reals(_mm256_castsi256_ps(_mm512_cvtepi64_epi32(_mm512_srli_epi64::<32>(pairs))), high);
            }
            out
        }
    }

    /// A way to read at eight offsets.
    type Way = fn(&Corners, [i64; LANES]) -> Option<Read>;

    /// The ways to read that this processor has.
    fn ways() -> Vec<Way> {
        let ways: [(bool, &str, Way); 2] = [(has_avx2(), "AVX2", read), (has_avx512(), "AVX-512", gather)];
        ways.iter().filter(|(has, ..)| !has).for_each(|(_, what, _)| eprintln!("skipped: needs {what}"));
        ways.into_iter().filter(|(has, ..)| *has).map(|(.., way)| way).collect()
    }

    /// The same with a look at each bound.
    fn read_safely(values: &[f32], [size_y, size_z]: [usize; 2], at: [i64; LANES]) -> Read {
        let voxel = |at: i64, [x, y, z]: [usize; 3]| values[at as usize + (x * size_y + y) * size_z + z];
        std::array::from_fn(|x| std::array::from_fn(|y| std::array::from_fn(|z| at.map(|at| voxel(at, [x, y, z])))))
    }

    #[test]
    fn corners_are_those_of_reads_that_look_at_each_bound() {
        let values: Vec<f32> = (0..7 * 9 * 11).map(|index| (index * 7919 % 1009) as f32).collect();
        for (sizes, read) in [[9, 11], [11, 9], [1, 1], [3, 7]]
            .into_iter()
            .flat_map(|sizes| ways().into_iter().map(move |way| (sizes, way)))
        {
            let corners = Corners::new(&values, sizes).unwrap();
            let last = i64::from(corners.last);
            for round in 0..500 {
                let at: [i64; LANES] = std::array::from_fn(|lane| (round * 467 + lane as i64 * 131) % (last + 1));
                assert_eq!(read(&corners, at), Some(read_safely(&values, sizes, at)));
            }
            let ends = [0, last, 0, last, 0, 0, 0, last];
            assert_eq!(read(&corners, ends), Some(read_safely(&values, sizes, ends)));
        }
    }

    #[test]
    fn the_last_offset_is_the_largest_that_reads_with_bounds_allow() {
        for (count, sizes) in [(7 * 9 * 11, [9, 11]), (12, [2, 3]), (8, [2, 2])] {
            let values = vec![0.0; count];
            let last = i64::from(Corners::new(&values, sizes).unwrap().last);
            let read = |at| std::panic::catch_unwind(|| read_safely(&vec![0.0; count], sizes, [at; LANES]));
            assert!(read(last).is_ok());
            assert!(read(last + 1).is_err());
        }
        assert!(Corners::new(&[0.0; 7], [2, 2]).is_none());
        assert!(Corners::new(&[0.0; 7], [usize::MAX, 2]).is_none());
    }

    for_avx2! {
        fn looked_up(values: &[u16], at: [i32; LANES]) -> [u16; LANES] {
            let [a, b, c, d, e, f, g, h] = at;
            look_up(values, _mm256_set_epi32(h, g, f, e, d, c, b, a))
        }
    }

    #[test]
    fn values_are_looked_up_within_the_array_alone() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values: Vec<u16> = (0..500).map(|index| index * 3).collect();
        let at = [0, 499, 7, 7, 250, 3, 498, 1];
        assert_eq!(looked_up(&values, at), Some(at.map(|at| at as u16 * 3)));
        for (lane, offset) in (0..LANES).flat_map(|lane| [-1, 500, i32::MIN, i32::MAX].map(|offset| (lane, offset))) {
            let mut at = at;
            at[lane] = offset;
            assert!(std::panic::catch_unwind(|| looked_up(&values, at)).is_err(), "{at:?}");
        }
        assert!(std::panic::catch_unwind(|| looked_up(&[], [0; LANES])).is_err());
    }

    #[test]
    fn an_offset_outside_of_the_block_is_not_read() {
        let values = [0.0; 7 * 9 * 11];
        let corners = Corners::new(&values, [9, 11]).unwrap();
        let last = i64::from(corners.last);
        for read in ways() {
            assert!(read(&corners, [last; LANES]).is_some());
            for (lane, offset) in (0..LANES)
                .flat_map(|lane| [-1, i64::from(i32::MIN), last + 1, i64::from(i32::MAX)].map(|offset| (lane, offset)))
            {
                let mut at = [last; LANES];
                at[lane] = offset;
                assert!(std::panic::catch_unwind(|| read(&corners, at)).is_err(), "{at:?}");
            }
        }
    }

    #[test]
    fn an_offset_of_more_than_32_bits_is_not_gathered() {
        if !has_avx512() {
            return eprintln!("skipped: needs AVX-512");
        }
        let values = [0.0; 7 * 9 * 11];
        let corners = Corners::new(&values, [9, 11]).unwrap();
        for offset in [1 << 32, i64::MIN, i64::MAX] {
            assert!(std::panic::catch_unwind(|| gather(&corners, [offset; LANES])).is_err(), "{offset}");
        }
    }
}
