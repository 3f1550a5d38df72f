use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// The client that the request is made for: the peer, or the address that a trusted hop vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub SocketAddr);

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionFacts {
    /// The client's end.
    pub peer: PeerAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Which connection of the process this is, counted from 1.
    pub serial: u64,
}

impl PeerAddr {
    /// The address with an IPv4-mapped IPv6 address folded to IPv4, so that one client has one spelling.
    pub fn new(addr: SocketAddr) -> Self {
        Self(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
    }
}

impl ClientAddr {
    /// The client's IP address.
    pub fn ip(&self) -> IpAddr {
        self.0.ip()
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.ip().fmt(f)
    }
}
