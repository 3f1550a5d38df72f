use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::sync::Arc;

/// Why something cannot be shown to a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// There is none in the text, or what is there is none.
    #[error("the client certificate is no certificate in PEM")]
    Certificate,
    /// There is none in the text, or what is there is none.
    #[error("the client certificate's private key is no private key in PEM")]
    Key,
    /// The key is of a kind that is not supported, or belongs to another certificate.
    #[error("the client certificate and its private key cannot be used: {0}")]
    Pair(String),
}

/// What shows servers who we are: a chain of certificates, and the key of the first.
#[derive(Debug, Clone)]
pub struct ClientCertificate(pub(super) Arc<CertifiedKey>);

impl ClientCertificate {
    /// Reads both from PEM.
    ///
    /// # Errors
    /// What of it cannot be used; nothing of it is quoted.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, BadCertificate> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| BadCertificate::Certificate)?;
        if chain.is_empty() {
            return Err(BadCertificate::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| BadCertificate::Key)?;
        CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())
            .map(|pair| Self(Arc::new(pair)))
            .map_err(|error| BadCertificate::Pair(error.to_string()))
    }
}
