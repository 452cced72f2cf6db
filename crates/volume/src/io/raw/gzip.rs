//! Decompression of gzip files as `gzip` itself reads them: several members one after another, and padding with zeros.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use flate2::bufread::GzDecoder;

use super::GZIP_MAGIC;

/// The uncompressed bytes of a gzip file: those of all its members.
///
/// Zero bytes after a member are skipped, which tapes and some servers pad files with; anything else after the last member
/// is an error.
pub(super) struct GzipReader<R> {
    /// The current member; none after the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipReader<R> {
    /// Returns a reader of a file that starts with [`GZIP_MAGIC`].
    pub(super) fn new(file: R) -> Self {
        Self { member: Some(GzDecoder::new(file)) }
    }

    /// Moves to the next member, if there is one.
    fn next_member(&mut self) -> Result<()> {
        let Some(member) = self.member.take() else { return Ok(()) };
        let mut file = member.into_inner();
        loop {
            let bytes = file.fill_buf()?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            match bytes.get(zeros) {
                None if zeros == 0 => return Ok(()),
                None => file.consume(zeros),
                // The other bytes of the header are checked by the decoder.
                Some(&first) if first == GZIP_MAGIC[0] => {
                    file.consume(zeros);
                    self.member = Some(GzDecoder::new(file));
                    return Ok(());
                }
                Some(_) => {
                    let text = "other data follows the end of its compressed data";
                    return Err(Error::new(ErrorKind::InvalidData, text));
                }
            }
        }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.next_member()?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn compressed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Decompresses parts one after another, through buffers of any size.
    fn read(parts: &[&[u8]]) -> Result<String> {
        let file = parts.concat();
        let texts: Vec<_> = [1, 7, 1 << 16]
            .into_iter()
            .map(|size| {
                let mut text = String::new();
                GzipReader::new(BufReader::with_capacity(size, &file[..])).read_to_string(&mut text).map(|_| text)
            })
            .collect::<Result<_>>()?;
        assert!(texts.iter().all(|text| *text == texts[0]));
        Ok(texts[0].clone())
    }

    #[test]
    fn members_are_joined_and_zeros_around_them_skipped() {
        let [a, b, empty] = ["first ", "second", ""].map(compressed);
        let zeros = [0; 100];
        assert_eq!(read(&[&a]).unwrap(), "first ");
        assert_eq!(read(&[&a, &b]).unwrap(), "first second");
        assert_eq!(read(&[&a, &zeros]).unwrap(), "first ");
        assert_eq!(read(&[&a, &empty, &zeros, &b, &zeros]).unwrap(), "first second");
    }

    #[test]
    fn other_data_after_a_member_is_an_error() {
        let a = compressed("first");
        for garbage in [&b"junk"[..], &[0, 0, 0, 7], &[0x1f], &[0x1f, 0x8b, 9]] {
            assert!(read(&[&a, garbage]).is_err(), "{garbage:?}");
        }
        let truncated = compressed("second");
        assert!(read(&[&a, &truncated[..truncated.len() - 3]]).is_err());
    }
}
