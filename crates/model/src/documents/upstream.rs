use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::checks::Checks;
use super::fields::{self, Timeout, debug_by_id};
use super::kind::hash_key;
use super::{DocumentError, Kind, read};
use crate::schema::{Violation, number};
use crate::secret::Secret;

/// Where requests are sent.
#[derive(Clone, PartialEq, Deserialize)]
pub struct Upstream {
    /// Its id; empty when only the key carries it.
    #[serde(default, deserialize_with = "fields::id")]
    pub id: String,
    /// The servers; `None` when they are discovered.
    #[serde(default, deserialize_with = "nodes")]
    pub nodes: Option<Vec<Node>>,
    /// The service whose servers are discovered.
    #[serde(default)]
    pub service_name: Option<String>,
    /// How they are discovered.
    #[serde(default)]
    pub discovery_type: Option<String>,
    /// Arguments of the discovery.
    #[serde(default)]
    pub discovery_args: Option<Value>,
    /// How a server is chosen: `roundrobin`, `chash`, `ewma`, `least_conn` or the name of something unknown.
    #[serde(rename = "type")]
    pub algorithm: String,
    /// What `chash` hashes.
    pub hash_on: HashOn,
    /// The name of what `chash` hashes.
    #[serde(default)]
    pub key: Option<String>,
    /// How often another server is tried; all of them once when absent.
    #[serde(default, deserialize_with = "fields::optional_integer")]
    pub retries: Option<u32>,
    /// Seconds after which no other server is tried; 0 is no limit.
    #[serde(default)]
    pub retry_timeout: Option<f64>,
    /// How long a server may take.
    #[serde(default)]
    pub timeout: Option<Timeout>,
    /// The Host header that servers see.
    pub pass_host: PassHost,
    /// The Host header for [`PassHost::Rewrite`].
    #[serde(default)]
    pub upstream_host: Option<String>,
    /// The protocol of the servers.
    pub scheme: Scheme,
    /// Idle connections.
    #[serde(default)]
    pub keepalive_pool: Option<KeepalivePool>,
    /// Health checks.
    #[serde(default)]
    pub checks: Option<Checks>,
    /// Client certificate and verification.
    #[serde(default)]
    pub tls: Option<Tls>,
}

debug_by_id!(Upstream, id);

/// Who we are for the servers of an upstream, and whether they have to say who they are.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Tls {
    /// The id of the certificate that is shown.
    #[serde(default, deserialize_with = "fields::reference")]
    pub client_cert_id: Option<String>,
    /// The certificate that is shown, or a reference to it.
    #[serde(default)]
    pub client_cert: Option<String>,
    /// Its private key, or a reference to it.
    #[serde(default)]
    pub client_key: Option<Secret<String>>,
    /// Whether the servers' certificates are verified; `None` where nobody wrote anything about it.
    #[serde(default)]
    pub verify: Option<bool>,
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        let key = |tls: &Self| tls.client_key.as_ref().map(|key| key.expose().clone());
        (&self.client_cert_id, &self.client_cert, self.verify, key(self))
            == (&other.client_cert_id, &other.client_cert, other.verify, key(other))
    }
}

/// The default that APISIX's schema has for `verify` is no wish of anybody: whether somebody wrote it is what counts.
pub(super) fn forget_default_of_verify(written: &Value, filled: &mut Value) {
    for at in ["/tls", "/upstream/tls"] {
        if written.pointer(at).is_some_and(|tls| tls.get("verify").is_none())
            && let Some(Value::Object(tls)) = filled.pointer_mut(at)
        {
            tls.shift_remove("verify");
        }
    }
}

/// A server of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name or address; IPv6 addresses are in brackets.
    pub host: String,
    /// The port; that of the scheme when absent.
    pub port: Option<u16>,
    /// Its share of the requests; 0 is none.
    pub weight: u32,
    /// Servers of a lower priority are used when those of a higher one cannot be.
    pub priority: i64,
    /// Metadata for plugins.
    pub metadata: Option<Value>,
}

impl Node {
    /// The address, unless the host is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host);
        bare.parse().ok()
    }
}

/// What `chash` hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// A variable.
    Vars,
    /// A request header.
    Header,
    /// A cookie.
    Cookie,
    /// The consumer.
    Consumer,
    /// A text with several variables.
    VarsCombinations,
}

/// The Host header that servers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassHost {
    /// That of the client.
    Pass,
    /// The host of the node.
    Node,
    /// `upstream_host`.
    Rewrite,
}

/// The protocol of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scheme {
    Http,
    Https,
    Grpc,
    Grpcs,
    Tcp,
    Tls,
    Udp,
    Kafka,
}

impl Scheme {
    /// The port of nodes that name none.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Scheme::Http | Scheme::Grpc => Some(80),
            Scheme::Https | Scheme::Grpcs => Some(443),
            Scheme::Tcp | Scheme::Tls | Scheme::Udp | Scheme::Kafka => None,
        }
    }
}

/// Idle connections to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct KeepalivePool {
    /// How many are kept.
    #[serde(deserialize_with = "fields::integer")]
    pub size: u32,
    /// For how many seconds.
    pub idle_timeout: f64,
    /// For how many requests.
    #[serde(deserialize_with = "fields::integer")]
    pub requests: u32,
}

impl Upstream {
    /// Checks and reads an upstream, as strictly as the Admin API.
    pub fn parse(value: &Value) -> Result<Upstream, DocumentError> {
        refuse_bare_ipv6(value)?;
        Upstream::load(value)
    }

    /// Like [`Upstream::parse`], but takes IPv6 nodes without brackets, as APISIX does for what is already stored.
    pub fn load(value: &Value) -> Result<Upstream, DocumentError> {
        let upstream: Upstream = read(Kind::Upstream, value)?;
        upstream.check(value)?;
        Ok(upstream)
    }

    /// The rules that the schema cannot express; `written` is what this upstream was read from.
    pub(super) fn check(&self, written: &Value) -> Result<(), DocumentError> {
        refuse_ports(written)?;
        if self.pass_host == PassHost::Rewrite && self.upstream_host.as_ref().is_none_or(String::is_empty) {
            return Err(DocumentError::refused("`upstream_host` can't be empty when `pass_host` is `rewrite`"));
        }
        if self.algorithm != "chash" || self.hash_on == HashOn::Consumer {
            return Ok(());
        }
        let Some(key) = &self.key else {
            return Err(DocumentError::refused("missing key"));
        };
        if let Some(schema) = hash_key::schema(self.hash_on) {
            let violation = schema.check(&Value::from(key.as_str()));
            violation.map_err(|violation| Violation { path: "/key".to_owned(), ..violation })?;
        }
        Ok(())
    }
}

/// The Admin API takes IPv6 addresses only in brackets; it looks before it looks at the schema.
pub(super) fn refuse_bare_ipv6(upstream: &Value) -> Result<(), DocumentError> {
    let nodes = upstream.get("nodes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, node) in nodes.iter().enumerate() {
        let host = node.get("host").and_then(Value::as_str).unwrap_or_default();
        if is_bare_ipv6(host) {
            return Err(DocumentError::Invalid(Violation {
                message: "IPv6 address must be enclosed with '[' and ']'".to_owned(),
                path: format!("/nodes/{index}/host"),
            }));
        }
    }
    Ok(())
}

fn is_bare_ipv6(host: &str) -> bool {
    host.parse::<Ipv6Addr>().is_ok()
}

/// An upstream within another document, whose schema has filled it already.
pub(super) fn embedded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Upstream>, D::Error> {
    Upstream::deserialize(deserializer).map(Some)
}

/// A node as the array form writes it.
#[derive(Deserialize)]
struct Written {
    host: String,
    #[serde(default, deserialize_with = "fields::optional_integer")]
    port: Option<u16>,
    #[serde(deserialize_with = "fields::integer")]
    weight: u32,
    #[serde(default, deserialize_with = "fields::optional_integer")]
    priority: Option<i64>,
    #[serde(default)]
    metadata: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Nodes {
    List(Vec<Written>),
    Weights(Map<String, Value>),
}

fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Node>>, D::Error> {
    let nodes = match Nodes::deserialize(deserializer)? {
        Nodes::List(list) => list.into_iter().map(Node::from).collect(),
        Nodes::Weights(weights) => weights.iter().map(|(address, weight)| weighted(address, weight)).collect(),
    };
    Ok(Some(nodes))
}

impl From<Written> for Node {
    fn from(node: Written) -> Node {
        let Written { host, port, weight, priority, metadata } = node;
        let host = if is_bare_ipv6(&host) { format!("[{host}]") } else { host };
        Node { host, port, weight, priority: priority.unwrap_or(0), metadata }
    }
}

/// A node as the object form writes it: `"host:port": weight`.
fn weighted(address: &str, weight: &Value) -> Node {
    let (host, port) = split_address(address);
    let host = if is_bare_ipv6(host) { format!("[{host}]") } else { host.to_owned() };
    let port = port.filter(|port| is_port(*port)).map(|port| port as u16);
    let weight = weight.as_f64().map_or(0, |weight| weight as u32);
    Node { host, port, weight, priority: 0, metadata: None }
}

/// In the object form the schema does not see the ports.
fn refuse_ports(upstream: &Value) -> Result<(), DocumentError> {
    let addresses = upstream.get("nodes").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    match addresses.filter_map(|address| split_address(address).1).find(|port| !is_port(*port)) {
        Some(port) => Err(DocumentError::refused(format!("invalid port {}", number(port)))),
        None => Ok(()),
    }
}

fn is_port(number: f64) -> bool {
    number.fract() == 0.0 && (1.0..=65535.0).contains(&number)
}

/// Host and port. What follows the colon but is no number is dropped, as in APISIX.
pub fn split_address(address: &str) -> (&str, Option<f64>) {
    let Some((host, port)) = address.rsplit_once(':') else {
        return (address, None);
    };
    let portless = if address.starts_with('[') { !host.ends_with(']') } else { is_ipv6_like(address) };
    if port.is_empty() || portless {
        return (address, None);
    }
    (host, port.parse().ok())
}

/// Two colons and no dot before the second.
fn is_ipv6_like(address: &str) -> bool {
    let second = address.match_indices(':').nth(1).map(|(index, _)| index);
    second.is_some_and(|second| address.find('.').is_none_or(|dot| dot > second))
}
