//! Encoding and decoding of event files.
//!
//! A file is a sequence of TFRecords: the length, its masked CRC-32C, an `Event` message of protocol buffers, its masked
//! CRC-32C. Only scalars are written, so the few fields are encoded here.

/// Encodes field 1 of an `Event`, the wall time.
pub(super) fn time_field(seconds: f64) -> Vec<u8> {
    let mut event = vec![0x09];
    event.extend(seconds.to_le_bytes());
    event
}

/// Encodes an `Event` with a step (field 2) and a summary (field 5) of one value: its tag (field 1) and number (field 2).
pub(super) fn scalar_event(mut event: Vec<u8>, tag: &str, step: usize, value: f64) -> Vec<u8> {
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

pub(super) fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(event);
    out.extend(masked_crc(event).to_le_bytes());
    out
}

pub(super) fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Returns the complete records of a file, each with its framing; a torn last one is left out.
pub(super) fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some(record) = first_record(bytes) {
        records.push(record);
        bytes = &bytes[record.len()..];
    }
    records
}

/// The bytes of a record before and after its event.
const HEADER: usize = 12;
const FOOTER: usize = 4;

fn first_record(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)).ok()?;
    let crc = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let end = HEADER.checked_add(length)?;
    let is_intact = crc(8)? == masked_crc(&bytes[..8]) && crc(end)? == masked_crc(bytes.get(HEADER..end)?);
    is_intact.then(|| &bytes[..end + FOOTER])
}

/// Returns the tag and step of a record with a scalar; `None` for other records, such as that of the version.
pub(super) fn scalar_of(record: &[u8]) -> Option<(&str, u64)> {
    let event = &record[HEADER..record.len() - FOOTER];
    let (mut step, mut tag) = (0, None);
    for (field, value) in fields(event)? {
        match (field, value) {
            (2, Field::Varint(value)) => step = value,
            (5, Field::Bytes(summary)) => {
                let (_, Field::Bytes(value)) = fields(summary)?.into_iter().find(|(field, _)| *field == 1)? else {
                    return None;
                };
                let (_, Field::Bytes(name)) = fields(value)?.into_iter().find(|(field, _)| *field == 1)? else {
                    return None;
                };
                tag = Some(std::str::from_utf8(name).ok()?);
            }
            _ => {}
        }
    }
    Some((tag?, step))
}

/// The value of a field of protocol buffers.
enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Returns the fields of a message with their numbers; `None` if it is malformed.
fn fields(mut message: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let value = match key & 7 {
            0 => Field::Varint(take_varint(&mut message)?),
            1 => take(&mut message, 8).map(|_| Field::Fixed)?,
            2 => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                Field::Bytes(take(&mut message, length)?)
            }
            5 => take(&mut message, 4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(taken)
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
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

    #[test]
    fn records_are_read_back_up_to_the_first_torn_or_damaged_one() {
        let scalar = record(&scalar_event(time_field(1.5), "loss/step", 300, 0.25));
        let mut version = time_field(1.5);
        bytes_field(&mut version, 3, b"brain.Event:2");
        let version = record(&version);
        let file = [&version[..], &scalar, &scalar[..scalar.len() - 1]].concat();
        let read = records(&file);
        assert_eq!(read, [&version[..], &scalar[..]]);
        assert_eq!((scalar_of(read[0]), scalar_of(read[1])), (None, Some(("loss/step", 300))));
        let mut damaged = [scalar.clone(), scalar.clone()].concat();
        damaged[scalar.len() + 20] ^= 1;
        assert_eq!(records(&damaged).len(), 1);
    }
}
