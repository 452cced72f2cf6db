//! Transposition from the file's order, x fastest, to arrays with z fastest, in parallel with reading.
//!
//! The file is read in slabs of consecutive z slices. Idle threads transpose slabs that have been read; while no buffer is
//! free, the reading thread transposes as well. Threads write to disjoint columns, so at most as many run as there are
//! columns; decompression takes longer than transposing any one of them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};

use super::number::Voxel;
use crate::lock::lock;
use crate::offset;
use simd::prefetch;

/// Slices of z in a slab.
const SLAB: usize = 16;
/// Voxels along x in a tile: long rows are read faster, and the tile stays in the cache.
const TILE: usize = 256;
/// Slabs in memory at a time: one is being read, the others wait or are being transposed.
const BUFFERS: usize = 4;

/// The size of a file's voxel data.
#[derive(Clone, Copy)]
pub(super) struct SlabLayout {
    /// Number of channels.
    pub(super) channels: usize,
    /// Voxels along x, y and z.
    pub(super) shape: [usize; 3],
    /// Bytes of a voxel.
    pub(super) voxel_bytes: usize,
}

impl SlabLayout {
    /// Returns the bytes of each slab buffer, and the number of buffers.
    pub(super) fn buffers(&self) -> [usize; 2] {
        [self.slab_bytes(SLAB.min(self.shape[2])), BUFFERS.min(self.slabs().count())]
    }

    fn slab_bytes(&self, slices: usize) -> usize {
        self.shape[0] * self.shape[1] * slices * self.voxel_bytes
    }

    /// Returns the channel and the slices of z of each slab, in the file's order.
    fn slabs(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let depth = self.shape[2];
        let starts = move || (0..depth).step_by(SLAB);
        (0..self.channels).flat_map(move |channel| starts().map(move |z| (channel, z..depth.min(z + SLAB))))
    }
}

/// A value that cannot be converted.
pub(super) struct Invalid<const BYTES: usize> {
    /// The voxel's index along x, y and z.
    pub(super) voxel: [usize; 3],
    /// The stored bytes.
    pub(super) bytes: [u8; BYTES],
}

/// Reads and transposes all voxels; returns the first value of the file that cannot be converted, if there is one.
///
/// # Errors
/// Those of `read`, which fills one slab after another.
pub(super) fn read_and_transpose<T: Voxel, E: Send, const BYTES: usize>(
    layout: SlabLayout,
    buffers: Vec<Vec<u8>>,
    values: &mut [T],
    convert: impl Fn([u8; BYTES]) -> (T, bool) + Sync,
    mut read: impl FnMut(&mut [u8]) -> Result<(), E> + Send,
) -> Result<Option<Invalid<BYTES>>, E> {
    let [width, height, depth] = layout.shape;
    let num_buffers = buffers.len();
    let (free_sender, free) = mpsc::sync_channel(num_buffers);
    buffers.into_iter().for_each(|bytes| drop(Buffer { bytes, free: free_sender.clone() }));
    let channels = values.chunks_mut(width * height * depth);
    let columns = channels.flat_map(|channel| channel.chunks_mut(TILE * height * depth)).map(Mutex::new).collect();
    let transposer = Transposer { layout, convert, columns, queue: Mutex::default(), invalid: Mutex::default() };
    let shared = &transposer;
    let result = rayon::scope(move |scope| {
        for (index, (channel, slices)) in layout.slabs().enumerate() {
            let mut buffer = Buffer { bytes: shared.wait_for_buffer(&free), free: free_sender.clone() };
            read(&mut buffer.bytes[..layout.slab_bytes(slices.len())])?;
            lock(&shared.queue).waiting.push_back(Slab { index, channel, slices, buffer });
            scope.spawn(|_| while shared.transpose_next() {});
            if lock(&shared.invalid).is_some() {
                break;
            }
        }
        // Waiting at the end of the scope would start unrelated work of the thread pool.
        (0..num_buffers).for_each(|_| drop(shared.wait_for_buffer(&free)));
        Ok(())
    });
    // An invalid value comes before the end of a truncated file.
    match transposer.invalid.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, invalid)) => Ok(Some(invalid)),
        None => result.map(|()| None),
    }
}

/// The bytes of a slab. Dropping it makes the buffer free again.
struct Buffer {
    bytes: Vec<u8>,
    free: SyncSender<Vec<u8>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Fails only at the end, when no buffer is needed any more.
        let _ = self.free.send(std::mem::take(&mut self.bytes));
    }
}

/// Slices of z that have been read but not transposed.
struct Slab {
    /// Position of the slab in the file.
    index: usize,
    channel: usize,
    slices: Range<usize>,
    buffer: Buffer,
}

/// Slabs that no thread has started, and the number of threads that transpose others.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Slab>,
    active: usize,
}

/// Counts a thread as active until it is dropped, also by a panic.
struct ActiveGuard<'a>(&'a Mutex<Queue>);

impl Drop for ActiveGuard<'_> {
    fn drop(&mut self) {
        lock(self.0).active -= 1;
    }
}

/// State shared by the threads that transpose.
struct Transposer<'a, T, F, const BYTES: usize> {
    layout: SlabLayout,
    convert: F,
    /// Parts of the array, each written by one thread at a time: for each channel, [`TILE`] voxels along x with all y and z.
    columns: Vec<Mutex<&'a mut [T]>>,
    queue: Mutex<Queue>,
    /// The first value that cannot be converted, and the index of its slab.
    invalid: Mutex<Option<(usize, Invalid<BYTES>)>>,
}

impl<T: Voxel, F: Fn([u8; BYTES]) -> (T, bool), const BYTES: usize> Transposer<'_, T, F, BYTES> {
    /// Waits for a free buffer and meanwhile transposes slabs that no other thread has started.
    fn wait_for_buffer(&self, free: &Receiver<Vec<u8>>) -> Vec<u8> {
        loop {
            if let Ok(bytes) = free.try_recv() {
                return bytes;
            }
            if !self.transpose_next() {
                return free.recv().expect("the caller keeps a sender");
            }
        }
    }

    /// Returns the number of columns of a channel.
    fn num_columns(&self) -> usize {
        self.columns.len() / self.layout.channels
    }

    /// Transposes a slab that no thread has started; returns whether there was one. Where enough threads are active, slabs
    /// are left to them.
    fn transpose_next(&self) -> bool {
        let mut queue = lock(&self.queue);
        if queue.active == self.num_columns() {
            return false;
        }
        let Some(slab) = queue.waiting.pop_front() else { return false };
        queue.active += 1;
        drop(queue);
        let _guard = ActiveGuard(&self.queue);
        self.transpose(&slab);
        true
    }

    fn transpose(&self, slab: &Slab) {
        let [width, height, _] = self.layout.shape;
        let bytes = &slab.buffer.bytes[..self.layout.slab_bytes(slab.slices.len())];
        let (voxels, _) = bytes.as_chunks::<BYTES>();
        let columns = &self.columns[slab.channel * self.num_columns()..][..self.num_columns()];
        let mut all_valid = true;
        // Threads with consecutive slabs start at different columns.
        for index in (0..columns.len()).map(|index| (index + slab.index) % columns.len()) {
            all_valid &= self.transpose_column(voxels, index, &slab.slices, &mut lock(&columns[index]));
        }
        if !all_valid {
            let first = voxels.iter().position(|bytes| !(self.convert)(*bytes).1);
            let first = first.expect("converting the same bytes again fails again");
            let voxel = [first % width, first / width % height, slab.slices.start + first / (width * height)];
            let mut invalid = lock(&self.invalid);
            if invalid.as_ref().is_none_or(|(index, _)| slab.index < *index) {
                *invalid = Some((slab.index, Invalid { voxel, bytes: voxels[first] }));
            }
        }
    }

    /// Converts and transposes slices of z into a column, tile by tile; returns whether every value can be converted.
    fn transpose_column(&self, slab: &[[u8; BYTES]], index: usize, slices: &Range<usize>, out: &mut [T]) -> bool {
        let shape @ [width, height, _] = self.layout.shape;
        let first = index * TILE;
        let count = TILE.min(width - first);
        let mut tile = [[[0; BYTES]; SLAB]; TILE];
        let mut all_valid = true;
        for y in 0..height {
            for z in 0..slices.len() {
                let start = (z * height + y) * width + first;
                prefetch(slab, start + width * height, count);
                let row = &slab[start..][..count];
                for (column, bytes) in tile.iter_mut().zip(row) {
                    column[z] = *bytes;
                }
            }
            for (x, column) in tile.iter().take(count).enumerate() {
                let out = &mut out[offset(shape, [x, y, slices.start])..][..slices.len()];
                for (out, bytes) in out.iter_mut().zip(column) {
                    let (value, is_valid) = (self.convert)(*bytes);
                    *out = value;
                    all_valid &= is_valid;
                }
            }
        }
        all_valid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One column and three.
    const WIDTHS: [usize; 2] = [5, 2 * TILE + 3];

    fn layout(width: usize) -> SlabLayout {
        SlabLayout { channels: 2, shape: [width, 3, 2 * SLAB + 5], voxel_bytes: 2 }
    }

    fn num_voxels(layout: SlabLayout) -> usize {
        layout.channels * layout.shape.iter().product::<usize>()
    }

    /// The values of a file, x fastest; 0 cannot be converted.
    fn file(layout: SlabLayout) -> Vec<u16> {
        (0..num_voxels(layout)).map(|index| (index % 60_000 + 1) as u16).collect()
    }

    /// The first invalid voxel.
    type ReadResult = Result<Option<[usize; 3]>, &'static str>;

    fn read(layout: SlabLayout, file: &[u16], threads: usize) -> (Vec<u16>, ReadResult) {
        let mut rest: Vec<u8> = file.iter().flat_map(|value| value.to_le_bytes()).collect();
        let [bytes, count] = layout.buffers();
        let buffers = vec![vec![0; bytes]; count];
        let mut values = vec![0; num_voxels(layout)];
        let convert = |bytes| (u16::from_le_bytes(bytes), bytes != [0; 2]);
        let fill = |slab: &mut [u8]| {
            if rest.len() < slab.len() {
                return Err("truncated");
            }
            slab.copy_from_slice(&rest[..slab.len()]);
            rest.drain(..slab.len());
            Ok(())
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let invalid = pool.install(|| read_and_transpose::<u16, _, 2>(layout, buffers, &mut values, convert, fill));
        (values, invalid.map(|invalid| invalid.map(|invalid| invalid.voxel)))
    }

    #[test]
    fn every_voxel_is_transposed_for_any_number_of_threads() {
        for (layout, threads) in WIDTHS.into_iter().flat_map(|width| [1, 2, 5].map(|threads| (layout(width), threads)))
        {
            let file = file(layout);
            let [width, height, depth] = layout.shape;
            let (values, invalid) = read(layout, &file, threads);
            assert_eq!(invalid, Ok(None));
            for (index, value) in file.iter().enumerate() {
                let (x, y, z) = (index % width, index / width % height, index / (width * height) % depth);
                let channel = index / (width * height * depth);
                assert_eq!(values[channel * width * height * depth + offset(layout.shape, [x, y, z])], *value);
            }
        }
    }

    #[test]
    fn the_first_invalid_value_is_returned_before_a_later_one_and_before_truncation() {
        for (layout, threads) in WIDTHS.into_iter().flat_map(|width| [1, 2, 5].map(|threads| (layout(width), threads)))
        {
            let [width, height, depth] = layout.shape;
            let mut file = file(layout);
            let index = |[x, y, z]: [usize; 3]| (z * height + y) * width + x;
            for voxel in [[1, 2, SLAB], [width - 1, 1, SLAB], [0, 0, 2 * SLAB]] {
                file[index(voxel)] = 0;
            }
            for end in [file.len(), width * height * depth, width * height * 2 * SLAB] {
                assert_eq!(read(layout, &file[..end], threads).1, Ok(Some([width - 1, 1, SLAB])));
            }
            assert_eq!(read(layout, &file[..width * height * SLAB], threads).1, Err("truncated"));
        }
    }

    #[test]
    fn a_panic_while_transposing_ends_reading() {
        for (layout, threads) in WIDTHS.into_iter().flat_map(|width| [1, 2, 5].map(|threads| (layout(width), threads)))
        {
            let [bytes, count] = layout.buffers();
            let mut values = vec![0; num_voxels(layout)];
            let convert = |_| panic!("on purpose");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            // Slow enough for another thread to panic.
            let fill = |_: &mut [u8]| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                Ok::<(), ()>(())
            };
            let read = || {
                let buffers = vec![vec![0; bytes]; count];
                pool.install(|| read_and_transpose::<u16, _, 2>(layout, buffers, &mut values, convert, fill))
            };
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).is_err());
        }
    }
}
