//! Slices of z as a file has them, x fastest, into arrays with z fastest, while the slices that follow are read.
//!
//! Whoever reads also turns: a slab that is read is for any thread that has nothing else to do, and where no buffer is
//! free the reader turns one itself. Threads that turn at once write different columns, so there are no more of them than
//! columns; inflating takes longer than one of them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};

use super::number::Voxel;
use crate::lock::lock;
use crate::offset;
use simd::prefetch;

/// Slices of z that are turned together.
const SLAB: usize = 16;
/// Voxels along x that are turned together: long rows are read faster, and the tile stays near the processor.
const TILE: usize = 256;
/// Slabs in memory at once: one is read, some wait or are turned.
const BUFFERS: usize = 4;

/// The voxels of a file: channels of slices of z.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Number of channels.
    pub(super) channels: usize,
    /// Voxels along x, y and z.
    pub(super) shape: [usize; 3],
    /// Bytes of a voxel.
    pub(super) voxel_bytes: usize,
}

impl Layout {
    /// Bytes of each buffer, and how many there are.
    pub(super) fn buffers(&self) -> [usize; 2] {
        [self.slab_bytes(SLAB.min(self.shape[2])), BUFFERS.min(self.slabs().count())]
    }

    fn slab_bytes(&self, slices: usize) -> usize {
        self.shape[0] * self.shape[1] * slices * self.voxel_bytes
    }

    /// The channel and the slices of z of each slab, as they lie in the file.
    fn slabs(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let depth = self.shape[2];
        let starts = move || (0..depth).step_by(SLAB);
        (0..self.channels).flat_map(move |channel| starts().map(move |z| (channel, z..depth.min(z + SLAB))))
    }
}

/// A value that cannot be converted.
pub(super) struct Misfit<const BYTES: usize> {
    /// Its voxel.
    pub(super) voxel: [usize; 3],
    /// Its bytes.
    pub(super) bytes: [u8; BYTES],
}

/// Reads all voxels and turns them; returns the first value of the file that cannot be converted, if there is one.
///
/// # Errors
/// Those of `read`, which fills slab after slab.
pub(super) fn read_and_turn<T: Voxel, E: Send, const BYTES: usize>(
    layout: Layout,
    buffers: Vec<Vec<u8>>,
    values: &mut [T],
    convert: impl Fn([u8; BYTES]) -> (T, bool) + Sync,
    mut read: impl FnMut(&mut [u8]) -> Result<(), E> + Send,
) -> Result<Option<Misfit<BYTES>>, E> {
    let [width, height, depth] = layout.shape;
    let num_buffers = buffers.len();
    let (home, free) = mpsc::sync_channel(num_buffers);
    buffers.into_iter().for_each(|bytes| drop(Buffer { bytes, home: home.clone() }));
    let channels = values.chunks_mut(width * height * depth);
    let columns = channels.flat_map(|channel| channel.chunks_mut(TILE * height * depth)).map(Mutex::new).collect();
    let turning = Turning { layout, convert, columns, queue: Mutex::default(), misfit: Mutex::default() };
    let turned = &turning;
    let done = rayon::scope(move |scope| {
        for (index, (channel, slices)) in layout.slabs().enumerate() {
            let mut buffer = Buffer { bytes: turned.wait_for_buffer(&free), home: home.clone() };
            read(&mut buffer.bytes[..layout.slab_bytes(slices.len())])?;
            lock(&turned.queue).waiting.push_back(Slab { index, channel, slices, buffer });
            scope.spawn(|_| while turned.turn_next() {});
            if lock(&turned.misfit).is_some() {
                break;
            }
        }
        // Not by the scope, which would begin other work meanwhile.
        (0..num_buffers).for_each(|_| drop(turned.wait_for_buffer(&free)));
        Ok(())
    });
    // An earlier value that does not fit comes before the end of the file.
    match turning.misfit.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, misfit)) => Ok(Some(misfit)),
        None => done.map(|()| None),
    }
}

/// The bytes of a slab; they go home to be filled again when nobody needs them any more.
struct Buffer {
    bytes: Vec<u8>,
    home: SyncSender<Vec<u8>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // At the end nobody waits for them.
        let _ = self.home.send(std::mem::take(&mut self.bytes));
    }
}

/// Slices of z that are read and not turned yet.
struct Slab {
    /// Slabs before it.
    index: usize,
    channel: usize,
    slices: Range<usize>,
    buffer: Buffer,
}

/// Slabs that no thread has begun, and how many threads turn others.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Slab>,
    turning: usize,
}

/// A thread's place among those that turn; another may take it when it is done, be it by a panic.
struct Place<'a>(&'a Mutex<Queue>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(self.0).turning -= 1;
    }
}

/// What is turned by whichever thread.
struct Turning<'a, T, F, const BYTES: usize> {
    layout: Layout,
    convert: F,
    /// The parts of the array that one thread at a time writes: of each channel, [`TILE`] voxels along x with all y and z.
    columns: Vec<Mutex<&'a mut [T]>>,
    queue: Mutex<Queue>,
    /// The first value that does not fit, and the slab it is of.
    misfit: Mutex<Option<(usize, Misfit<BYTES>)>>,
}

impl<T: Voxel, F: Fn([u8; BYTES]) -> (T, bool), const BYTES: usize> Turning<'_, T, F, BYTES> {
    /// A buffer that can be filled; meanwhile slabs are turned that no other thread has begun.
    fn wait_for_buffer(&self, free: &Receiver<Vec<u8>>) -> Vec<u8> {
        loop {
            if let Ok(bytes) = free.try_recv() {
                return bytes;
            }
            if !self.turn_next() {
                return free.recv().expect("this end has a sender too");
            }
        }
    }

    /// Columns of a channel.
    fn columns(&self) -> usize {
        self.columns.len() / self.layout.channels
    }

    /// Turns a slab that no thread has begun; whether there was one. Where enough threads turn, it is left to them: each
    /// looks for another when it is done, and the reader when it has read.
    fn turn_next(&self) -> bool {
        let mut queue = lock(&self.queue);
        if queue.turning == self.columns() {
            return false;
        }
        let Some(slab) = queue.waiting.pop_front() else { return false };
        queue.turning += 1;
        drop(queue);
        let _place = Place(&self.queue);
        self.turn(&slab);
        true
    }

    fn turn(&self, slab: &Slab) {
        let [width, height, _] = self.layout.shape;
        let bytes = &slab.buffer.bytes[..self.layout.slab_bytes(slab.slices.len())];
        let (voxels, _) = bytes.as_chunks::<BYTES>();
        let columns = &self.columns[slab.channel * self.columns()..][..self.columns()];
        let mut all_fit = true;
        // Threads that turn two slabs at once begin at different columns.
        for index in (0..columns.len()).map(|index| (index + slab.index) % columns.len()) {
            all_fit &= self.turn_column(voxels, index, &slab.slices, &mut lock(&columns[index]));
        }
        if !all_fit {
            let place = voxels.iter().position(|bytes| !(self.convert)(*bytes).1);
            let place = place.expect("a slab that does not fit holds a value that does not");
            let voxel = [place % width, place / width % height, slab.slices.start + place / (width * height)];
            let mut misfit = lock(&self.misfit);
            if misfit.as_ref().is_none_or(|(index, _)| slab.index < *index) {
                *misfit = Some((slab.index, Misfit { voxel, bytes: voxels[place] }));
            }
        }
    }

    /// Converts slices of z, x fastest, into a column, z fastest, tile by tile; says whether every value can be converted.
    fn turn_column(&self, slab: &[[u8; BYTES]], index: usize, slices: &Range<usize>, out: &mut [T]) -> bool {
        let shape @ [width, height, _] = self.layout.shape;
        let first = index * TILE;
        let count = TILE.min(width - first);
        let mut tile = [[[0; BYTES]; SLAB]; TILE];
        let mut all_fit = true;
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
                    let (value, fits) = (self.convert)(*bytes);
                    *out = value;
                    all_fit &= fits;
                }
            }
        }
        all_fit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One column and three.
    const WIDTHS: [usize; 2] = [5, 2 * TILE + 3];

    fn layout(width: usize) -> Layout {
        Layout { channels: 2, shape: [width, 3, 2 * SLAB + 5], voxel_bytes: 2 }
    }

    fn num_voxels(layout: Layout) -> usize {
        layout.channels * layout.shape.iter().product::<usize>()
    }

    /// The value of each voxel as a file has them, x fastest; 0 is no value.
    fn file(layout: Layout) -> Vec<u16> {
        (0..num_voxels(layout)).map(|place| (place % 60_000 + 1) as u16).collect()
    }

    type Told = Result<Option<[usize; 3]>, &'static str>;

    fn read(layout: Layout, file: &[u16], threads: usize) -> (Vec<u16>, Told) {
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
        let misfit = pool.install(|| read_and_turn::<u16, _, 2>(layout, buffers, &mut values, convert, fill));
        (values, misfit.map(|misfit| misfit.map(|misfit| misfit.voxel)))
    }

    #[test]
    fn every_voxel_comes_to_its_place_for_any_number_of_threads() {
        for (layout, threads) in WIDTHS.into_iter().flat_map(|width| [1, 2, 5].map(|threads| (layout(width), threads)))
        {
            let file = file(layout);
            let [width, height, depth] = layout.shape;
            let (values, misfit) = read(layout, &file, threads);
            assert_eq!(misfit, Ok(None));
            for (place, value) in file.iter().enumerate() {
                let (x, y, z) = (place % width, place / width % height, place / (width * height) % depth);
                let channel = place / (width * height * depth);
                assert_eq!(values[channel * width * height * depth + offset(layout.shape, [x, y, z])], *value);
            }
        }
    }

    #[test]
    fn the_first_value_that_does_not_fit_is_told_before_a_later_one_and_before_the_end() {
        for (layout, threads) in WIDTHS.into_iter().flat_map(|width| [1, 2, 5].map(|threads| (layout(width), threads)))
        {
            let [width, height, depth] = layout.shape;
            let mut file = file(layout);
            let place = |[x, y, z]: [usize; 3]| (z * height + y) * width + x;
            for voxel in [[1, 2, SLAB], [width - 1, 1, SLAB], [0, 0, 2 * SLAB]] {
                file[place(voxel)] = 0;
            }
            for end in [file.len(), width * height * depth, width * height * 2 * SLAB] {
                assert_eq!(read(layout, &file[..end], threads).1, Ok(Some([width - 1, 1, SLAB])));
            }
            assert_eq!(read(layout, &file[..width * height * SLAB], threads).1, Err("truncated"));
        }
    }

    #[test]
    fn a_panic_while_turning_ends_the_reading_too() {
        for (layout, threads) in WIDTHS.into_iter().flat_map(|width| [1, 2, 5].map(|threads| (layout(width), threads)))
        {
            let [bytes, count] = layout.buffers();
            let mut values = vec![0; num_voxels(layout)];
            let convert = |_| panic!("as it should");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            // Slow enough for another thread to be the one.
            let fill = |_: &mut [u8]| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                Ok::<(), ()>(())
            };
            let read = || {
                let buffers = vec![vec![0; bytes]; count];
                pool.install(|| read_and_turn::<u16, _, 2>(layout, buffers, &mut values, convert, fill))
            };
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).is_err());
        }
    }
}
