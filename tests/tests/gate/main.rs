//! The real binary, raw sockets on both sides.

mod fixture;
mod lifecycle;
mod proxying;
mod requests;
mod responses;
