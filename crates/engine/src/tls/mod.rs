//! TLS to other servers: whom to trust, what to show, and the connections themselves. The only place that names rustls.

mod certificate;
mod connector;
mod roots;
mod stream;
#[cfg(test)]
mod tests;
mod verifier;

pub use certificate::{BadCertificate, ClientCertificate};
pub use connector::{Secure, TlsId, TlsSettings, server_name};
pub use roots::Roots;
pub use stream::Stream;

/// Makes our implementation of cryptography the one of every TLS connection of the process, also of those that libraries
/// make. To do it again changes nothing.
pub fn install_cryptography() {
    // An error says that there is one already, and this is the only one that is compiled in.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
