//! The oracle that the targets compare with: hyper, fed from memory.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Body, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    cell::RefCell,
    convert::Infallible,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A message as hyper read it.
#[derive(Debug, Default)]
pub struct Seen {
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub path: String,
    pub query: Option<String>,
    /// The target's authority, when it has one.
    pub authority: Option<String>,
    /// The response's status.
    pub status: u16,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// What was known of the body's length before it was read.
    pub length: Option<u64>,
    /// The body, when it ended as it should.
    pub body: Option<Vec<u8>>,
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Seen {
    /// The values of a field.
    pub fn get_all(&self, name: &str) -> Vec<&[u8]> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| &v[..]).collect()
    }
}

/// Reads give the input, then the end; writes go nowhere. With `waits`, nothing can be read before something was written.
struct Memory {
    input: Vec<u8>,
    at: usize,
    waits: bool,
    waker: Option<Waker>,
}

impl AsyncRead for Memory {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.waits {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let rest = self.input.get(self.at..).unwrap_or_default();
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        self.at += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.waits = false;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn memory(input: &[u8], waits: bool) -> TokioIo<Memory> {
    TokioIo::new(Memory { input: input.to_vec(), at: 0, waits, waker: None })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn pairs(fields: &hyper::HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

async fn read(mut body: Incoming, seen: &mut Seen) {
    seen.length = body.size_hint().exact();
    let mut content = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        match frame.into_data() {
            Ok(data) => content.extend_from_slice(&data),
            Err(frame) => seen.trailers.extend(frame.trailers_ref().map(pairs).unwrap_or_default()),
        }
    }
    seen.body = Some(content);
}

/// The first request in `input`, as hyper's server reads it; `None` when it refuses it.
pub fn request(input: &[u8]) -> Option<Seen> {
    let first = Rc::new(RefCell::new(None));
    let found = first.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let found = found.clone();
        async move {
            let (head, body) = request.into_parts();
            let mut seen = Seen {
                method: head.method.as_str().to_owned(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().map(str::to_owned),
                authority: head.uri.authority().map(|authority| authority.as_str().to_owned()),
                fields: pairs(&head.headers),
                ..Seen::default()
            };
            read(body, &mut seen).await;
            found.borrow_mut().get_or_insert(seen);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let _ = block_on(
        hyper::server::conn::http1::Builder::new()
            .header_read_timeout(None)
            .keep_alive(false)
            .half_close(true)
            .max_headers(4096)
            .serve_connection(memory(input, false), service),
    );
    first.take()
}

/// The final response in `input`, as hyper's client reads it; `None` when it refuses it.
pub fn response(input: &[u8], is_head: bool) -> Option<Seen> {
    block_on(async {
        let (mut sender, connection) =
            hyper::client::conn::http1::Builder::new().max_headers(4096).handshake(memory(input, true)).await.ok()?;
        let exchange = async {
            let method = if is_head { "HEAD" } else { "GET" };
            let request =
                Request::builder().method(method).uri("/").header("host", "a").body(Empty::<Bytes>::new()).ok()?;
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            let mut seen = Seen { status: head.status.as_u16(), fields: pairs(&head.headers), ..Seen::default() };
            read(body, &mut seen).await;
            drop(sender);
            Some(seen)
        };
        tokio::join!(exchange, connection).0
    })
}

/// Our decoding of a chunked body: content and trailer fields.
pub type Decoded = Result<Option<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>)>, &'static str>;

/// Decodes a chunked body that arrives in these pieces, as a connection would; `Ok(None)` when it is not complete.
pub fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    use engine::h1::{Chunk, Chunked};
    let (mut chunked, mut buffer, mut content) = (Chunked::default(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match chunked.decode(&buffer[at..])? {
                Chunk::More => break,
                Chunk::Skip(n) => at += n,
                Chunk::Data(n) => {
                    content.extend_from_slice(&buffer[at..at + n]);
                    at += n;
                }
                Chunk::End(_, trailers) => {
                    return Ok(Some((content, trailers.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect())));
                }
            }
        }
        buffer.drain(..at);
    }
    Ok(None)
}
