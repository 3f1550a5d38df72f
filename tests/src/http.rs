//! A client that sends exactly the bytes it is given.

use crate::{PATIENCE, show};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A head and a body, as they were on the wire, and what follows from them.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub start: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    pub is_complete: bool,
}

impl Message {
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn is_chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    }

    fn length(&self) -> Option<usize> {
        self.get("content-length").and_then(|v| v.parse().ok())
    }
}

/// One connection, from either side.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    is_ended: bool,
    /// Everything that was ever read.
    pub log: Option<std::sync::Arc<std::sync::Mutex<Vec<u8>>>>,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        Self::of(TcpStream::connect(addr).expect("connect"))
    }

    pub fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), is_ended: false, log: None }
    }

    /// Sends; a peer that has closed already is no failure.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads some bytes; false at the end of the connection.
    fn fill(&mut self) -> bool {
        if self.is_ended {
            return false;
        }
        let mut piece = [0u8; 65536];
        match self.stream.read(&mut piece) {
            Ok(n) if n > 0 => {
                let piece = piece.get(..n).unwrap_or_default();
                self.buffer.extend_from_slice(piece);
                if let Some(log) = &self.log {
                    log.lock().unwrap().extend_from_slice(piece);
                }
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came in time; so far: {}", show(&self.buffer))
            }
            _ => {
                self.is_ended = true;
                false
            }
        }
    }

    /// The next head with an empty body; `None` when the connection ended before it was complete.
    pub fn head(&mut self) -> Option<Message> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        Some(Message { start, fields: fields(lines), ..Message::default() })
    }

    /// The rest of a message; `is_response` decides whether no length means "until the end".
    pub fn body(&mut self, message: &mut Message, is_response: bool) {
        if message.is_chunked() {
            message.is_complete = self.chunks(message).is_some();
        } else if let Some(n) = message.length() {
            while self.buffer.len() < n && self.fill() {}
            message.is_complete = self.buffer.len() >= n;
            message.body = self.buffer.drain(..n.min(self.buffer.len())).collect();
        } else if is_response && !matches!(message.status(), 100..=199 | 204 | 304) {
            while self.fill() {}
            message.body = std::mem::take(&mut self.buffer);
            message.is_complete = true;
        } else {
            message.is_complete = true;
        }
    }

    fn chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).ok()?;
            if size == 0 {
                let mut lines = Vec::new();
                loop {
                    let line = self.line()?;
                    if line.is_empty() {
                        message.trailers = fields(lines.iter().map(String::as_str));
                        return Some(());
                    }
                    lines.push(line);
                }
            }
            while self.buffer.len() < size + 2 {
                if !self.fill() {
                    message.body.append(&mut self.buffer);
                    return None;
                }
            }
            message.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).take(at).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The next response with its body; `None` when the connection ended instead.
    pub fn response(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        self.body(&mut message, true);
        Some(message)
    }

    /// The next request with its body.
    pub fn request(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        self.body(&mut message, false);
        Some(message)
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request);
        self.response().expect("an answer")
    }

    /// Exactly `n` raw bytes, or fewer at the end.
    pub fn raw(&mut self, n: usize) -> Vec<u8> {
        while self.buffer.len() < n && self.fill() {}
        self.buffer.drain(..n.min(self.buffer.len())).collect()
    }

    /// Everything until the connection ends.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the peer closes within `limit`, without sending more.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut piece = [0u8; 1];
        let closed = loop {
            match self.stream.read(&mut piece) {
                Ok(0) => break true,
                Ok(_) => break false,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() > until {
                        break false;
                    }
                }
                Err(_) => break true,
            }
        };
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        closed && self.buffer.is_empty()
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.to_owned(), v.trim().to_owned())).collect()
}
