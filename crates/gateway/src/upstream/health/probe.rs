//! One check of one target.

use super::{
    rules::{Report, Rules},
    target::Target,
};
use engine::tls::{Secure, Stream, TlsSettings, server_name};
use hickory_resolver::TokioResolver;
use model::documents::CheckType;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest status line.
const MAX_LINE: usize = 8 << 10;

/// How targets are reached.
pub(super) struct Ways {
    pub(super) resolver: Result<TokioResolver, String>,
    /// Over TLS: any server, and those whose certificate is verified.
    pub(super) tls: [Arc<TlsSettings>; 2],
}

/// Asks a target. Each step has the time that the rules give it, however slowly bytes come; an answer is read up to its status line.
pub(super) async fn ask(target: &Target, rules: &Rules, ways: &Ways) -> Report {
    let host = target.host_header.as_deref().unwrap_or(&target.hostname);
    let [unverified, verified] = &ways.tls;
    let secure = (rules.kind == CheckType::Https).then(|| Secure {
        settings: if rules.verifies { verified } else { unverified },
        name: server_name(host.as_bytes()),
    });
    let connect = async {
        let ip = find(target, &ways.resolver).await?;
        let connected = Stream::connect(SocketAddr::new(ip, target.port), secure).await;
        connected.inspect_err(|error| tracing::debug!(%error, node = %target.host, port = target.port, "health"))
    };
    let mut stream = match step(rules.timeout, connect).await {
        Ok(stream) => stream,
        Err(report) => return report,
    };
    if rules.kind == CheckType::Tcp {
        return Report::Connected;
    }
    let request = [&*rules.request.0, host.as_bytes(), &rules.request.1].concat();
    let send = async {
        stream.write_all(&request).await?;
        stream.flush().await
    };
    if let Err(report) = step(rules.timeout, send).await {
        return report;
    }
    match step(rules.timeout, line(&mut stream)).await {
        Ok(line) => Report::Status(status(&line).unwrap_or(0)),
        Err(report) => report,
    }
}

async fn step<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> Result<T, Report> {
    match tokio::time::timeout(limit, step).await {
        Err(_) => Err(Report::Timeout),
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Report::Timeout),
        Ok(Err(_)) => Err(Report::Tcp),
        Ok(Ok(value)) => Ok(value),
    }
}

async fn find(target: &Target, resolver: &Result<TokioResolver, String>) -> io::Result<IpAddr> {
    if let Some(ip) = target.ip {
        return Ok(ip);
    }
    let resolver = resolver.as_ref().map_err(|reason| io::Error::other(reason.as_str()))?;
    let found = resolver.lookup_ip(&*target.host).await.map_err(io::Error::other)?;
    let addrs: Vec<IpAddr> = found.iter().collect();
    let ip = addrs.iter().find(|ip| ip.is_ipv4()).or(addrs.first()).copied();
    *target.found.lock() = ip;
    ip.ok_or_else(|| io::Error::other("no address"))
}

/// Bytes up to a line feed. One that is too long is no line, and neither is the end of the connection.
async fn line(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    let mut piece = [0; 512];
    loop {
        let n = stream.read(&mut piece).await?;
        let piece = piece.get(..n).unwrap_or_default();
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = memchr::memchr(b'\n', piece) {
            read.extend_from_slice(piece.get(..end).unwrap_or_default());
            return Ok(read);
        }
        read.extend_from_slice(piece);
        if read.len() > MAX_LINE {
            return Ok(read);
        }
    }
}

/// `HTTP/1.1 200 ...`
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let (version, rest) = rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?);
    let is_version =
        matches!(version.split(|byte| *byte == b'.').collect::<Vec<_>>()[..], [a, b] if !a.is_empty() && !b.is_empty());
    let digits = rest.trim_ascii_start();
    let digits = digits.get(..digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len()))?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (is_version && rest.first()?.is_ascii_whitespace()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK\r", Some(200)),
            ("HTTP/1.0 503\r", Some(503)),
            ("HTTP/1.1  404 x", Some(404)),
            ("HTTP/1.1 99999999", None),
            ("HTTP/1.1200", None),
            ("HTTP/11 200", None),
            ("HTTP/.1 200", None),
            ("HTTP/1.1 OK", None),
            ("SSH-2.0-x", None),
            ("", None),
        ] {
            assert_eq!(status(line.as_bytes()), expected, "{line}");
        }
    }
}
