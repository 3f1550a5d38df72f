/// Makes our implementation of cryptography the one of every TLS connection of the process, also of those that libraries
/// make. To do it again changes nothing.
pub fn install_cryptography() {
    // An error says that there is one already, and this is the only one that is compiled in.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
