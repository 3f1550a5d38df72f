use super::{Secure, TlsId};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// Reads of one look at an idle connection. What has more to say than a few session tickets is not silent.
const TICKETS: usize = 8;

/// A connection to another server, in plain text or over TLS.
#[derive(Debug)]
pub enum Stream {
    /// In plain text.
    Plain(TcpStream),
    /// Over TLS, whose state is too large to be carried by those that have none.
    Tls(Box<Tls>),
}

/// A connection over TLS.
#[derive(Debug)]
pub struct Tls {
    stream: TlsStream<TcpStream>,
    settings: TlsId,
    name: Box<str>,
}

impl Stream {
    /// Connects, and with `secure` shakes hands. The caller bounds the time.
    ///
    /// # Errors
    /// The operating system's, or why there is no TLS.
    pub async fn connect(addr: SocketAddr, secure: Option<Secure<'_>>) -> io::Result<Self> {
        let io = TcpStream::connect(addr).await?;
        io.set_nodelay(true)?;
        let Some(secure) = secure else { return Ok(Self::Plain(io)) };
        // In a box, so that who connects in plain text does not carry a handshake.
        let stream = Box::pin(secure.handshake(io)).await?;
        Ok(Self::Tls(Box::new(Tls { stream, settings: secure.settings.id(), name: secure.name.into() })))
    }

    /// The settings that it was made with, and the name of the server; `None` in plain text.
    pub(crate) fn secured(&self) -> Option<(TlsId, &str)> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some((tls.settings, &tls.name)),
        }
    }

    /// Whether something that was taken for sending has not been handed to the operating system.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.stream.get_ref().1.wants_write(),
        }
    }

    /// Whether it is open, and nothing that is meant for a reader has come.
    pub(crate) fn is_silent(&mut self) -> bool {
        match self {
            // Asks the operating system only if it has said that there is something to read, as of the last turn of the event loop.
            Self::Plain(io) => matches!(io.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock),
            Self::Tls(tls) => tls.is_silent(),
        }
    }
}

impl Tls {
    /// Session tickets and the like are for the layer itself: they are read, and leave it silent.
    fn is_silent(&mut self) -> bool {
        let (io, session) = self.stream.get_mut();
        for _ in 0..TICKETS {
            match session.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
            match session.read_tls(&mut Waiting(io)) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }
}

impl Drop for Tls {
    /// Says goodbye as far as that goes without waiting.
    fn drop(&mut self) {
        let (io, session) = self.stream.get_mut();
        session.send_close_notify();
        let _ = session.write_tls(&mut Waiting(io));
    }
}

/// A connection, as far as it can be read and written without waiting.
struct Waiting<'a>(&'a TcpStream);

impl io::Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Waiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(io: TcpStream) -> Self {
        Self::Plain(io)
    }
}
