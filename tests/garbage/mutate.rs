//! Changes of valid files, as disks, networks and people make them.

use proptest::prelude::*;
use proptest::sample::Index;

/// A change of a file.
#[derive(Clone, Debug)]
pub enum Change {
    /// Other bytes at a place.
    Replace(Index, Vec<u8>),
    /// More bytes at a place.
    Insert(Index, Vec<u8>),
    /// Bytes are missing between two places.
    Remove(Index, Index),
    /// The end is missing.
    Cut(Index),
}

/// Numbers that are seldom right: the ends of whole numbers in both byte orders, and reals that are none.
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

/// One change to a few of them.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    let bytes = || {
        prop_oneof![
            prop::sample::select(NUMBERS.map(<[u8]>::to_vec).to_vec()),
            prop::collection::vec(any::<u8>(), 1..6),
        ]
    };
    let place = any::<Index>;
    let change = prop_oneof![
        6 => (place(), bytes()).prop_map(|(place, bytes)| Change::Replace(place, bytes)),
        1 => (place(), bytes()).prop_map(|(place, bytes)| Change::Insert(place, bytes)),
        1 => (place(), place()).prop_map(|(from, to)| Change::Remove(from, to)),
        1 => place().prop_map(Change::Cut),
    ];
    prop::collection::vec(change, 1..4)
}

/// The file after its changes, all within its first `reach` bytes.
pub fn changed(file: &[u8], reach: usize, changes: &[Change]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for change in changes {
        let place = |index: &Index| index.index(bytes.len().min(reach) + 1);
        match change {
            Change::Replace(at, new) => {
                let start = place(at);
                let end = (start + new.len()).min(bytes.len());
                bytes[start..end].copy_from_slice(&new[..end - start]);
            }
            Change::Insert(at, new) => {
                let at = place(at);
                drop(bytes.splice(at..at, new.iter().copied()));
            }
            Change::Remove(from, to) => {
                let (from, to) = (place(from), place(to));
                drop(bytes.drain(from.min(to)..from.max(to)));
            }
            Change::Cut(at) => {
                let at = place(at);
                bytes.truncate(at);
            }
        }
    }
    bytes
}
