//! Content codings of requests, taken off within bounds.

use super::Unreadable;
use brotli::Decompressor;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use plugin::HeldBody;
use std::io::{BufRead, Read};
use wire::Fields;

/// How many times longer than it came a body may be, beside the first 64 KiB. Text rarely reaches 20.
const RATIO: u64 = 100;
const FREE: u64 = 64 << 10;

/// How much is decoded at once.
const BUFFER: usize = 16 << 10;

const UNKNOWN: Unreadable = Unreadable::new(415, "the content encoding of the request is not supported");
const MALFORMED: Unreadable = Unreadable::new(400, "the request body is not what its content encoding says");
const TOO_LONG: Unreadable = Unreadable::new(413, "the decoded request body is too large");

/// Whether the fields name a coding.
pub(super) fn is_coded(fields: &Fields) -> bool {
    names(fields).next().is_some()
}

fn names(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields
        .get_all("content-encoding")
        .flat_map(|line| line.split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
}

/// The body without the coding that `Content-Encoding` names; `None` where it names none.
pub(super) fn decode(fields: &Fields, body: &[u8], room: HeldBody) -> Result<Option<HeldBody>, Unreadable> {
    let mut names = names(fields);
    let (name, second) = (names.next(), names.next());
    let Some(name) = name else { return Ok(None) };
    if second.is_some() {
        return Err(UNKNOWN);
    }
    let most = FREE.saturating_add(RATIO.saturating_mul(body.len() as u64));
    let decoded = if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
        let mut decoder = GzDecoder::new(body);
        let decoded = drain(&mut decoder, room, most)?;
        refuse_rest(decoder.into_inner())?;
        decoded
    } else if name.eq_ignore_ascii_case(b"deflate") {
        let mut decoder = ZlibDecoder::new(body);
        let decoded = drain(&mut decoder, room, most)?;
        refuse_rest(decoder.into_inner())?;
        decoded
    } else if name.eq_ignore_ascii_case(b"br") {
        // It reads ahead; one byte at a time shows where it ends.
        let mut rest = OneByOne(body);
        let decoded = drain(&mut Decompressor::new(&mut rest, 1), room, most)?;
        refuse_rest(rest.0)?;
        decoded
    } else {
        return Err(UNKNOWN);
    };
    Ok(Some(decoded))
}

fn drain(decoder: &mut impl Read, mut room: HeldBody, most: u64) -> Result<HeldBody, Unreadable> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        let count = decoder.read(&mut buffer).map_err(|_| MALFORMED)?;
        if count == 0 {
            return Ok(room);
        }
        total += count as u64;
        if total > most || room.room() < count as u64 {
            return Err(TOO_LONG);
        }
        room.push(buffer.get(..count).unwrap_or_default())?;
    }
}

/// Behind its end some readers see another member, and others nothing.
fn refuse_rest(mut rest: impl BufRead) -> Result<(), Unreadable> {
    match rest.fill_buf() {
        Ok([]) => Ok(()),
        _ => Err(MALFORMED),
    }
}

struct OneByOne<'a>(&'a [u8]);

impl Read for OneByOne<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match (self.0.split_first(), buffer.first_mut()) {
            (Some((&byte, rest)), Some(first)) => {
                *first = byte;
                self.0 = rest;
                Ok(1)
            }
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };
    use plugin::BodyLimits;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn br(text: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        brotli::CompressorWriter::new(&mut coded, 4096, 4, 19).write_all(text).unwrap();
        coded
    }

    fn decoded(names: &[&str], body: &[u8], max: u64) -> Result<Option<Vec<u8>>, Unreadable> {
        let fields: Fields = names.iter().map(|name| ("Content-Encoding", *name)).collect();
        let room = HeldBody::new(&BodyLimits::default(), max);
        decode(&fields, body, room).map(|held| held.map(|held| held.bytes().to_vec()))
    }

    #[test]
    fn codings_are_taken_off_within_bounds() {
        let text = "{\"a\": 1}".repeat(100).into_bytes();
        for (name, coded) in
            [("gzip", gzip(&text)), ("X-Gzip", gzip(&text)), ("deflate", deflate(&text)), ("BR", br(&text))]
        {
            assert_eq!(decoded(&[name], &coded, 800), Ok(Some(text.clone())), "{name}");
            assert_eq!(decoded(&["identity", name], &coded, 800), Ok(Some(text.clone())), "{name}");
            assert_eq!(decoded(&[name], &coded, 799), Err(TOO_LONG), "{name}");
            assert_eq!(decoded(&[name], &coded[..coded.len() - 1], 800), Err(MALFORMED), "{name}: cut");
            assert_eq!(decoded(&[name], &[&*coded, b"x"].concat(), 800), Err(MALFORMED), "{name}: more");
            assert_eq!(decoded(&[name], &[&*coded, &*coded].concat(), 8000), Err(MALFORMED), "{name}: twice");
            assert_eq!(decoded(&[name, name], &coded, 800), Err(UNKNOWN), "{name}: two codings");
            assert_eq!(decoded(&[name], b"{}", 800), Err(MALFORMED), "{name}: not coded");
        }
        assert_eq!(decoded(&["identity", ""], &text, 800), Ok(None));
        assert_eq!(decoded(&[], &text, 800), Ok(None));
        for name in ["zstd", "gzip;q=1", "compress", "gzip, br"] {
            assert_eq!(decoded(&[name], &text, 800), Err(UNKNOWN), "{name}");
        }
    }

    #[test]
    fn a_bomb_is_not_taken_apart() {
        let zeros = vec![b' '; 4 << 20];
        for (name, coded) in [("gzip", gzip(&zeros)), ("deflate", deflate(&zeros)), ("br", br(&zeros))] {
            assert!((coded.len() as u64) < (4 << 20) / RATIO, "{name}");
            assert_eq!(decoded(&[name], &coded, u64::MAX), Err(TOO_LONG), "{name}");
        }
    }
}
