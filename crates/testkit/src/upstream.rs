//! An upstream that is no server: the other end of a pair of connected streams, without an address.

use crate::{case::Upstream, client::texts, compare::Seen};
use engine::{Limits, h1::parse};
use std::{cell::RefCell, io, os::fd::OwnedFd, os::unix::net::UnixStream as Pair, rc::Rc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use wire::RequestHead;

#[derive(Clone, Default)]
pub(crate) struct FakeUpstream {
    pub(crate) answer: Rc<RefCell<Upstream>>,
    pub(crate) seen: Rc<RefCell<Vec<Seen>>>,
}

impl FakeUpstream {
    /// A new connection to it. Has to be called in a local runtime, which serves it.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let (near, far) = Pair::pair()?;
        for end in [&near, &far] {
            end.set_nonblocking(true)?;
        }
        let (this, far) = (self.clone(), UnixStream::from_std(far)?);
        tokio::task::spawn_local(async move {
            // The gateway may leave at any time.
            let _ = this.serve(far).await;
        });
        // What is done with a stream is the same for both families of addresses.
        TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(near)))
    }

    async fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            let mut scanned = 0;
            let end = loop {
                if let Some(end) = parse::find_end(&bytes, &mut scanned).expect("the gateway writes sound heads") {
                    break end;
                }
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
            };
            let mut head = RequestHead::default();
            parse::request(&bytes[..end], &Limits::default(), &mut head).expect("the gateway writes sound heads");
            assert!(!head.fields.contains("transfer-encoding"), "bodies of cases have a length");
            let length = head.fields.get_str("content-length").map_or(0, |length| length.parse().expect("a length"));
            while bytes.len() < end + length {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
            }
            self.seen.borrow_mut().push(Seen {
                method: head.method.as_str().to_owned(),
                target: String::from_utf8_lossy(&head.target).into_owned(),
                fields: texts(&head.fields),
                body: bytes[end..end + length].to_vec(),
            });
            bytes.drain(..end + length);
            let answer = self.answer.borrow().to_bytes(head.method.as_str() == "HEAD");
            stream.write_all(&answer).await?;
        }
    }
}

impl Upstream {
    /// The answer as it is on the wire.
    pub fn to_bytes(&self, is_to_head: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Scripted\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        if !is_to_head {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}
