//! What upstreams are shown.

use super::{Compiler, Wrong};
use crate::upstream::{CompiledUpstream, Identity, Shown};
use model::documents::{self, Scheme, SslType};
use serde_json::Value;
use std::sync::Arc;

impl Compiler {
    /// An ssl object. Only those that are for upstreams are used yet.
    pub(super) fn certificate(&mut self, id: &str, new: Option<&Value>) -> Result<(), Wrong> {
        let written = match new.map(documents::Ssl::parse).transpose() {
            Ok(written) => written.filter(|written| written.usage == SslType::Client),
            Err(error) => return self.break_certificate(id, error.into()),
        };
        let Some(written) = written else {
            self.snapshot.certificates.remove(id.as_bytes());
            return Ok(());
        };
        let (cert, key) = written.first();
        match self.identity(cert, key.expose()) {
            Ok(identity) => {
                self.snapshot.certificates.insert(id.as_bytes(), Some(identity));
                Ok(())
            }
            Err(reason) => self.break_certificate(id, reason.into()),
        }
    }

    /// The last good version stays in use; without one it is there, and nobody can be shown it.
    fn break_certificate(&mut self, id: &str, wrong: Wrong) -> Result<(), Wrong> {
        if !matches!(self.snapshot.certificates.get(id.as_bytes()), Some(Some(_))) {
            self.snapshot.certificates.insert(id.as_bytes(), None);
        }
        Err(wrong)
    }

    pub(super) fn compile_upstream(
        &self,
        written: &documents::Upstream,
        owner: &str,
    ) -> Result<Arc<CompiledUpstream>, String> {
        CompiledUpstream::compile(written, owner, self.shown(written)?, &self.upstreams)
    }

    /// What an upstream shows; nothing where nobody would see it.
    pub(super) fn shown(&self, written: &documents::Upstream) -> Result<Shown, String> {
        match written.tls.as_ref().filter(|_| written.scheme == Scheme::Https) {
            Some(documents::Tls { client_cert_id: Some(id), .. }) => Ok(Shown::Object(id.as_str().into())),
            Some(documents::Tls { client_cert: Some(cert), client_key: Some(key), .. }) => {
                self.identity(cert, key.expose()).map(Shown::This)
            }
            _ => Ok(Shown::This(self.upstreams.nobody())),
        }
    }

    /// Of texts in PEM, or references to such.
    fn identity(&self, cert: &str, key: &str) -> Result<Arc<Identity>, String> {
        let resolved = |text: &str| self.plugins.resolve(text).map_err(|error| error.to_string());
        self.upstreams.identity(&resolved(cert)?, &resolved(key)?).map_err(|error| error.to_string())
    }
}
