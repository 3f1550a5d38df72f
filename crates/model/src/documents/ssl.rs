use serde::Deserialize;
use serde_json::Value;

use super::fields::{self, debug_by_id};
use super::{DocumentError, Kind, read};
use crate::secret::Secret;

/// Certificates with their private keys.
#[derive(Clone, Deserialize)]
pub struct Ssl {
    /// Its id; empty when only the key carries it.
    #[serde(default, deserialize_with = "fields::id")]
    pub id: String,
    /// Who is identified by it.
    #[serde(rename = "type")]
    pub usage: SslType,
    cert: String,
    key: Secret<String>,
    #[serde(default)]
    certs: Vec<String>,
    #[serde(default)]
    keys: Vec<Secret<String>>,
    /// What clients have to show.
    #[serde(default)]
    pub client: Option<ClientVerification>,
}

/// Who is identified by a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SslType {
    /// The gateway, to its clients.
    Server,
    /// The gateway, to its upstreams.
    Client,
}

/// What clients have to show.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ClientVerification {
    /// The certificates of the authorities that are believed, as PEM.
    pub ca: String,
    /// Paths for which nothing has to be shown, as patterns.
    #[serde(default)]
    pub skip_mtls_uri_regex: Vec<String>,
}

debug_by_id!(Ssl, id);

impl Ssl {
    /// Checks and reads certificates; what is in their texts is checked where TLS is known.
    pub fn parse(value: &Value) -> Result<Ssl, DocumentError> {
        read(Kind::Ssl, value)
    }

    /// The first certificate and its key, which are always there.
    pub fn first(&self) -> (&str, &Secret<String>) {
        (&self.cert, &self.key)
    }

    /// The other certificates and keys of a server.
    ///
    /// # Errors
    /// There are not as many of the ones as of the others.
    pub fn others(&self) -> Result<impl Iterator<Item = (&str, &Secret<String>)>, DocumentError> {
        if self.usage == SslType::Server && self.certs.len() != self.keys.len() {
            return Err(DocumentError::refused("mismatched number of certs and keys"));
        }
        let others = self.certs.iter().map(String::as_str).zip(&self.keys);
        Ok(others.filter(|_| self.usage == SslType::Server))
    }
}
