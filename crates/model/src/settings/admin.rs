//! The Admin API.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Map, Value};

use super::SettingsError;
use super::listen::Endpoint;
use super::reader::Reader;
use crate::differences::{Compat, DifferenceId};
use crate::secret::Secret;

/// How the Admin API is served.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Whether it is served at all; a data plane has none.
    pub is_enabled: bool,
    /// Where.
    pub listen: Endpoint,
    /// The keys that were written; when there is none and one is required, one has to be made.
    pub keys: Vec<AdminKey>,
    /// Whether a key is required.
    pub key_required: bool,
    /// From where it may be used; empty: from everywhere.
    pub allow: Vec<IpNet>,
    /// Whether CORS headers are sent.
    pub cors: bool,
    /// Whether answers have the shape of `v3`, and not that of older versions.
    pub is_v3: bool,
    /// Whether `apisix.proxy_mode` has streams: where it has none, no stream route is taken.
    pub has_streams: bool,
}

/// A key of the Admin API.
#[derive(Clone, Debug)]
pub struct AdminKey {
    /// Its name, for logs.
    pub name: String,
    /// The key.
    pub key: Secret<String>,
    /// What it may do.
    pub role: AdminRole,
}

/// What an admin key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRole {
    /// Read and write.
    Admin,
    /// Read.
    Viewer,
}

/// The keys that APISIX's documentation and old default configurations print.
const EXAMPLE_KEYS: [&[u8]; 2] = [b"edd1c9f034335f136f87ad84b625c8f1", b"4054f7cf07e344346cd3f287985e76a2"];

impl AdminKey {
    /// Whether everybody knows it.
    pub(super) fn is_published(&self) -> bool {
        EXAMPLE_KEYS.iter().any(|example| self.key.is_equal_to(example))
    }
}

impl Admin {
    pub(super) fn read(reader: &Reader<'_>, compat: Compat) -> Result<Self, SettingsError> {
        let default_ip =
            if compat.is_safe(DifferenceId::AdminListen) { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let ip = reader.take("deployment.admin.admin_listen.ip")?;
        let port: Option<u16> = reader.take("deployment.admin.admin_listen.port")?;
        let loopback = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 24);
        Ok(Self {
            is_enabled: reader.take("apisix.enable_admin")?.unwrap_or(true),
            listen: Endpoint(SocketAddr::new(ip.unwrap_or(IpAddr::V4(default_ip)), port.unwrap_or(9180))),
            keys: read_keys(reader, compat)?,
            key_required: reader.take("deployment.admin.admin_key_required")?.unwrap_or(true),
            allow: reader.take("deployment.admin.allow_admin")?.unwrap_or_else(|| vec![loopback.into()]),
            cors: reader
                .take("deployment.admin.enable_admin_cors")?
                .unwrap_or(!compat.is_safe(DifferenceId::AdminCors)),
            is_v3: read_version(reader)?,
            has_streams: reader
                .peek("apisix.proxy_mode")?
                .is_some_and(|mode| mode == "stream" || mode == "http&stream"),
        })
    }
}

/// Whether it is `v3`.
fn read_version(reader: &Reader<'_>) -> Result<bool, SettingsError> {
    const PATH: &str = "deployment.admin.admin_api_version";
    match reader.raw(PATH)? {
        None => Ok(true),
        Some(version) if version == "v3" => Ok(true),
        Some(version) if version == "v2" => Ok(false),
        Some(version) => Err(SettingsError::wrong(PATH, "\"v3\" or \"v2\"", version)),
    }
}

fn read_keys(reader: &Reader<'_>, compat: Compat) -> Result<Vec<AdminKey>, SettingsError> {
    const PATH: &str = "deployment.admin.admin_key";
    let items = match reader.raw(PATH)? {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(other) => {
            return Err(SettingsError::wrong(PATH, "a list of {name, key, role}", other));
        }
    };
    let mut keys = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let key = item.as_object().and_then(read_key).ok_or_else(|| {
            let path = format!("{PATH}[{index}]");
            SettingsError::wrong(path, "{name, key, role: admin or viewer}", item)
        })?;
        // An empty key is a request to make one, as in APISIX's defaults.
        if key.key.expose().is_empty() {
            continue;
        }
        if key.is_published() && compat.is_safe(DifferenceId::ExampleAdminKey) {
            return Err(SettingsError::ExampleAdminKey(key.name));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn read_key(map: &Map<String, Value>) -> Option<AdminKey> {
    if map.keys().any(|key| !matches!(key.as_str(), "name" | "key" | "role")) {
        return None;
    }
    let role = match map.get("role")?.as_str()? {
        "admin" => AdminRole::Admin,
        "viewer" => AdminRole::Viewer,
        _ => return None,
    };
    let key = match map.get("key") {
        Some(Value::String(key)) => key.clone(),
        // A key of digits is a number for YAML.
        Some(Value::Number(key)) => key.to_string(),
        Some(Value::Null) | None => String::new(),
        Some(_) => return None,
    };
    Some(AdminKey { name: map.get("name")?.as_str()?.to_owned(), key: Secret::new(key), role })
}
