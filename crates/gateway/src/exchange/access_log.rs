//! The access log in nginx's formats.

use model::vars::{Lookup, Value, VarName};
use parking_lot::Mutex;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// APISIX's default format.
pub const DEFAULT_FORMAT: &str = "$remote_addr - $remote_user [$time_local] $http_host \"$request_line\" $status $body_bytes_sent \
     $request_time \"$http_referer\" \"$http_user_agent\" $upstream_addr $upstream_status $upstream_response_time \
     \"$upstream_scheme://$upstream_host$upstream_uri\"";

/// Bytes gathered before a write.
const FLUSH_AT: usize = 16 << 10;

/// How values are made safe in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// `\xHH` for quotes, backslashes, control bytes and bytes above 126; `-` for absent values.
    Default,
    /// As in a JSON string; nothing for absent values.
    Json,
    /// As they are; nothing for absent values.
    None,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Var(VarName),
    /// `$request`: method, target as received, version.
    RequestLine,
}

/// A log file shared by all workers; lines are gathered and written whole.
#[derive(Debug)]
pub struct AccessLog {
    pieces: Vec<Piece>,
    escape: Escape,
    path: PathBuf,
    sink: Mutex<(File, Vec<u8>)>,
}

impl AccessLog {
    /// Opens the file for appending. `/dev/stdout` and `/dev/stderr` are what they say.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path, format: &str, escape: Escape) -> io::Result<Self> {
        let pieces = compile(format);
        Ok(Self { pieces, escape, path: path.to_owned(), sink: Mutex::new((open(path)?, Vec::new())) })
    }

    /// Opens the file again under its name, after it was moved away.
    ///
    /// # Errors
    /// The operating system's; the old file stays in use then.
    pub fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        let mut sink = self.sink.lock();
        let (old, lines) = &mut *sink;
        let _ = old.write_all(lines);
        lines.clear();
        sink.0 = file;
        Ok(())
    }

    /// Writes what was gathered. Called about once a second and at the end.
    pub fn flush(&self) {
        let (file, lines) = &mut *self.sink.lock();
        if !lines.is_empty() {
            if let Err(error) = file.write_all(lines) {
                tracing::error!(%error, "the access log cannot be written");
            }
            lines.clear();
        }
    }

    /// Appends the line of a finished request.
    pub(super) fn write(&self, cx: &plugin::Ctx) {
        let mut line = Vec::with_capacity(256);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.extend_from_slice(text),
                Piece::Var(name) => self.value(&mut line, &cx.var(name)),
                Piece::RequestLine => {
                    let request = &cx.request;
                    self.bytes(&mut line, request.method.as_str().as_bytes());
                    line.push(b' ');
                    self.bytes(&mut line, &request.target);
                    line.push(b' ');
                    line.extend_from_slice(request.version.as_str().as_bytes());
                }
            }
        }
        line.push(b'\n');
        let is_full = {
            let (_, lines) = &mut *self.sink.lock();
            lines.extend_from_slice(&line);
            lines.len() >= FLUSH_AT
        };
        if is_full {
            self.flush();
        }
    }

    fn value(&self, line: &mut Vec<u8>, value: &Value<'_>) {
        match value {
            Value::Absent => {
                if self.escape == Escape::Default {
                    line.push(b'-');
                }
            }
            Value::Str(text) if text.is_empty() && self.escape == Escape::Default => line.push(b'-'),
            Value::Str(text) => self.bytes(line, text),
            Value::Num(n) => line.extend_from_slice(n.to_string().as_bytes()),
            Value::Bool(b) => line.extend_from_slice(b.to_string().as_bytes()),
            Value::List(items) => {
                for item in items {
                    self.value(line, item);
                }
            }
        }
    }

    fn bytes(&self, line: &mut Vec<u8>, bytes: &[u8]) {
        for &b in bytes {
            match self.escape {
                Escape::None if b >= b' ' => line.push(b),
                Escape::Json => match b {
                    b'"' | b'\\' => line.extend_from_slice(&[b'\\', b]),
                    b'\n' => line.extend_from_slice(b"\\n"),
                    b'\r' => line.extend_from_slice(b"\\r"),
                    b'\t' => line.extend_from_slice(b"\\t"),
                    0..0x20 => line.extend_from_slice(format!("\\u{b:04X}").as_bytes()),
                    _ => line.push(b),
                },
                _ if b < b' ' || b == b'"' || b == b'\\' || b > 126 => {
                    line.extend_from_slice(format!("\\x{b:02X}").as_bytes());
                }
                _ => line.push(b),
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
    {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn compile(format: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        text.extend_from_slice(before.as_bytes());
        let after = after.get(1..).unwrap_or_default();
        let (name, next) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, next)) => (name, next),
            None => {
                let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        rest = next;
        if name.is_empty() {
            text.push(b'$');
            continue;
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(match name {
            "request" | "request_line" => Piece::RequestLine,
            name => Piece::Var(VarName::parse(name)),
        });
    }
    text.extend_from_slice(rest.as_bytes());
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}
