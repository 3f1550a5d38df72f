//! What this node is, and where its configuration lives.

use std::time::Duration;

use serde_json::Value;

use super::SettingsError;
use super::reader::Reader;
use super::units::Text;
use crate::secret::Secret;

/// Role and configuration store.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// What this node does.
    pub role: Role,
    /// Where its configuration lives.
    pub provider: Provider,
    /// How etcd is reached; used with [`Provider::Etcd`] only.
    pub etcd: Etcd,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Proxy and Admin API.
    Traditional,
    /// Admin API only.
    ControlPlane,
    /// Proxy only.
    DataPlane,
}

/// Where configuration lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// In a database file of this node.
    Embedded,
    /// In etcd.
    Etcd,
    /// In `apisix.yaml`.
    Yaml,
    /// In `apisix.json`.
    Json,
}

/// How etcd is reached.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// The members of one cluster.
    pub hosts: Vec<String>,
    /// What every key starts with.
    pub prefix: String,
    /// For one call.
    pub timeout: Duration,
    /// For one watch.
    pub watch_timeout: Duration,
    /// How often the first call is repeated.
    pub startup_retry: u32,
    /// The user, if there is one.
    pub user: Option<String>,
    /// The password of the user.
    pub password: Option<Secret<String>>,
    /// For `https` hosts.
    pub tls: EtcdTls,
}

/// TLS towards etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdTls {
    /// Whether the certificate is verified.
    pub verify: bool,
    /// Path of our own certificate.
    pub cert: Option<String>,
    /// Path of its key.
    pub key: Option<String>,
    /// The server name, if it is not that of the host.
    pub sni: Option<String>,
}

impl Deployment {
    pub(super) fn read(reader: &Reader<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let hosts = read_hosts(reader, env)?;
        let (role, provider) = read_role(reader, hosts.is_some())?;
        Ok(Self { role, provider, etcd: Etcd::read(reader, hosts)? })
    }
}

impl Etcd {
    fn read(reader: &Reader<'_>, hosts: Option<Vec<String>>) -> Result<Self, SettingsError> {
        Ok(Self {
            hosts: hosts.unwrap_or_else(|| vec!["http://127.0.0.1:2379".to_owned()]),
            prefix: reader.take("deployment.etcd.prefix")?.unwrap_or_else(|| "/apisix".to_owned()),
            timeout: reader.take("deployment.etcd.timeout")?.unwrap_or(Duration::from_secs(30)),
            watch_timeout: reader.take("deployment.etcd.watch_timeout")?.unwrap_or(Duration::from_secs(50)),
            startup_retry: reader.take("deployment.etcd.startup_retry")?.unwrap_or(2),
            user: reader.take::<Text>("deployment.etcd.user")?.map(|user| user.0),
            password: reader.take::<Text>("deployment.etcd.password")?.map(|password| Secret::new(password.0)),
            tls: EtcdTls {
                verify: reader.take("deployment.etcd.tls.verify")?.unwrap_or(true),
                cert: reader.take("deployment.etcd.tls.cert")?,
                key: reader.take("deployment.etcd.tls.key")?,
                sni: reader.take("deployment.etcd.tls.sni")?,
            },
        })
    }
}

/// The written hosts; the environment wins, as in APISIX.
fn read_hosts(reader: &Reader<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Vec<String>>, SettingsError> {
    const PATH: &str = "deployment.etcd.host";
    const VARIABLE: &str = "APISIX_DEPLOYMENT_ETCD_HOST";
    let written = reader.raw(PATH)?;
    let from_env = env(VARIABLE).map(|text| serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text)));
    let (path, value) = match (&from_env, written) {
        (Some(value), _) => (VARIABLE, value),
        (None, Some(value)) => (PATH, value),
        (None, None) => return Ok(None),
    };
    let hosts: Option<Vec<String>> = value
        .as_array()
        .filter(|hosts| !hosts.is_empty())
        .and_then(|hosts| hosts.iter().map(|host| host.as_str().map(str::to_owned)).collect());
    let is_url = |host: &String| host.starts_with("http://") || host.starts_with("https://");
    hosts
        .filter(|hosts| hosts.iter().all(is_url))
        .map(Some)
        .ok_or_else(|| SettingsError::wrong(path, "a list of http:// or https:// URLs", value))
}

fn read_role(reader: &Reader<'_>, has_etcd: bool) -> Result<(Role, Provider), SettingsError> {
    const PATH: &str = "deployment.role";
    let role = match reader.raw(PATH)? {
        None => Role::Traditional,
        Some(role) => match role.as_str() {
            Some("traditional") => Role::Traditional,
            Some("control_plane") => Role::ControlPlane,
            Some("data_plane") => Role::DataPlane,
            _ => {
                let expected = "traditional, control_plane or data_plane";
                return Err(SettingsError::wrong(PATH, expected, role));
            }
        },
    };
    // All three are read, so that the sections of other roles are not reported as unknown.
    let written = [
        "deployment.role_traditional.config_provider",
        "deployment.role_control_plane.config_provider",
        "deployment.role_data_plane.config_provider",
    ]
    .map(|path| read_provider(reader, path));
    let [traditional, control_plane, data_plane] = written;
    let written = match role {
        Role::Traditional => traditional?,
        Role::ControlPlane => control_plane?,
        Role::DataPlane => data_plane?,
    };
    let default = match role {
        Role::Traditional if !has_etcd => Provider::Embedded,
        // A node that is one half of a pair has nothing to share without etcd.
        _ => Provider::Etcd,
    };
    Ok((role, written.unwrap_or(default)))
}

fn read_provider(reader: &Reader<'_>, path: &'static str) -> Result<Option<Provider>, SettingsError> {
    let Some(value) = reader.raw(path)? else {
        return Ok(None);
    };
    match value.as_str() {
        Some("embedded") => Ok(Some(Provider::Embedded)),
        Some("etcd") => Ok(Some(Provider::Etcd)),
        Some("yaml") => Ok(Some(Provider::Yaml)),
        Some("json") => Ok(Some(Provider::Json)),
        _ => Err(SettingsError::wrong(path, "embedded, etcd, yaml or json", value)),
    }
}
