//! HTTP/2 by prior knowledge, twice: frames written by hand, and an honest client.

use crate::PATIENCE;
use bytes::Bytes;
use http::{HeaderMap, Request};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;

/// Error codes (RFC 9113, section 7).
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload.get(at..at + 4).expect("an error code");
        u32::from_be_bytes(code.try_into().unwrap())
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The status of the head of a response, which must be the first field; HPACK's static table and digits suffice.
    pub fn status(&self) -> u16 {
        let text = match &self.payload[..] {
            // A change of the dynamic table's size comes before the first field.
            [0x20, byte @ 0x88..=0x8e, ..] | [byte @ 0x88..=0x8e, ..] => {
                return [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)];
            }
            [0x20, 0x08 | 0x18 | 0x48, text @ ..] | [0x08 | 0x18 | 0x48, text @ ..] => text,
            other => panic!("no status first: {other:?}"),
        };
        let (length, is_huffman) = (usize::from(text[0] & 0x7f), text[0] & 0x80 != 0);
        let text = text.get(1..=length).expect("a whole status");
        if !is_huffman {
            return std::str::from_utf8(text).unwrap().parse().unwrap();
        }
        let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
        let mut rest = bits.as_str();
        let mut status = 0;
        // Digits 0 to 2 have five bits, the others six (RFC 7541, appendix B).
        while rest.len() >= 5 && rest.contains('0') {
            let five = u16::from_str_radix(&rest[..5], 2).unwrap();
            let (digit, length) =
                if five < 3 { (five, 5) } else { (u16::from_str_radix(&rest[..6], 2).unwrap() - 22, 6) };
            status = status * 10 + digit;
            rest = &rest[length..];
        }
        status
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Fields as HPACK literals that are never indexed in the dynamic table.
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

fn text(block: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        length @ 0..127 => block.push(u8::try_from(length).unwrap()),
        length => {
            block.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).unwrap() | 0x80);
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
    }
    block.extend_from_slice(text);
}

/// The pseudo fields of a plain request.
pub const GET: &[(&[u8], &[u8])] =
    &[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")];

/// The same for one with a body.
pub const POST: &[(&[u8], &[u8])] =
    &[(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.example")];

/// HEADERS that are complete.
pub fn headers(stream: u32, fields: &[(&[u8], &[u8])], flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &block(fields))
}

/// How a stream ended, or the connection it was on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Answered(u16),
    Reset(u32),
    GoneAway(u32),
    Closed,
}

/// A connection that sends exactly the frames it is given.
pub struct RawConnection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    /// The code of the last GOAWAY.
    told: Option<u32>,
    /// Whether settings and pings of the gateway are answered as they are read.
    pub is_polite: bool,
}

impl RawConnection {
    /// Connects, and begins with the preface and settings: HPACK without a dynamic table, so that a status can be read
    /// without one.
    pub fn begin(addr: SocketAddr) -> Self {
        let mut this = Self::connect(addr);
        this.send(PREFACE);
        this.send(frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]));
        this
    }

    /// Connects and says nothing yet.
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), told: None, is_polite: true }
    }

    /// Sends; a peer that has closed already is no failure.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 16384];
        match self.stream.read(&mut piece) {
            Ok(n) if n > 0 => {
                self.buffer.extend_from_slice(&piece[..n]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came in time; so far: {:?}", self.buffer)
            }
            _ => false,
        }
    }

    /// The next frame; `None` at the end of the connection.
    pub fn receive(&mut self) -> Option<RawFrame> {
        while self.buffer.len() < 9 {
            if !self.fill() {
                return None;
            }
        }
        let length = usize::from(self.buffer[0]) << 16 | usize::from(self.buffer[1]) << 8 | usize::from(self.buffer[2]);
        while self.buffer.len() < 9 + length {
            if !self.fill() {
                return None;
            }
        }
        let bytes: Vec<u8> = self.buffer.drain(..9 + length).collect();
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        let frame = RawFrame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() };
        if frame.kind == GOAWAY {
            self.told = Some(frame.code());
        }
        if self.is_polite && matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
            let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
            self.send(self::frame(frame.kind, ACK, 0, payload));
        }
        Some(frame)
    }

    /// The next frame that is about streams or ends the connection.
    pub fn next_of_streams(&mut self) -> Option<RawFrame> {
        loop {
            let frame = self.receive()?;
            if !matches!(frame.kind, SETTINGS | PING | WINDOW_UPDATE) {
                return Some(frame);
            }
        }
    }

    /// Reads on until a stream has its final head or a reset, or the connection is over.
    pub fn end_of(&mut self, stream: u32) -> End {
        loop {
            match self.next_of_streams() {
                None => return End::Closed,
                Some(frame) if frame.kind == GOAWAY && frame.code() != NO_ERROR => return End::GoneAway(frame.code()),
                Some(frame) if frame.stream != stream => {}
                Some(frame) if frame.kind == RST_STREAM => return End::Reset(frame.code()),
                Some(frame) if frame.kind == HEADERS && frame.status() >= 200 => return End::Answered(frame.status()),
                Some(_) => {}
            }
        }
    }

    /// Reads on until the connection is over; says with which code it was told to go away, if it was.
    pub fn farewell(&mut self) -> Option<u32> {
        while self.receive().is_some() {}
        self.told
    }
}

/// An answer with all that belongs to it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An honest client's connection.
#[derive(Clone)]
pub struct H2Client {
    pub requests: h2::client::SendRequest<Bytes>,
}

impl H2Client {
    /// Connects; the task that drives the connection says in the end how it went.
    pub async fn connect(
        addr: SocketAddr,
        builder: &h2::client::Builder,
    ) -> (Self, tokio::task::JoinHandle<Result<(), h2::Error>>) {
        let io = tokio::net::TcpStream::connect(addr).await.unwrap();
        let (requests, connection) = builder.handshake(io).await.unwrap();
        (Self { requests }, tokio::spawn(connection))
    }

    pub async fn to(addr: SocketAddr) -> Self {
        Self::connect(addr, &h2::client::Builder::new()).await.0
    }

    /// A request that has only a head.
    pub async fn ask(&self, request: Request<()>) -> Result<Answer, h2::Error> {
        let (response, _) = self.requests.clone().ready().await?.send_request(request, true)?;
        answer(response).await
    }

    /// A request whose body is still to be sent.
    pub async fn begin(
        &self,
        request: Request<()>,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        self.requests.clone().ready().await?.send_request(request, false)
    }
}

/// A request to the fixture's host.
pub fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a.example{path}")).body(()).unwrap()
}

/// Reads an answer to its end, giving the window back as it goes.
pub async fn answer(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer { status: parts.status.as_u16(), fields: parts.headers, body, trailers })
}
