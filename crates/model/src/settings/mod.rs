//! `config.yaml`: what was written, over APISIX's defaults.
//!
//! [`Settings::parse`] answers with the settings and with a [`Notice`] for each key that was written
//! but does nothing here, so that no setting is dropped in silence.

mod admin;
mod deployment;
mod discovery;
mod error;
mod limits;
mod lint;
mod listen;
mod log;
mod notice;
mod proxy;
mod reader;
mod routing;
mod schema;
mod unhonoured;
mod units;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

pub use admin::{Admin, AdminKey, AdminRole};
pub use deployment::{Deployment, Etcd, EtcdTls, Provider, Role};
pub use discovery::{DnsDiscovery, RecordType};
pub use error::SettingsError;
pub use limits::{H2Limits, Limits};
pub use lint::Weakness;
pub use listen::{Endpoint, Listen};
pub use log::{AccessLog, ErrorLog, Escape, Level};
pub use notice::{Notice, Severity};
pub use proxy::{DataEncryption, Dns, RealIp, UpstreamDefaults, name_server};
pub use routing::{Router, Routing};
pub use units::{ByteSize, duration};

use crate::differences::{Compat, Profile};
use crate::yaml;
use reader::Reader;

/// Everything `config.yaml` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which differences from APISIX are in force.
    pub compat: Compat,
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// `apisix.id`, this node's own.
    pub node_id: Option<String>,
    /// Worker threads; `None`: one per core.
    pub workers: Option<usize>,
    /// How long requests may take to finish when a worker stops.
    pub drain_timeout: Duration,
    /// Where requests come in.
    pub listen: Listen,
    /// How a request is matched.
    pub routing: Routing,
    /// What a client may use up.
    pub limits: Limits,
    /// The Admin API.
    pub admin: Admin,
    /// The control API, unless it is off.
    pub control: Option<Endpoint>,
    /// The status endpoint, if it is on.
    pub status: Option<Endpoint>,
    /// Role and configuration store.
    pub deployment: Deployment,
    /// Names and where they are resolved.
    pub dns: Dns,
    /// Where services are looked up, when `discovery.dns` is written.
    pub dns_discovery: Option<DnsDiscovery>,
    /// Encryption of fields at rest.
    pub data_encryption: DataEncryption,
    /// Whose headers tell the client's address.
    pub real_ip: RealIp,
    /// Connections to upstreams.
    pub upstream: UpstreamDefaults,
    /// The access log, unless it is off.
    pub access_log: Option<AccessLog>,
    /// The error log.
    pub error_log: ErrorLog,
    /// Whether the `Server` header tells the version.
    pub server_tokens: bool,
    /// Whether `X-APISIX-Upstream-Status` is always sent, not only for 5xx.
    pub show_upstream_status: bool,
    /// Whether header names with `_` are accepted.
    pub underscores_in_headers: bool,
    /// The `charset` added to `Content-Type`; `None`: none.
    pub charset: Option<String>,
    /// The enabled plugins; `None`: all that are on by default.
    pub plugins: Option<Vec<String>>,
    /// The enabled stream plugins; `None`: all that are on by default.
    pub stream_plugins: Option<Vec<String>>,
    /// `plugin_attr`, as written.
    pub plugin_attr: Map<String, Value>,
    /// Largest body that is read for GraphQL variables, in bytes.
    pub graphql_max_size: u64,
    /// Largest body that is read for `post_arg.*`, in bytes; `None`: unlimited.
    pub post_args_max_size: Option<u64>,
}

impl Settings {
    /// Reads `config.yaml`; `None` or an empty text means defaults throughout.
    ///
    /// # Errors
    /// It is no YAML, or something in it has no meaning.
    pub fn parse(
        text: Option<&str>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Notice>), SettingsError> {
        Self::of(&Self::written(text, env)?, env)
    }

    /// What is written in `config.yaml`, with the values of the environment in their places.
    ///
    /// # Errors
    /// It is no YAML, or no mapping.
    pub fn written(text: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<Value, SettingsError> {
        let mut written = yaml::parse(text.unwrap_or_default())?;
        yaml::substitute_values(&mut written, env)?;
        if written.is_null() {
            written = Value::Object(Map::new());
        }
        if !written.is_object() {
            return Err(SettingsError::wrong("config.yaml", "a mapping", &written));
        }
        Ok(written)
    }

    /// The settings of what is [written](Settings::written).
    ///
    /// # Errors
    /// Something in it has no meaning.
    pub fn of(written: &Value, env: &dyn Fn(&str) -> Option<String>) -> Result<(Self, Vec<Notice>), SettingsError> {
        let reader = Reader::new(written);
        let mut notices = Vec::new();
        let mut settings = Self::read(&reader, env, &mut notices)?;
        settings.admin.is_enabled &= settings.deployment.role != Role::DataPlane;
        notices.extend(reader.leftovers());
        Ok((settings, notices))
    }

    fn read(
        reader: &Reader<'_>,
        env: &dyn Fn(&str) -> Option<String>,
        notices: &mut Vec<Notice>,
    ) -> Result<Self, SettingsError> {
        let profile = reader.take("portcullis.profile")?.unwrap_or_default();
        let compat = read_compat(reader, profile)?;
        Ok(Self {
            data_dir: reader.take("portcullis.data_dir")?.unwrap_or_else(|| "portcullis-data".to_owned()).into(),
            node_id: reader.take("apisix.id")?,
            workers: read_workers(reader, env)?,
            drain_timeout: match reader.take("portcullis.drain_timeout")? {
                Some(timeout) => timeout,
                None => reader.take("nginx_config.worker_shutdown_timeout")?.unwrap_or(Duration::from_secs(240)),
            },
            listen: Listen::read(reader)?,
            routing: Routing::read(reader)?,
            limits: Limits::read(reader, compat, notices)?,
            admin: Admin::read(reader, compat)?,
            control: listen::read_control(reader)?,
            status: listen::read_status(reader)?,
            deployment: Deployment::read(reader, env)?,
            dns: Dns::read(reader)?,
            dns_discovery: DnsDiscovery::read(reader)?,
            data_encryption: DataEncryption::read(reader)?,
            real_ip: RealIp::read(reader)?,
            upstream: UpstreamDefaults::read(reader)?,
            access_log: AccessLog::read(reader)?,
            error_log: ErrorLog::read(reader)?,
            server_tokens: reader.take("apisix.enable_server_tokens")?.unwrap_or(true),
            show_upstream_status: reader.take("apisix.show_upstream_status_in_response_header")?.unwrap_or(false),
            underscores_in_headers: reader
                .take::<units::Switch>("nginx_config.http.underscores_in_headers")?
                .is_none_or(|switch| switch.0),
            charset: reader
                .take::<units::Text>("nginx_config.http.charset")?
                .map_or_else(|| Some("utf-8".to_owned()), |charset| Some(charset.0))
                .filter(|charset| charset != "off" && !charset.is_empty()),
            plugins: reader.take("plugins")?,
            stream_plugins: reader.take("stream_plugins")?,
            plugin_attr: reader.take("plugin_attr")?.unwrap_or_default(),
            graphql_max_size: reader.take("graphql.max_size")?.unwrap_or(1024 * 1024),
            post_args_max_size: match reader.take("apisix.max_post_args_readable_size")? {
                Some(0u64) => None,
                Some(megabytes) => Some(megabytes.saturating_mul(1024 * 1024)),
                None => Some(64 * 1024 * 1024),
            },
            compat,
        })
    }

    /// The profile the differences started from.
    pub const fn profile(&self) -> Profile {
        self.compat.profile()
    }
}

fn read_compat(reader: &Reader<'_>, profile: Profile) -> Result<Compat, SettingsError> {
    let switches: Map<String, Value> = reader.take("portcullis.compat")?.unwrap_or_default();
    let mut pairs = Vec::with_capacity(switches.len());
    for (name, switch) in &switches {
        let Value::Bool(switch) = switch else {
            let path = format!("portcullis.compat.{name}");
            return Err(SettingsError::wrong(path, "a boolean", switch));
        };
        pairs.push((name.as_str(), *switch));
    }
    Ok(Compat::build(profile, pairs)?)
}

/// `portcullis.workers`, else `APISIX_WORKER_PROCESSES`, else `worker_processes`.
fn read_workers(reader: &Reader<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<usize>, SettingsError> {
    let processes: Option<units::Workers> = reader.take("nginx_config.worker_processes")?;
    let own: Option<units::Workers> = reader.take("portcullis.workers")?;
    if let Some(workers) = own {
        return Ok(workers.0);
    }
    if let Some(count) = env("APISIX_WORKER_PROCESSES") {
        let workers = units::Workers::parse(&count).ok_or_else(|| SettingsError::Wrong {
            path: "APISIX_WORKER_PROCESSES".to_owned(),
            expected: "a number or \"auto\"",
            got: count,
        })?;
        return Ok(workers.0);
    }
    Ok(processes.and_then(|workers| workers.0))
}
