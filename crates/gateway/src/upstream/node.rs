use super::health::Target;
use model::documents;
use std::{net::IpAddr, sync::Arc};

/// A node as compiled.
#[derive(Debug)]
pub struct Node {
    /// As configured, with its port when it has one.
    pub name: Arc<str>,
    /// Host without port.
    pub host: Box<str>,
    /// Its address, unless the host is a name.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Host and port, the latter always: what balancers know it by.
    pub(super) address: Arc<str>,
    /// The `Host` that it sees when it is named by its own name.
    pub(super) own_host: Box<[u8]>,
    pub(super) weight: u32,
    pub(super) priority: i64,
    /// What the health checks know of it.
    pub(super) target: Option<Arc<Target>>,
}

/// A node that was picked.
pub type Pick = Arc<Node>;

impl Node {
    /// Compiles a node; `default_port` is that of the scheme.
    pub(super) fn compile(written: &documents::Node, default_port: u16) -> Self {
        let name = match written.port {
            Some(port) => format!("{}:{port}", written.host),
            None => written.host.clone(),
        };
        let port = written.port.unwrap_or(default_port);
        Self {
            name: name.into(),
            host: written.host.as_str().into(),
            ip: written.ip(),
            port,
            address: format!("{}:{port}", written.host).into(),
            own_host: match written.port {
                Some(port) if port != default_port => format!("{}:{port}", written.host).into_bytes().into(),
                _ => written.host.as_bytes().into(),
            },
            weight: written.weight,
            priority: written.priority,
            target: None,
        }
    }

    /// A server that is no node of an upstream.
    pub(crate) fn of(host: &str, port: u16) -> Self {
        let written =
            documents::Node { host: host.to_owned(), port: Some(port), weight: 1, priority: 0, metadata: None };
        Self::compile(&written, port)
    }

    /// Host and port, the latter always.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its share among the nodes of its priority.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Nodes of a higher priority are asked first.
    pub fn priority(&self) -> i64 {
        self.priority
    }

    /// What health checks say of it, as APISIX writes it; `None` where it is not checked.
    pub fn health(&self) -> Option<&'static str> {
        self.target.as_ref().map(|target| target.state().name())
    }

    /// As configured.
    pub fn name(&self) -> Arc<str> {
        self.name.clone()
    }
}
