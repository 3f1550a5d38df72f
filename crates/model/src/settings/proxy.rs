//! Between client and upstream: addresses, names, connections, keys.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

use super::SettingsError;
use super::reader::Reader;
use super::units::{FromSetting, Switch};
use crate::secret::Secret;

/// Whose headers tell the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealIp {
    /// `nginx_config.http.real_ip_header`, lower case.
    pub header: String,
    /// `nginx_config.http.real_ip_from`: peers whose header is believed.
    pub from: Vec<IpNet>,
    /// `real_ip_recursive`
    pub is_recursive: bool,
    /// `apisix.trusted_addresses`: peers whose `X-Forwarded-*` is kept; `None`: not configured.
    pub trusted_addresses: Option<Vec<IpNet>>,
}

impl RealIp {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            header: reader
                .take::<String>("nginx_config.http.real_ip_header")?
                .map_or_else(|| "x-real-ip".to_owned(), |name| name.to_ascii_lowercase()),
            from: reader
                .take::<Peers>("nginx_config.http.real_ip_from")?
                .map_or_else(|| vec![IpAddr::from([127, 0, 0, 1]).into()], |peers| peers.0),
            is_recursive: reader.take::<Switch>("nginx_config.http.real_ip_recursive")?.is_some_and(|switch| switch.0),
            trusted_addresses: reader.take("apisix.trusted_addresses")?,
        })
    }
}

/// Networks, and `unix:`, which no listener of ours can be.
struct Peers(Vec<IpNet>);

impl FromSetting for Peers {
    const EXPECTED: &'static str = "a list of IP addresses, networks or \"unix:\"";
    const TYPES: &'static [&'static str] = &["array"];

    fn read(value: &Value) -> Option<Self> {
        let items = value.as_array()?.iter();
        items.filter(|item| item.as_str() != Some("unix:")).map(IpNet::read).collect::<Option<_>>().map(Self)
    }
}

/// Connections to upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamDefaults {
    /// Idle connections kept per worker.
    pub keepalive: u32,
    /// Requests after which a connection is closed.
    pub keepalive_requests: u32,
    /// How long a connection may be idle.
    pub keepalive_timeout: Duration,
    /// `apisix.disable_upstream_healthcheck`
    pub is_healthcheck_disabled: bool,
    /// `apisix.ssl.ssl_trusted_certificate`: the file with the authorities that servers' certificates are verified against;
    /// `None`: those of the system.
    pub trusted_certificates: Option<PathBuf>,
}

impl UpstreamDefaults {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            keepalive: reader.take("nginx_config.http.upstream.keepalive")?.unwrap_or(320),
            keepalive_requests: reader.take("nginx_config.http.upstream.keepalive_requests")?.unwrap_or(1000),
            keepalive_timeout: reader
                .take("nginx_config.http.upstream.keepalive_timeout")?
                .unwrap_or(Duration::from_secs(60)),
            is_healthcheck_disabled: reader.take("apisix.disable_upstream_healthcheck")?.unwrap_or(false),
            trusted_certificates: reader
                .take::<String>("apisix.ssl.ssl_trusted_certificate")?
                .filter(|path| path != "system")
                .map(PathBuf::from),
        })
    }
}

/// Names and where they are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Servers, `address` or `address:port`; empty: those of the system.
    pub servers: Vec<String>,
    /// Replaces the lifetime of the records.
    pub valid: Option<Duration>,
    /// For one question.
    pub timeout: Duration,
}

impl Dns {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            servers: reader.take("apisix.dns_resolver")?.unwrap_or_default(),
            valid: reader.take("apisix.dns_resolver_valid")?,
            timeout: reader.take("apisix.resolver_timeout")?.unwrap_or(Duration::from_secs(5)),
        })
    }
}

/// The address of a name server, whose port may be left out.
pub fn name_server(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| text.parse().ok().map(|ip| SocketAddr::new(ip, 53)))
}

/// Encryption of fields at rest.
#[derive(Clone, Debug)]
pub struct DataEncryption {
    /// Whether the `encrypt_fields` of plugins are encrypted.
    pub is_enabled: bool,
    /// The keys, first for sealing, all for opening; `None`: not written.
    pub keyring: Option<Vec<Secret<String>>>,
}

impl DataEncryption {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            is_enabled: reader.take("apisix.data_encryption.enable_encrypt_fields")?.unwrap_or(true),
            keyring: reader.take::<Keyring>("apisix.data_encryption.keyring")?.map(|keyring| keyring.0),
        })
    }
}

/// One key or a list of keys.
struct Keyring(Vec<Secret<String>>);

impl FromSetting for Keyring {
    const EXPECTED: &'static str = "a key, or a list of keys, of 16 or 32 bytes";
    const TYPES: &'static [&'static str] = &["string", "array", "integer"];

    fn read(value: &Value) -> Option<Self> {
        let keys = match value {
            Value::Array(keys) => keys.as_slice(),
            key => std::slice::from_ref(key),
        };
        keys.iter()
            .map(|key| {
                let key = match key {
                    Value::String(key) => key.clone(),
                    Value::Number(key) => key.to_string(),
                    _ => return None,
                };
                matches!(key.len(), 16 | 32).then(|| Secret::new(key))
            })
            .collect::<Option<_>>()
            .map(Self)
    }
}
