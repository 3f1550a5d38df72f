//! Who we are for the servers of upstreams, and whether they have to say who they are.

use aws_lc_rs::digest;
use engine::tls::{BadCertificate, ClientCertificate, Roots, TlsId, TlsSettings};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// What is shown to servers, and how connections that show it are made. Upstreams that show the same have the same one, so that
/// a change of anything else leaves connections and sessions in use.
#[derive(Default)]
pub struct Identity {
    certificate: Option<ClientCertificate>,
    unverified: OnceLock<Arc<TlsSettings>>,
    verified: OnceLock<Arc<TlsSettings>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("has_certificate", &self.certificate.is_some()).finish_non_exhaustive()
    }
}

/// What an upstream shows.
#[derive(Debug, Clone)]
pub enum Shown {
    /// This.
    This(Arc<Identity>),
    /// The certificate of the ssl object with this id.
    Object(Box<str>),
}

/// What an upstream's connections over TLS are made with.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) shown: Shown,
    pub(super) verifies: bool,
}

/// Everybody that we are.
#[derive(Default)]
pub(super) struct Identities {
    /// Without a certificate.
    nobody: Arc<Identity>,
    /// By a hash of certificate and key.
    known: Mutex<HashMap<[u8; 32], Weak<Identity>>>,
    settings: AtomicU64,
}

impl Identities {
    pub(super) fn nobody(&self) -> &Arc<Identity> {
        &self.nobody
    }

    pub(super) fn of(&self, cert: &str, key: &str) -> Result<Arc<Identity>, BadCertificate> {
        let certificate = ClientCertificate::from_pem(cert, key)?;
        let hash = hash_of(cert, key);
        let mut known = self.known.lock();
        if let Some(identity) = known.get(&hash).and_then(Weak::upgrade) {
            return Ok(identity);
        }
        if known.len().is_power_of_two() {
            known.retain(|_, identity| identity.strong_count() > 0);
        }
        let identity = Arc::new(Identity { certificate: Some(certificate), ..Identity::default() });
        known.insert(hash, Arc::downgrade(&identity));
        Ok(identity)
    }

    /// How connections are made that show `identity`. `roots` is asked once, by the first that verifies servers.
    pub(super) fn settings(
        &self,
        identity: &Identity,
        verifies: bool,
        roots: impl FnOnce() -> Roots,
    ) -> Arc<TlsSettings> {
        let settings = if verifies { &identity.verified } else { &identity.unverified };
        let compile = || {
            let roots = verifies.then(roots);
            Arc::new(TlsSettings::compile(self.next_id(), roots.as_ref(), identity.certificate.as_ref()))
        };
        settings.get_or_init(compile).clone()
    }

    fn next_id(&self) -> TlsId {
        TlsId::MIN.saturating_add(self.settings.fetch_add(1, Ordering::Relaxed))
    }
}

fn hash_of(cert: &str, key: &str) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&cert.len().to_le_bytes());
    hash.update(cert.as_bytes());
    hash.update(key.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    bytes
}
