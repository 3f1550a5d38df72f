//! A small HTTP/1.1 client: the Admin API's, and that of single requests.

use anyhow::{Context, Result, bail, ensure};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// Connections that load routes at the same time.
const WRITERS: usize = 16;

/// A keep-alive connection.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a port of the loopback address.
    pub(super) fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // Small, because idle-memory keeps thousands of these.
        Ok(Self { stream: BufReader::with_capacity(2048, stream) })
    }

    /// Sends a GET and answers with the status.
    pub(super) fn get(&mut self, path: &str, header: Option<&str>) -> Result<u16> {
        let header = header.map(|header| format!("{header}\r\n")).unwrap_or_default();
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n"))?;
        Ok(self.receive()?.0)
    }

    /// Sends a GET with a field and answers with status and body.
    pub(super) fn read_from(&mut self, path: &str, header: &str) -> Result<(u16, String)> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n\r\n"))?;
        self.receive()
    }

    /// Sends JSON and answers with the status.
    pub(super) fn post(&mut self, path: &str, json: &str) -> Result<u16> {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            json.len()
        ))?;
        Ok(self.receive()?.0)
    }

    /// Sends a whole request.
    pub(super) fn send(&mut self, request: &str) -> Result<()> {
        self.stream.get_mut().write_all(request.as_bytes()).context("cannot send a request")
    }

    /// Receives a response: status and body.
    pub(super) fn receive(&mut self) -> Result<(u16, String)> {
        let first = self.line()?;
        let status: u16 = first
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("bad status line {first:?}"))?;
        let mut length = 0;
        let mut is_chunked = false;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            } else if let Some(value) = line.strip_prefix("transfer-encoding:") {
                is_chunked = value.trim() == "chunked";
            }
        }
        let mut body = Vec::new();
        if is_chunked {
            loop {
                let size = usize::from_str_radix(self.line()?.trim(), 16).context("bad chunk size")?;
                self.read(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.read(length, &mut body)?;
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn read(&mut self, size: usize, body: &mut Vec<u8>) -> Result<()> {
        let start = body.len();
        body.resize(start + size, 0);
        self.stream.read_exact(&mut body[start..]).context("the body ended early")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the connection was closed");
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

/// The Admin API of a running gateway.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) port: u16,
    pub(super) key: String,
}

impl Admin {
    /// A PUT, ready to be sent.
    pub(super) fn put_text(&self, resource: &str, json: &str) -> String {
        format!(
            "PUT /apisix/admin/{resource} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-KEY: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            self.key,
            json.len()
        )
    }

    /// Stores one document.
    pub(super) fn put(&self, resource: &str, json: &str) -> Result<()> {
        self.put_over(&mut Client::connect(self.port)?, resource, json)
    }

    fn put_over(&self, client: &mut Client, resource: &str, json: &str) -> Result<()> {
        client.send(&self.put_text(resource, json))?;
        let (status, body) = client.receive()?;
        ensure!(matches!(status, 200 | 201), "PUT {resource}: {status} {}", body.trim());
        Ok(())
    }

    /// Stores routes 1 to `count` over parallel connections; answers with the bytes of JSON sent.
    pub(super) fn put_routes(&self, count: usize, json: &(dyn Fn(usize) -> String + Sync)) -> Result<u64> {
        let next = AtomicUsize::new(1);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|_| {
                    scope.spawn(|| -> Result<u64> {
                        let mut client = Client::connect(self.port)?;
                        let mut bytes = 0;
                        loop {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            if number > count {
                                return Ok(bytes);
                            }
                            let route = json(number);
                            bytes += route.len() as u64;
                            let put = self.put_over(&mut client, &format!("routes/{number}"), &route);
                            if put.is_err() {
                                // The others need not go on.
                                next.store(count, Ordering::Relaxed);
                            }
                            put?;
                        }
                    })
                })
                .collect();
            let mut sum = 0;
            for writer in writers {
                sum += writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
            }
            Ok(sum)
        })
    }
}
