use super::{ClientCertificate, Roots, verifier::Unverified};
use rustls::{
    CertificateError, ClientConfig, Error,
    client::{Resumption, WebPkiServerVerifier},
    pki_types::ServerName,
    sign::SingleCertAndKey,
};
use std::{io, num::NonZeroU64, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Servers with which sessions are resumed; more of them are forgotten, the oldest first.
const SESSIONS: usize = 256;

/// Tells settings apart; whoever makes them gives each its own.
pub type TlsId = NonZeroU64;

/// How connections over TLS are made: whom to believe, and what to show. Compiled once; connections of different settings are
/// never taken for each other.
#[derive(Debug)]
pub struct TlsSettings {
    id: TlsId,
    verifies: bool,
    config: Result<Arc<ClientConfig>, Arc<str>>,
}

/// What a connection over TLS is made with, and to whom.
#[derive(Debug, Clone, Copy)]
pub struct Secure<'a> {
    /// The settings.
    pub settings: &'a TlsSettings,
    /// The server's name, without a port: what it is asked for, and what its certificate has to be for.
    pub name: &'a str,
}

impl TlsSettings {
    /// With `roots` certificates of servers are verified against these; without any certificate will do.
    pub fn compile(id: TlsId, roots: Option<&Roots>, certificate: Option<&ClientCertificate>) -> Self {
        Self { id, verifies: roots.is_some(), config: config(roots, certificate).map(Arc::new) }
    }

    /// What tells them apart.
    pub fn id(&self) -> TlsId {
        self.id
    }

    /// Whether certificates of servers are verified.
    pub fn verifies(&self) -> bool {
        self.verifies
    }
}

fn config(roots: Option<&Roots>, certificate: Option<&ClientCertificate>) -> Result<ClientConfig, Arc<str>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    // TLS 1.2 and 1.3, the only ones that there are in this library.
    let versions = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verified = match roots {
        Some(roots) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.0.clone()?, provider).build();
            versions.with_webpki_verifier(verifier.map_err(|error| error.to_string())?)
        }
        None => versions.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    };
    let mut config = match certificate {
        Some(certificate) => {
            verified.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.0.clone())))
        }
        None => verified.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

impl Secure<'_> {
    pub(super) async fn handshake(self, io: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let refused = |reason: &str| io::Error::other(format!("no TLS with {:?}: {reason}", self.name));
        let config = self.settings.config.clone().map_err(|reason| refused(&reason))?;
        let name = match ServerName::try_from(self.name) {
            Ok(name) => name.to_owned(),
            // Where it does not matter whose certificate it is, the server is just not told a name.
            Err(_) if !self.settings.verifies => ServerName::from(io.peer_addr()?.ip()),
            Err(_) => return Err(refused("that is no name that a certificate could be for")),
        };
        TlsConnector::from(config).connect(name, io).await.map_err(|error| {
            let kind = error.kind();
            let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).map(explain);
            let reason = reason.unwrap_or_else(|| error.to_string());
            io::Error::new(kind, format!("no TLS with {:?}: {reason}", self.name))
        })
    }
}

/// What a failure means for who has to do something about it.
fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate was signed by nobody who is trusted (apisix.ssl.ssl_trusted_certificate)".to_owned()
        }
        Error::InvalidMessage(_) => format!("{error}; it probably does not speak TLS on this port"),
        other => other.to_string(),
    }
}

/// The name of a server in what names it in `Host`: without port and brackets. Empty when it is no name.
pub fn server_name(host: &[u8]) -> &str {
    let host = std::str::from_utf8(host).unwrap_or_default();
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    }
}
