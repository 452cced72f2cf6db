//! A mask as bits, row by row along z, and its dilation by rows of a structuring element.

/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// A mask `[x, y, z]` with one bit per voxel; each row along z starts at a new word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BitRows {
    shape: [usize; 3],
    /// Words of a row.
    width: usize,
    words: Vec<u64>,
}

impl BitRows {
    fn empty(shape: [usize; 3]) -> Self {
        let width = shape[2].div_ceil(BITS);
        Self { shape, width, words: vec![0; shape[0] * shape[1] * width] }
    }

    /// Returns the voxels that are not 0.
    pub(super) fn new(mask: &[f32], shape: [usize; 3]) -> Self {
        let mut rows = Self::empty(shape);
        for (row, values) in rows.words.chunks_exact_mut(rows.width).zip(mask.chunks_exact(shape[2])) {
            for (z, _) in values.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                row[z / BITS] |= 1 << (z % BITS);
            }
        }
        rows
    }

    /// Returns whether a voxel, by its index in the array, belongs to the mask.
    pub(super) fn contains(&self, voxel: usize) -> bool {
        let (row, z) = (voxel / self.shape[2], voxel % self.shape[2]);
        self.words[row * self.width + z / BITS] >> (z % BITS) & 1 == 1
    }

    /// Returns the voxels that do not belong to the mask.
    pub(super) fn complement(mut self) -> Self {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.clear_padding();
        self
    }

    /// Clears the bits behind the ends of the rows.
    fn clear_padding(&mut self) {
        let used = self.shape[2] % BITS;
        if used > 0 {
            let last = self.words.iter_mut().skip(self.width - 1).step_by(self.width);
            last.for_each(|word| *word &= (1 << used) - 1);
        }
    }

    /// Returns the voxels for which the mask, shifted by a step of the structuring element, contains the voxel: the voxel plus
    /// the step is in the mask. Outside the volume there is no mask.
    pub(super) fn dilated(&self, element: &StructuringElement) -> Self {
        let mut out = Self::empty(self.shape);
        let mut lengths: Vec<[isize; 2]> = element.rows.iter().map(|row| row.along_z).collect();
        lengths.sort_unstable();
        lengths.dedup();
        for along_z in lengths {
            let spread = self.spread(along_z);
            for row in element.rows.iter().filter(|row| row.along_z == along_z) {
                out.add(&spread, row.step);
            }
        }
        out.clear_padding();
        out
    }

    /// Returns the mask spread along z: a voxel belongs to it if one of its neighbours from `first` to `last` steps does.
    fn spread(&self, [first, last]: [isize; 2]) -> Self {
        let mut out = self.clone();
        for (row, out) in self.words.chunks_exact(self.width).zip(out.words.chunks_exact_mut(self.width)) {
            if row.iter().all(|word| *word == 0) {
                continue;
            }
            out.fill(0);
            (first..=last).for_each(|step| add_shifted(row, out, step));
        }
        out
    }

    /// Adds the voxels whose neighbour a step away along x and y belongs to another mask.
    fn add(&mut self, other: &Self, [step_x, step_y]: [isize; 2]) {
        let [size_x, size_y, _] = self.shape;
        for x in 0..size_x {
            let Some(from_x) = x.checked_add_signed(step_x).filter(|x| *x < size_x) else { continue };
            let first = step_y.min(0).unsigned_abs().min(size_y);
            let end = (size_y as isize - step_y.max(0)).max(first as isize) as usize;
            if first == end {
                continue;
            }
            let from = (from_x * size_y).wrapping_add_signed(first as isize + step_y);
            let source = &other.words[from * self.width..][..(end - first) * self.width];
            let out = &mut self.words[(x * size_y + first) * self.width..][..(end - first) * self.width];
            out.iter_mut().zip(source).for_each(|(out, word)| *out |= word);
        }
    }
}

/// Adds to `out` the bits of a row moved by `step` towards its start.
fn add_shifted(row: &[u64], out: &mut [u64], step: isize) {
    let (words, bits) = (step.unsigned_abs() / BITS, step.unsigned_abs() % BITS);
    let word = |index: usize| row.get(index).copied().unwrap_or(0);
    for (index, out) in out.iter_mut().enumerate() {
        let (near, far) = if step >= 0 {
            (word(index + words), word(index + words + 1))
        } else {
            let before = |distance: usize| index.checked_sub(distance).map_or(0, word);
            (before(words), before(words + 1))
        };
        *out |= match (step >= 0, bits) {
            (_, 0) => near,
            (true, bits) => near >> bits | far << (BITS - bits),
            (false, bits) => near << bits | far >> (BITS - bits),
        };
    }
}

/// The steps from a voxel to those that a dilation takes into account, in rows along z.
#[derive(Clone, Debug)]
pub(super) struct StructuringElement {
    rows: Vec<ElementRow>,
}

#[derive(Clone, Debug)]
struct ElementRow {
    /// Steps along x and y.
    step: [isize; 2],
    /// The first and the last step along z.
    along_z: [isize; 2],
}

impl StructuringElement {
    /// Returns a ball with a radius in voxels, as scikit-image's `ball` samples one: the radius is divided into equal steps, as
    /// many as fit into twice the radius, so that a ball between two half radii is the same. One of an even width is not
    /// symmetric: as PyTorch's padding `same`, it reaches one voxel further towards the end of each axis.
    pub(super) fn ball(radius: f64) -> Self {
        let width = (2.0 * radius + 1.0) as usize;
        let step = 2.0 * radius / (width.max(2) - 1) as f64;
        let square = |index: usize| (index as f64 * step + -radius).powi(2);
        let centre = width.saturating_sub(1) / 2;
        let mut rows = Vec::new();
        for (x, y) in (0..width).flat_map(|x| (0..width).map(move |y| (x, y))) {
            let mut along_z = (0..width).filter(|z| square(*z) + square(y) + square(x) <= radius * radius);
            let from_centre = |index: usize| index as isize - centre as isize;
            if let Some(first) = along_z.next() {
                let last = along_z.next_back().unwrap_or(first);
                rows.push(ElementRow { step: [x, y].map(from_centre), along_z: [first, last].map(from_centre) });
            }
        }
        Self { rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_moved_across_the_borders_of_words() {
        let row = [1 << 63 | 1, 0b101];
        let shifted = |step| {
            let mut out = [0; 2];
            add_shifted(&row, &mut out, step);
            out
        };
        assert_eq!(shifted(0), row);
        assert_eq!(shifted(1), [1 << 63 | 1 << 62, 0b10]);
        assert_eq!(shifted(-1), [0b10, 0b1011]);
        assert_eq!(shifted(64), [0b101, 0]);
        assert_eq!(shifted(-65), [0, 0b10]);
    }

    #[test]
    fn a_dilation_takes_every_voxel_of_the_element() {
        let shape = [5, 6, 70];
        let mask: Vec<f32> = (0..5 * 6 * 70).map(|voxel| f32::from(u8::from(voxel * 37 % 211 == 0))).collect();
        for radius in [1.0, 1.6, 2.0, 3.2] {
            let element = StructuringElement::ball(radius);
            let dilated = BitRows::new(&mask, shape).dilated(&element);
            for voxel in 0..mask.len() {
                let index = volume::unravel_index(shape, voxel);
                let expected = element.rows.iter().any(|row| {
                    (row.along_z[0]..=row.along_z[1]).any(|z| {
                        let at = [(0, row.step[0]), (1, row.step[1]), (2, z)];
                        let at = at.map(|(axis, step)| index[axis].checked_add_signed(step));
                        let [Some(x), Some(y), Some(z)] = at else { return false };
                        x < 5 && y < 6 && z < 70 && mask[volume::offset(shape, [x, y, z])] != 0.0
                    })
                });
                assert_eq!(dilated.contains(voxel), expected, "{radius} {index:?}");
            }
        }
    }
}
