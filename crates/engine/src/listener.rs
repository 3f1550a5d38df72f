use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// A bound listening socket; each worker gets one of its own for the same address.
pub type Listener = TcpListener;

/// Bytes of an answer that wait in the kernel for a client that does not take them. What is on its way is not counted, so
/// this does not slow anybody down; without it a slow client's buffer grows to megabytes.
const UNSENT_MAX: u32 = 64 << 10;

/// Binds an address. `share` lets several sockets of this process have it (`SO_REUSEPORT`), and the kernel spread the
/// connections over them.
///
/// # Errors
/// The operating system's; an address in use is `AddrInUse`.
pub fn bind(addr: SocketAddr, share: bool) -> io::Result<Listener> {
    let domain = if addr.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    // Accepted connections inherit it.
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.listen(4096)?;
    Ok(socket.into())
}
