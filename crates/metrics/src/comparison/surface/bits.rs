//! Bit masks: 64 neighbours along z are stored in one word and processed together.

use rayon::prelude::*;
use wide::u16x8;

use super::super::overlap::Extent;
use volume::Label;

/// Bits in a word.
const WORD: usize = u64::BITS as usize;

/// A set of points `[x, y, z]` within a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bits {
    pub shape: [usize; 3],
    /// Words of a row along z; bits beyond its end are 0.
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

    /// Returns the voxels of a box of a label map with one of these labels.
    pub fn from_class(labels: &[Label], shape: [usize; 3], extent: &Extent, class: &[Label]) -> Self {
        let box_shape = [extent[0].len(), extent[1].len(), extent[2].len()];
        Self::new(box_shape, |x, y, row| {
            let start = ((extent[0].start + x) * shape[1] + extent[1].start + y) * shape[2];
            let labels = &labels[start + extent[2].start..start + extent[2].end];
            for (word, labels) in row.iter_mut().zip(labels.chunks(WORD)) {
                *word = membership(labels, class);
            }
        })
    }

    /// Returns the words of the row at `[x, y]`.
    #[inline]
    pub fn row(&self, x: usize, y: usize) -> &[u64] {
        let start = (x * self.shape[1] + y) * self.words;
        &self.rows[start..start + self.words]
    }

    /// Returns whether the set has no point.
    pub fn is_empty(&self) -> bool {
        self.rows.iter().all(|word| *word == 0)
    }

    /// Returns the z indices of the points of a row, in order.
    pub fn z_indices(&self, x: usize, y: usize) -> impl Iterator<Item = usize> + '_ {
        let words = self.row(x, y).iter().enumerate();
        words.flat_map(|(index, word)| ones(*word).map(move |bit| index * WORD + bit))
    }

    /// Returns the z indices of those of a row's points that are among the eight from `start` on, a multiple of eight.
    pub fn z_indices_in_byte(&self, x: usize, y: usize, start: usize) -> impl Iterator<Item = usize> + '_ {
        let byte = self.row(x, y)[start / WORD] >> (start % WORD) & 0xff;
        ones(byte).map(move |bit| start + bit)
    }

    /// Returns all points, in order.
    pub fn points(&self) -> impl Iterator<Item = [usize; 3]> + '_ {
        (0..self.shape[0]).flat_map(|x| self.slab(x))
    }

    /// Returns the points of a slab, in order.
    pub fn slab(&self, x: usize) -> impl Iterator<Item = [usize; 3]> + '_ {
        (0..self.shape[1]).flat_map(move |y| self.z_indices(x, y).map(move |z| [x, y, z]))
    }

    /// Returns the points with a face neighbour outside the set; the outside of the box counts as outside.
    pub fn edges(&self) -> Self {
        let [size_x, size_y, _] = self.shape;
        let empty = vec![0; self.words];
        Self::new(self.shape, |x, y, edges| {
            let neighbour = |exists: bool, x: usize, y: usize| if exists { self.row(x, y) } else { &empty };
            let neighbours = [
                neighbour(x > 0, x.wrapping_sub(1), y),
                neighbour(x + 1 < size_x, x + 1, y),
                neighbour(y > 0, x, y.wrapping_sub(1)),
                neighbour(y + 1 < size_y, x, y + 1),
            ];
            let own = self.row(x, y);
            for (index, edge) in edges.iter_mut().enumerate() {
                let in_plane = neighbours.iter().fold(u64::MAX, |all, row| all & row[index]);
                *edge = own[index] & !(in_plane & below(own, index) & above(own, index));
            }
        })
    }

    /// Returns the corners at which voxels inside and outside the set meet. There is one more corner than voxels along each
    /// axis: corner `[x, y, z]` is between voxels `x - 1` and `x`, and so on. The outside of the box counts as outside.
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

    /// Returns which of the eight voxels around a corner are in the set; bit `4 dx + 2 dy + dz` is voxel
    /// `[x - 1 + dx, y - 1 + dy, z - 1 + dz]`.
    pub fn around_corner(&self, [x, y, z]: [usize; 3]) -> u8 {
        let rows = self.rows_around(x, y);
        let mut code = 0;
        for (index, row) in rows.into_iter().enumerate() {
            let is_in = |z: usize| u8::from(row.is_some_and(|row| word(row, z / WORD) >> (z % WORD) & 1 == 1));
            let before = if z > 0 { is_in(z - 1) } else { 0 };
            code |= (before | is_in(z) << 1) << (2 * index);
        }
        code
    }

    /// Returns the rows `[x - 1, y - 1]`, `[x - 1, y]`, `[x, y - 1]` and `[x, y]`; `None` outside the box.
    fn rows_around(&self, x: usize, y: usize) -> [Option<&[u64]>; 4] {
        let row = |x: Option<usize>, y: Option<usize>| {
            let (x, y) = (x.filter(|x| *x < self.shape[0])?, y.filter(|y| *y < self.shape[1])?);
            Some(self.row(x, y))
        };
        let (left, before) = (x.checked_sub(1), y.checked_sub(1));
        [row(left, before), row(left, Some(y)), row(Some(x), before), row(Some(x), Some(y))]
    }
}

/// Returns the distance along a row from `z` to the nearest point, in voxels.
#[inline]
pub fn gap(row: &[u64], z: usize) -> Option<usize> {
    let (index, bit) = (z / WORD, z % WORD);
    let mut up = row[index] >> bit;
    let mut down = row[index] << (WORD - 1 - bit);
    let mut gap_up = 0;
    let mut gap_down = 0;
    let (mut next, mut last) = (index + 1, index);
    // Searches word by word in both directions, up to the ends of the row.
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
        (gap, None) | (None, gap) => gap,
    }
}

/// Returns the positions of the set bits of a word.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

/// Returns a bit for each of at most 64 labels: whether it is in the class.
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

/// Returns a word of a row; 0 beyond its end.
fn word(row: &[u64], index: usize) -> u64 {
    row.get(index).copied().unwrap_or(0)
}

/// Returns for each bit of a word whether the previous point is in the set.
fn below(row: &[u64], index: usize) -> u64 {
    let carried = if index > 0 { row[index - 1] >> (WORD - 1) } else { 0 };
    word(row, index) << 1 | carried
}

/// Returns for each bit of a word whether the next point is in the set.
fn above(row: &[u64], index: usize) -> u64 {
    row[index] >> 1 | word(row, index + 1) << (WORD - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(points: &[usize], length: usize) -> Bits {
        let labels: Vec<Label> = (0..length).map(|z| Label::from(points.contains(&z))).collect();
        Bits::from_class(&labels, [1, 1, length], &[0..1, 0..1, 0..length], &[1])
    }

    #[test]
    fn points_of_several_words_are_iterated() {
        let points = [0, 7, 63, 64, 128, 149];
        assert_eq!(row_of(&points, 150).z_indices(0, 0).collect::<Vec<_>>(), points);
    }

    #[test]
    fn the_gap_is_to_the_nearer_side() {
        let bits = row_of(&[3, 140], 150);
        let gaps = [0, 3, 71, 72, 140, 149].map(|z| gap(bits.row(0, 0), z));
        assert_eq!(gaps, [3, 0, 68, 68, 0, 9].map(Some));
        assert_eq!(gap(row_of(&[], 150).row(0, 0), 70), None);
    }

    #[test]
    fn a_full_box_has_edges_on_its_faces_only() {
        let labels = vec![1; 3 * 3 * 70];
        let edges = Bits::from_class(&labels, [3, 3, 70], &[0..3, 0..3, 0..70], &[1]).edges();
        assert_eq!(edges.z_indices(1, 1).collect::<Vec<_>>(), [0, 69]);
        assert_eq!(edges.z_indices(0, 1).count(), 70);
    }

    #[test]
    fn a_voxel_has_eight_corners() {
        let bits = Bits::from_class(&[1], [1, 1, 1], &[0..1, 0..1, 0..1], &[1]);
        let corners = bits.corners();
        assert_eq!(corners.shape, [2, 2, 2]);
        assert_eq!(corners.z_indices(1, 1).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((bits.around_corner([0, 0, 0]), bits.around_corner([1, 1, 1])), (1 << 7, 1));
    }
}
