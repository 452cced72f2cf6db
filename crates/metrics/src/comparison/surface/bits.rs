//! Masks with one bit a voxel: 64 neighbours along z are one number, and so is what happens to all of them.

use rayon::prelude::*;
use wide::u16x8;

use super::super::overlap::Extent;
use volume::Label;

/// Bits in a word.
const WORD: usize = u64::BITS as usize;

/// A set of points `[x, y, z]` of a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    pub shape: [usize; 3],
    /// Words of a row along z; bits behind its end are 0.
    words: usize,
    rows: Vec<u64>,
}

impl Bits {
    fn new(shape: [usize; 3], fill: impl Fn(usize, usize, &mut [u64]) + Sync) -> Self {
        let words = shape[2].div_ceil(WORD);
        let mut rows = vec![0; shape[0] * shape[1] * words];
        rows.par_chunks_mut(shape[1] * words).enumerate().for_each(|(x, slab)| {
            slab.chunks_mut(words).enumerate().for_each(|(y, row)| fill(x, y, row));
        });
        Self { shape, words, rows }
    }

    /// The voxels of a box of a label map with one of these labels.
    pub fn of_class(labels: &[Label], shape: [usize; 3], extent: &Extent, class: &[Label]) -> Self {
        let box_shape = [extent[0].len(), extent[1].len(), extent[2].len()];
        Self::new(box_shape, |x, y, row| {
            let start = ((extent[0].start + x) * shape[1] + extent[1].start + y) * shape[2];
            let labels = &labels[start + extent[2].start..start + extent[2].end];
            for (word, labels) in row.iter_mut().zip(labels.chunks(WORD)) {
                *word = membership(labels, class);
            }
        })
    }

    /// The 64 points of each word along the row at `[x, y]`.
    #[inline]
    pub fn row(&self, x: usize, y: usize) -> &[u64] {
        let start = (x * self.shape[1] + y) * self.words;
        &self.rows[start..start + self.words]
    }

    /// Whether it holds no point.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|word| *word == 0)
    }

    /// The places along z of the points of a row, in order.
    pub fn places(&self, x: usize, y: usize) -> impl Iterator<Item = usize> + '_ {
        let words = self.row(x, y).iter().enumerate();
        words.flat_map(|(index, word)| ones(*word).map(move |bit| index * WORD + bit))
    }

    /// Those of the places in a range of eight that starts at a multiple of eight.
    pub fn places_in_eight(&self, x: usize, y: usize, start: usize) -> impl Iterator<Item = usize> + '_ {
        let eight = self.row(x, y)[start / WORD] >> (start % WORD) & 0xff;
        ones(eight).map(move |bit| start + bit)
    }

    /// All points, in order.
    pub fn points(&self) -> impl Iterator<Item = [usize; 3]> + '_ {
        (0..self.shape[0]).flat_map(|x| self.slab(x))
    }

    /// The points of a slab, in order.
    pub fn slab(&self, x: usize) -> impl Iterator<Item = [usize; 3]> + '_ {
        (0..self.shape[1]).flat_map(move |y| self.places(x, y).map(move |z| [x, y, z]))
    }

    /// The points with a neighbour by a face that does not belong to the set; outside the box nothing does.
    pub fn edges(&self) -> Self {
        let [size_x, size_y, _] = self.shape;
        let nothing = vec![0; self.words];
        Self::new(self.shape, |x, y, edges| {
            let beside = |is_there: bool, x: usize, y: usize| if is_there { self.row(x, y) } else { &nothing };
            let around = [
                beside(x > 0, x.wrapping_sub(1), y),
                beside(x + 1 < size_x, x + 1, y),
                beside(y > 0, x, y.wrapping_sub(1)),
                beside(y + 1 < size_y, x, y + 1),
            ];
            let own = self.row(x, y);
            for (index, edge) in edges.iter_mut().enumerate() {
                let in_plane = around.iter().fold(u64::MAX, |all, row| all & row[index]);
                *edge = own[index] & !(in_plane & below(own, index) & above(own, index));
            }
        })
    }

    /// The corners of voxels, one more than voxels along each axis, at which voxels of the set and others meet. Corner
    /// `[x, y, z]` is that between voxels `x - 1` and `x`, and so on; outside the box no voxel belongs to the set.
    pub fn corners(&self) -> Self {
        let shape = self.shape.map(|size| size + 1);
        Self::new(shape, |x, y, corners| {
            let rows = self.rows_around(x, y);
            for (index, corner) in corners.iter_mut().enumerate() {
                let (mut any, mut all) = (0, u64::MAX);
                for row in rows {
                    let (own, before) = row.map_or((0, 0), |row| (word(row, index), below(row, index)));
                    any |= own | before;
                    all &= own & before;
                }
                *corner = any & !all;
            }
        })
    }

    /// Which of the eight voxels around a corner belong to the set; bit `4 dx + 2 dy + dz` is voxel
    /// `[x - 1 + dx, y - 1 + dy, z - 1 + dz]`.
    pub fn around_corner(&self, [x, y, z]: [usize; 3]) -> u8 {
        let rows = self.rows_around(x, y);
        let mut code = 0;
        for (place, row) in rows.into_iter().enumerate() {
            let is_in = |z: usize| u8::from(row.is_some_and(|row| word(row, z / WORD) >> (z % WORD) & 1 == 1));
            let before = if z > 0 { is_in(z - 1) } else { 0 };
            code |= (before | is_in(z) << 1) << (2 * place);
        }
        code
    }

    /// The rows `[x - 1, y - 1]`, `[x - 1, y]`, `[x, y - 1]` and `[x, y]`, where the box has them.
    fn rows_around(&self, x: usize, y: usize) -> [Option<&[u64]>; 4] {
        let row = |x: Option<usize>, y: Option<usize>| {
            let (x, y) = (x.filter(|x| *x < self.shape[0])?, y.filter(|y| *y < self.shape[1])?);
            Some(self.row(x, y))
        };
        let (left, before) = (x.checked_sub(1), y.checked_sub(1));
        [row(left, before), row(left, Some(y)), row(Some(x), before), row(Some(x), Some(y))]
    }
}

/// How far along its row the nearest point is from `z`, in voxels.
#[inline]
pub fn gap(row: &[u64], z: usize) -> Option<usize> {
    let (index, bit) = (z / WORD, z % WORD);
    let mut up = row[index] >> bit;
    let mut down = row[index] << (WORD - 1 - bit);
    let mut gap_up = 0;
    let mut gap_down = 0;
    let (mut next, mut last) = (index + 1, index);
    // Both ways word by word; one that left the row holds nothing.
    while up == 0 && next < row.len() {
        gap_up = next * WORD - z;
        up = row[next];
        next += 1;
    }
    while down == 0 && last > 0 {
        gap_down = z - (last * WORD - 1);
        last -= 1;
        down = row[last];
    }
    let up = (up != 0).then(|| gap_up + up.trailing_zeros() as usize);
    let down = (down != 0).then(|| gap_down + down.leading_zeros() as usize);
    match (up, down) {
        (Some(up), Some(down)) => Some(up.min(down)),
        (found, None) | (None, found) => found,
    }
}

/// The places of the ones of a word.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

/// One bit for each of at most 64 labels: whether the class has it.
fn membership(labels: &[Label], class: &[Label]) -> u64 {
    let (eights, rest) = labels.as_chunks::<8>();
    let mut word = 0;
    for (index, eight) in eights.iter().enumerate() {
        let eight = u16x8::new(*eight);
        let mask = class.iter().fold(0, |mask, label| mask | eight.simd_eq(u16x8::splat(*label)).to_bitmask());
        word |= u64::from(mask) << (8 * index);
    }
    for (index, label) in rest.iter().enumerate() {
        word |= u64::from(class.contains(label)) << (8 * eights.len() + index);
    }
    word
}

/// A word of a row; 0 behind its end.
fn word(row: &[u64], index: usize) -> u64 {
    row.get(index).copied().unwrap_or(0)
}

/// For each point of a word whether the one before it belongs to the row.
fn below(row: &[u64], index: usize) -> u64 {
    let carried = if index > 0 { row[index - 1] >> (WORD - 1) } else { 0 };
    word(row, index) << 1 | carried
}

/// For each point of a word whether the one after it belongs to the row.
fn above(row: &[u64], index: usize) -> u64 {
    row[index] >> 1 | word(row, index + 1) << (WORD - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(places: &[usize], length: usize) -> Bits {
        let labels: Vec<Label> = (0..length).map(|z| Label::from(places.contains(&z))).collect();
        Bits::of_class(&labels, [1, 1, length], &[0..1, 0..1, 0..length], &[1])
    }

    #[test]
    fn points_come_back_across_words() {
        let places = [0, 7, 63, 64, 128, 149];
        assert_eq!(row_of(&places, 150).places(0, 0).collect::<Vec<_>>(), places);
    }

    #[test]
    fn the_gap_is_that_to_the_nearer_side() {
        let bits = row_of(&[3, 140], 150);
        let gaps = [0, 3, 71, 72, 140, 149].map(|z| gap(bits.row(0, 0), z));
        assert_eq!(gaps, [3, 0, 68, 68, 0, 9].map(Some));
        assert_eq!(gap(row_of(&[], 150).row(0, 0), 70), None);
    }

    #[test]
    fn a_full_box_has_edges_on_its_faces_only() {
        let labels = vec![1; 3 * 3 * 70];
        let edges = Bits::of_class(&labels, [3, 3, 70], &[0..3, 0..3, 0..70], &[1]).edges();
        assert_eq!(edges.places(1, 1).collect::<Vec<_>>(), [0, 69]);
        assert_eq!(edges.places(0, 1).count(), 70);
    }

    #[test]
    fn a_voxel_has_eight_corners_each_with_its_code() {
        let bits = Bits::of_class(&[1], [1, 1, 1], &[0..1, 0..1, 0..1], &[1]);
        let corners = bits.corners();
        assert_eq!(corners.shape, [2, 2, 2]);
        assert_eq!(corners.places(1, 1).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((bits.around_corner([0, 0, 0]), bits.around_corner([1, 1, 1])), (1 << 7, 1));
    }
}
