//! Event files for TensorBoard: the same scalars as the CSV files.
//!
//! A file is a sequence of TFRecords: the length, its masked CRC-32C, an `Event` message of protocol
//! buffers, its masked CRC-32C. Only scalars are written, so the few fields are encoded here.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::event::{Columns, Event, Listener};
use super::folder::{RunFolder, naming};
use super::manifest::host;

/// Writes an event file for TensorBoard.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    file: BufWriter<File>,
    columns: Columns,
}

impl TensorBoard {
    /// Creates an event file; TensorBoard joins those of one folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(folder: &RunFolder, columns: &Columns) -> io::Result<Self> {
        let name = format!("events.out.tfevents.{:.0}.{}.{}", seconds(), host(), std::process::id());
        let path = folder.tensorboard().join(name);
        let file = BufWriter::new(File::create(&path).map_err(naming(&path))?);
        let mut board = Self { path, file, columns: columns.clone() };
        let mut event = time_field();
        bytes_field(&mut event, 3, b"brain.Event:2");
        board.write(&event)?;
        board.sync()?;
        Ok(board)
    }

    fn scalar(&mut self, tag: &str, step: usize, value: f64) -> io::Result<()> {
        self.write(&scalar_event(time_field(), tag, step, value))
    }

    fn write(&mut self, event: &[u8]) -> io::Result<()> {
        self.file.write_all(&record(event)).map_err(naming(&self.path))
    }
}

impl Listener for TensorBoard {
    fn record(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Step(step) => {
                self.scalar("loss/step", step.step, step.train_loss)?;
                self.scalar("grad_norm", step.step, step.grad_norm)
            }
            Event::Epoch(epoch) => {
                self.scalar("learning_rate", epoch.step, epoch.learning_rate)?;
                self.scalar("loss/train", epoch.step, epoch.train_loss)?;
                let scores = self.columns.metrics.clone().into_iter().zip(epoch.scores.iter().copied());
                let named = scores.map(|(name, score)| (name.replacen("val_", "val/", 1), score));
                let named: Vec<_> = named.chain([("loss/val".to_owned(), epoch.val_loss)]).collect();
                for (name, score) in named {
                    if let Some(score) = score {
                        self.scalar(&name, epoch.step, score)?;
                    }
                }
                self.sync()
            }
            _ => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.flush().map_err(naming(&self.path))
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Encodes field 1 of an `Event`, the wall time.
fn time_field() -> Vec<u8> {
    let mut event = vec![0x09];
    event.extend(seconds().to_le_bytes());
    event
}

/// Encodes an `Event` with a step (field 2) and a summary (field 5) of one value: its tag (field 1) and number (field 2).
fn scalar_event(mut event: Vec<u8>, tag: &str, step: usize, value: f64) -> Vec<u8> {
    let mut number = Vec::new();
    bytes_field(&mut number, 1, tag.as_bytes());
    number.push(0x15);
    number.extend((value as f32).to_le_bytes());
    let mut summary = Vec::new();
    bytes_field(&mut summary, 1, &number);
    event.push(0x10);
    varint(&mut event, step as u64);
    bytes_field(&mut event, 5, &summary);
    event
}

fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(event);
    out.extend(masked_crc(event).to_le_bytes());
    out
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_encoded_as_protocol_buffers_say() {
        let event = scalar_event(vec![], "a", 300, 1.0);
        assert_eq!(event, [0x10, 0xac, 0x02, 0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0x80, 0x3f]);
    }

    #[test]
    fn a_record_is_framed_by_its_length_and_checksums() {
        let record = record(b"123456789");
        assert_eq!(record[..8], 9u64.to_le_bytes());
        // The CRC-32C of "123456789" is 0xe3069283.
        let masked = 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(record[21..], masked.to_le_bytes());
    }
}
