//! Access log and error log.

use super::SettingsError;
use super::reader::Reader;

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The file, relative to the working directory.
    pub path: String,
    /// One line, a template.
    pub format: String,
    /// How values are escaped.
    pub escape: Escape,
}

/// How values are escaped in a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// Control characters, quotes and backslashes as `\xXX`.
    #[default]
    Default,
    /// As in JSON strings.
    Json,
    /// Not at all.
    None,
}

/// The error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorLog {
    /// The file, or `stderr`.
    pub path: String,
    /// From which level on.
    pub level: Level,
}

/// nginx's levels, least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers.
    Debug,
    /// For the curious.
    Info,
    /// Normal but significant.
    Notice,
    /// Should be looked at.
    Warn,
    /// Something failed.
    Error,
    /// Something important failed.
    Crit,
    /// Somebody has to act.
    Alert,
    /// Nothing works.
    Emerg,
}

const DEFAULT_FORMAT: &str = "$remote_addr - $remote_user [$time_local] $http_host \"$request\" $status $body_bytes_sent $request_time \"$http_referer\" \"$http_user_agent\" $upstream_addr $upstream_status $upstream_response_time \"$upstream_scheme://$upstream_host$upstream_uri\" \"$apisix_request_id\"";

impl AccessLog {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Option<Self>, SettingsError> {
        let is_on = reader.take("nginx_config.http.enable_access_log")?.unwrap_or(true);
        let log = Self {
            path: reader.take("nginx_config.http.access_log")?.unwrap_or_else(|| "logs/access.log".to_owned()),
            format: reader.take("nginx_config.http.access_log_format")?.unwrap_or_else(|| DEFAULT_FORMAT.to_owned()),
            escape: read_escape(reader)?,
        };
        Ok((is_on && log.path != "off").then_some(log))
    }
}

fn read_escape(reader: &Reader<'_>) -> Result<Escape, SettingsError> {
    const PATH: &str = "nginx_config.http.access_log_format_escape";
    let Some(value) = reader.raw(PATH)? else {
        return Ok(Escape::default());
    };
    match value.as_str() {
        Some("default") => Ok(Escape::Default),
        Some("json") => Ok(Escape::Json),
        Some("none") => Ok(Escape::None),
        _ => Err(SettingsError::wrong(PATH, "default, json or none", value)),
    }
}

impl ErrorLog {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        Ok(Self {
            path: reader.take("nginx_config.error_log")?.unwrap_or_else(|| "logs/error.log".to_owned()),
            level: read_level(reader)?,
        })
    }
}

fn read_level(reader: &Reader<'_>) -> Result<Level, SettingsError> {
    const PATH: &str = "nginx_config.error_log_level";
    let Some(value) = reader.raw(PATH)? else {
        return Ok(Level::Warn);
    };
    Ok(match value.as_str() {
        Some("debug") => Level::Debug,
        Some("info") => Level::Info,
        Some("notice") => Level::Notice,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        Some("crit") => Level::Crit,
        Some("alert") => Level::Alert,
        Some("emerg") => Level::Emerg,
        _ => {
            let expected = "debug, info, notice, warn, error, crit, alert or emerg";
            return Err(SettingsError::wrong(PATH, expected, value));
        }
    })
}
