use super::{Answer, Options};
use crate::exchange::subrequest::Buffer;
use bytes::Bytes;
use engine::h1::{Framing, parse};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
};
use wire::{ConnectionFacts, Downstream, PeerAddr, RequestHead};

/// A request that might come.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The method; `GET` when it is left out.
    #[serde(default = "get")]
    pub method: String,
    /// The URL, such as `http://api.example.com/a?b=c`, or its path and query alone.
    pub url: String,
    /// Header fields.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The address from which the connection comes; `127.0.0.1` when it is left out.
    pub client: Option<IpAddr>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// The consumer that the client would be found to be: its plugins are merged over the route's.
    pub consumer: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// Why a question cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// Something in it has a line break.
    #[error("{0} has a line break or another control character in it")]
    Control(&'static str),
    /// The URL is neither a path nor `http://` or `https://`.
    #[error("the url must begin with /, http:// or https://")]
    Url,
    /// There is no such consumer.
    #[error("there is no consumer {0}")]
    UnknownConsumer(String),
}

/// A request as it would come in.
pub(super) struct Arrived {
    pub(super) head: RequestHead,
    pub(super) client: Rc<dyn Downstream>,
    pub(super) connection: ConnectionFacts,
}

impl Question {
    /// The request, read as strictly as any; the inner `Err` is the gateway's refusal of it.
    pub(super) fn arrive(&self, options: &Options) -> Result<Result<Arrived, Answer>, BadQuestion> {
        let (host, target) = self.split_url()?;
        is_plain("the method", &self.method)?;
        is_plain("the url", &self.url)?;
        let mut text = format!("{} {target} HTTP/1.1\r\n", self.method);
        let has = |name: &str| self.headers.keys().any(|key| key.eq_ignore_ascii_case(name));
        if !has("host") {
            text.push_str(&format!("Host: {}\r\n", host.unwrap_or("127.0.0.1")));
        }
        for (name, value) in &self.headers {
            is_plain("a header", name)?;
            is_plain("a header", value)?;
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = Bytes::copy_from_slice(self.body.as_bytes());
        if !body.is_empty() && !has("content-length") && !has("transfer-encoding") {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut head = RequestHead::default();
        let read = parse::request(text.as_bytes(), &options.limits, &mut head);
        if let Err((status, reason)) = read.and_then(|()| Framing::of_request(&head.fields, head.version)) {
            return Ok(Err(Answer { status, reason: reason.to_owned() }));
        }
        let client: Rc<dyn Downstream> = Rc::new(Buffer::new(body, false, 0));
        let any = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let peer = PeerAddr(SocketAddr::new(self.client.unwrap_or(any), 0));
        let connection = ConnectionFacts { peer, local: SocketAddr::new(any, 0), serial: 0 };
        Ok(Ok(Arrived { head, client, connection }))
    }

    /// The host of an absolute URL, and the target of the request line.
    fn split_url(&self) -> Result<(Option<&str>, &str), BadQuestion> {
        if self.url.starts_with('/') {
            return Ok((None, &self.url));
        }
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        let rest = rest.ok_or(BadQuestion::Url)?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(at);
        match target {
            "" => Ok((Some(host), "/")),
            target if target.starts_with('/') => Ok((Some(host), target)),
            _ => Err(BadQuestion::Url),
        }
    }
}

fn is_plain(what: &'static str, text: &str) -> Result<(), BadQuestion> {
    if text.bytes().any(|b| b.is_ascii_control() && b != b'\t') { Err(BadQuestion::Control(what)) } else { Ok(()) }
}
