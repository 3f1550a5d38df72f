//! A question to the control API of a running gateway.

use anyhow::{Context, bail};
use model::settings::Endpoint;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// Time that it may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of an answer at the most.
const MAX: u64 = 64 << 20;

/// Sends a request and reads its answer.
///
/// # Errors
/// It does not answer, or not with 200.
pub(crate) fn control(endpoint: Option<Endpoint>, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
    let Some(Endpoint(addr)) = endpoint else {
        bail!(
            "a running gateway has this configuration, and its control API, which could be asked for it, is off \
             (apisix.enable_control)"
        );
    };
    let addr = reachable(addr);
    let answer = exchange(addr, method, path, body).with_context(|| {
        format!("a running gateway has this configuration, and its control API on {addr} does not answer")
    })?;
    let text = std::str::from_utf8(&answer).context("the answer is not text")?;
    let (head, body) = text.split_once("\r\n\r\n").context("the answer is cut")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    let value: Value =
        serde_json::from_str(body).with_context(|| format!("the control API on {addr} answered {status}"))?;
    if status != "200" {
        bail!("{}", value["error_msg"].as_str().unwrap_or(body));
    }
    Ok(value)
}

/// Every address is also this machine's own.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

fn exchange(addr: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer ends with the connection and is never chunked.
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {addr}\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut answer = Vec::new();
    stream.take(MAX).read_to_end(&mut answer)?;
    Ok(answer)
}
