use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// The authorities whose certificates of servers are believed; or why there are none.
#[derive(Debug, Clone)]
pub struct Roots(pub(super) Result<Arc<RootCertStore>, Arc<str>>);

impl Roots {
    /// Those of the operating system. It may have none: then no certificate can be verified, and each connection that needs it
    /// says so.
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Some systems list what is no certificate for this purpose; the others are good all the same.
        let (taken, _) = roots.add_parsable_certificates(found.certs);
        if taken > 0 {
            return Self(Ok(Arc::new(roots)));
        }
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
        Self(Err(format!("the operating system has no certificates of authorities{reasons}").into()))
    }

    /// Those of a file in PEM.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold certificates only.
    pub fn file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| error.to_string())?;
        Self::from_pem(&text)
    }

    /// Those of a text in PEM.
    ///
    /// # Errors
    /// It does not hold certificates only, or none.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_slice_iter(text) {
            let cert = cert.map_err(|error| format!("it is not in PEM: {error}"))?;
            roots.add(cert).map_err(|error| format!("one of its certificates is none of an authority: {error}"))?;
        }
        if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(Self(Ok(Arc::new(roots)))) }
    }

    /// Nobody is trusted, for this reason.
    pub fn none(reason: &str) -> Self {
        Self(Err(reason.into()))
    }

    /// Why there are none, if there are none.
    pub fn missing(&self) -> Option<&str> {
        self.0.as_ref().err().map(|reason| &**reason)
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::none("no certificates of authorities were loaded")
    }
}
