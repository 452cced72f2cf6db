//! Random changes to valid files, as hardware faults, failed transfers and manual edits cause them.

use proptest::prelude::*;
use proptest::sample::Index;

/// A change to a file.
#[derive(Clone, Debug)]
pub enum Change {
    /// Replaces the bytes at a position.
    Replace(Index, Vec<u8>),
    /// Inserts bytes at a position.
    Insert(Index, Vec<u8>),
    /// Removes the bytes between two positions.
    Remove(Index, Index),
    /// Removes everything after a position.
    Truncate(Index),
}

/// Numbers that are rarely valid: the smallest and largest integers in both byte orders, NaN and infinity.
const NUMBERS: [&[u8]; 12] = [
    &[0],
    &[0xff],
    &[0xff, 0x7f],
    &[0x7f, 0xff],
    &[0, 0x80],
    &[0xff; 4],
    &[0, 0, 0xc0, 0x7f],
    &[0x7f, 0xc0, 0, 0],
    &[0, 0, 0x80, 0x7f],
    &[0xff; 8],
    &[0; 8],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
];

/// Generates one to three changes.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let bytes = || {
        prop_oneof![
            prop::sample::select(NUMBERS.map(<[u8]>::to_vec).to_vec()),
            prop::collection::vec(any::<u8>(), 1..6),
        ]
    };
    let position = any::<Index>;
    let change = prop_oneof![
        6 => (position(), bytes()).prop_map(|(position, bytes)| Change::Replace(position, bytes)),
        1 => (position(), bytes()).prop_map(|(position, bytes)| Change::Insert(position, bytes)),
        1 => (position(), position()).prop_map(|(from, to)| Change::Remove(from, to)),
        1 => position().prop_map(Change::Truncate),
    ];
    prop::collection::vec(change, 1..4)
}

/// Applies the changes to a file, at positions within its first `reach` bytes.
pub fn changed(file: &[u8], reach: usize, changes: &[Change]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for change in changes {
        let position = |index: &Index| index.index(bytes.len().min(reach) + 1);
        match change {
            Change::Replace(at, new) => {
                let start = position(at);
                let end = (start + new.len()).min(bytes.len());
                bytes[start..end].copy_from_slice(&new[..end - start]);
            }
            Change::Insert(at, new) => {
                let at = position(at);
                drop(bytes.splice(at..at, new.iter().copied()));
            }
            Change::Remove(from, to) => {
                let (from, to) = (position(from), position(to));
                drop(bytes.drain(from.min(to)..from.max(to)));
            }
            Change::Truncate(at) => {
                let at = position(at);
                bytes.truncate(at);
            }
        }
    }
    bytes
}
