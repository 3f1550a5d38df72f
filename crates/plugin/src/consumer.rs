use crate::{Courier, Dispatcher, PublicApi, RouteFacts, UpstreamTls};
use std::{any::Any, rc::Rc, sync::Arc};
use wire::Method;

/// Who a request is made by, as authentication found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The consumer's username.
    pub name: Arc<str>,
    /// The consumer group that it belongs to.
    pub group_id: Option<Arc<str>>,
    /// The label `custom_id`, sent upstream as `X-Consumer-Custom-ID`.
    pub custom_id: Option<Arc<str>>,
    /// The credential that was used, when it is not the consumer's own plugin configuration.
    pub credential_id: Option<Arc<str>>,
    /// Labels, in the order written.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// A credential's place in its plugin's index.
pub trait CredentialIndex {
    /// The consumer that owns a credential with this key, and the credential as the plugin compiled it.
    /// Takes the same time for every wrong key of one length.
    fn find(&self, plugin: &str, key: &[u8]) -> Option<(Arc<Consumer>, Arc<dyn Any + Send + Sync>)>;
}

/// A stored document that cannot be read, with its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be read")]
pub struct Unreadable(pub Arc<str>);

/// Where a service is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNode {
    /// A name or an address, without brackets.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// The `Host` that it sees.
    pub host: Vec<u8>,
    /// How it is reached over TLS, if it is.
    pub tls: Option<UpstreamTls>,
}

/// What plugins may look up in the snapshot while a request runs.
pub trait Directory: CredentialIndex {
    /// A consumer by its username.
    fn consumer(&self, name: &str) -> Option<Arc<Consumer>>;
    /// Whether any consumer has credentials for the plugin.
    fn has_credentials(&self, plugin: &str) -> bool;
    /// A plugin's metadata as it compiled it.
    fn metadata(&self, plugin: &str) -> Option<Arc<dyn Any + Send + Sync>>;
    /// A service's cost decorations as the plugin that charges for them compiled them.
    ///
    /// # Errors
    /// One of them cannot be read, so that nobody knows what a field costs.
    fn decorations(&self, _service: &str) -> Result<Option<Arc<dyn Any + Send + Sync>>, Unreadable> {
        Ok(None)
    }
    /// The node of a route's service, else of the route, that questions about the service itself are sent to; always the same.
    fn service_node(&self, _route: &RouteFacts, _authority: &[u8]) -> Option<ServiceNode> {
        None
    }
    /// Whether there is an upstream with this id.
    fn has_upstream(&self, id: &str) -> bool;
    /// Takes requests into the request path; `None` where there is none.
    fn dispatcher(&self) -> Option<Rc<dyn Dispatcher>> {
        None
    }
    /// Sends requests to other servers; `None` where there is no network.
    fn courier(&self) -> Option<Rc<dyn Courier>> {
        None
    }
    /// The handler that a plugin registered for this method and path.
    fn public_api(&self, method: &Method, path: &str) -> Option<PublicApi>;
}
