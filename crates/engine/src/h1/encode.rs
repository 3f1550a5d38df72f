use bytes::BytesMut;
use wire::{BodyLength, Fields, Frame, Method, Names, ResponseHead, Text, status};

/// How a body is framed on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutFraming {
    /// No body follows.
    None,
    /// So many bytes are still to come.
    Length(u64),
    /// Chunked.
    Chunked,
    /// The end of the connection is the end of the body.
    UntilClose,
}

/// Writes a response head. `connection` is the value of `Connection`, when one is written.
pub(crate) fn response_head(
    out: &mut BytesMut,
    head: &ResponseHead,
    body: BodyLength,
    framing: OutFraming,
    connection: Option<&[u8]>,
) {
    out.reserve(512);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&Text::decimal(u64::from(head.status)));
    out.extend_from_slice(b" ");
    match &head.reason {
        Some(reason) => out.extend_from_slice(reason),
        None => out.extend_from_slice(status::reason(head.status).as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
    let may_have_length = head.status >= 200 && head.status != 204;
    let mut framed = false;
    for line in head.fields.lines() {
        if !line.may_be(FRAMING) {
            out.extend_from_slice(line.bytes());
            continue;
        }
        let name = line.name();
        match framing_field(name) {
            None => out.extend_from_slice(line.bytes()),
            Some(FramingField::Connection) => {}
            Some(FramingField::Length) if framed || !may_have_length => {}
            Some(FramingField::Length) => match (body, framing) {
                (BodyLength::Exact(n), _) => {
                    number(out, name, n);
                    framed = true;
                }
                // An answer to HEAD or a 304 says how long the body would have been.
                (BodyLength::None, OutFraming::None) => {
                    out.extend_from_slice(line.bytes());
                    framed = true;
                }
                _ => {}
            },
            Some(FramingField::Coding) => {
                if framing == OutFraming::Chunked && !framed {
                    field(out, name, b"chunked");
                    framed = true;
                }
            }
        }
    }
    if !framed {
        match framing {
            OutFraming::Length(n) => number(out, b"Content-Length", n),
            OutFraming::Chunked => field(out, b"Transfer-Encoding", b"chunked"),
            OutFraming::None | OutFraming::UntilClose => {}
        }
    }
    if let Some(connection) = connection {
        field(out, b"Connection", connection);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a request head for an upstream. `Host` stands where the client wrote it.
pub(crate) fn request_head(
    out: &mut BytesMut,
    method: &Method,
    target: &[u8],
    host: &[u8],
    fields: &Fields,
    framing: OutFraming,
    upgrade: Option<&[u8]>,
) {
    out.reserve(256 + target.len());
    out.extend_from_slice(method.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !fields.contains("host") {
        field(out, b"Host", host);
    }
    let mut framed = false;
    for line in fields.lines() {
        if !line.may_be(FRAMING) {
            out.extend_from_slice(line.bytes());
            continue;
        }
        let name = line.name();
        match (framing_field(name), framing) {
            (None, _) if line.is("host") => field(out, name, host),
            (None, _) => out.extend_from_slice(line.bytes()),
            (Some(FramingField::Length), OutFraming::Length(n)) if !framed => {
                number(out, name, n);
                framed = true;
            }
            (Some(FramingField::Coding), OutFraming::Chunked) if !framed => {
                field(out, name, b"chunked");
                framed = true;
            }
            _ => {}
        }
    }
    if !framed {
        match framing {
            OutFraming::Length(n) => number(out, b"Content-Length", n),
            OutFraming::Chunked => field(out, b"Transfer-Encoding", b"chunked"),
            OutFraming::None | OutFraming::UntilClose => {}
        }
    }
    if let Some(protocol) = upgrade {
        field(out, b"Connection", b"Upgrade");
        field(out, b"Upgrade", protocol);
    }
    out.extend_from_slice(b"\r\n");
}

/// Fields that are not copied as they are.
const FRAMING: Names = Names::of(&["content-length", "transfer-encoding", "connection", "host"]);

enum FramingField {
    Length,
    Coding,
    Connection,
}

fn framing_field(name: &[u8]) -> Option<FramingField> {
    match name.len() {
        14 if name.eq_ignore_ascii_case(b"content-length") => Some(FramingField::Length),
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Some(FramingField::Coding),
        10 if name.eq_ignore_ascii_case(b"connection") => Some(FramingField::Connection),
        _ => None,
    }
}

/// Appends a frame in its framing; says how the body goes on. `None` when the frame does not fit the framing.
pub(crate) fn frame(queue: &mut super::queue::Queue, framing: OutFraming, frame: Frame) -> Option<OutFraming> {
    match (framing, frame) {
        (OutFraming::None, Frame::Data(data)) if data.is_empty() => Some(OutFraming::None),
        (OutFraming::None, Frame::Data(_)) => None,
        (OutFraming::Length(left), Frame::Data(data)) => {
            let left = left.checked_sub(data.len() as u64)?;
            queue.push(data);
            Some(OutFraming::Length(left))
        }
        (OutFraming::Length(1..), Frame::End) => None,
        (OutFraming::UntilClose, Frame::Data(data)) => {
            queue.push(data);
            Some(OutFraming::UntilClose)
        }
        (OutFraming::Chunked, Frame::Data(data)) => {
            if !data.is_empty() {
                hexadecimal(queue.tail(), data.len());
                queue.push(data);
                queue.tail().extend_from_slice(b"\r\n");
            }
            Some(OutFraming::Chunked)
        }
        (OutFraming::Chunked, Frame::Trailers(trailers)) => {
            queue.tail().extend_from_slice(b"0\r\n");
            for (name, value) in trailers.iter() {
                field(queue.tail(), name, value);
            }
            queue.tail().extend_from_slice(b"\r\n");
            Some(OutFraming::None)
        }
        (OutFraming::Chunked, Frame::End) => {
            queue.tail().extend_from_slice(b"0\r\n\r\n");
            Some(OutFraming::None)
        }
        (framing, Frame::Trailers(_) | Frame::End) => Some(framing),
    }
}

fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut BytesMut, name: &[u8], n: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(&Text::decimal(n));
    out.extend_from_slice(b"\r\n");
}

fn hexadecimal(out: &mut BytesMut, n: usize) {
    use std::fmt::Write;
    // Writing into memory cannot fail.
    let _ = write!(out, "{n:x}\r\n");
}
