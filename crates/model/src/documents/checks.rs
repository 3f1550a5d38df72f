//! Health checks of an upstream.
//!
//! What the schema gives no default is completed as lua-resty-healthcheck does: a side that is not written has no interval, and so
//! is not looked at.

use serde::Deserialize;

use super::fields;

/// How the servers of an upstream are checked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Checks {
    /// By asking them.
    #[serde(default)]
    pub active: Active,
    /// By what they answer to requests.
    #[serde(default)]
    pub passive: Option<Passive>,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum CheckType {
    #[default]
    Http,
    Https,
    Tcp,
}

/// Checks by asking.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Active {
    /// What is looked at.
    #[serde(rename = "type")]
    pub kind: CheckType,
    /// Seconds for each step of a check.
    pub timeout: f64,
    /// How many servers are checked at once.
    #[serde(deserialize_with = "fields::integer")]
    pub concurrency: i64,
    /// The Host header.
    pub host: Option<String>,
    /// The port, instead of the server's own.
    #[serde(deserialize_with = "fields::optional_integer")]
    pub port: Option<u16>,
    /// The method.
    pub http_method: String,
    /// Path and query.
    pub http_path: String,
    /// The body.
    pub http_req_body: String,
    /// Whether the server's certificate has to be valid.
    pub https_verify_certificate: bool,
    /// Further header fields, each a whole line.
    pub req_headers: Vec<String>,
    /// What makes a server healthy, and how often those that are are looked at.
    pub healthy: Healthy,
    /// What makes a server unhealthy, and how often those that are are looked at.
    pub unhealthy: Unhealthy,
}

impl Default for Active {
    fn default() -> Self {
        Self {
            kind: CheckType::Http,
            timeout: 1.0,
            concurrency: 10,
            host: None,
            port: None,
            http_method: "GET".to_owned(),
            http_path: "/".to_owned(),
            http_req_body: String::new(),
            https_verify_certificate: true,
            req_headers: Vec::new(),
            healthy: Healthy::default(),
            unhealthy: Unhealthy::default(),
        }
    }
}

/// What makes a server healthy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Healthy {
    /// Seconds between checks; 0 is never.
    #[serde(deserialize_with = "fields::integer")]
    pub interval: u32,
    /// The statuses that count.
    #[serde(deserialize_with = "statuses")]
    pub http_statuses: Vec<u16>,
    /// How many of them in a row.
    #[serde(deserialize_with = "fields::integer")]
    pub successes: u32,
}

impl Default for Healthy {
    fn default() -> Self {
        Self { interval: 0, http_statuses: vec![200, 302], successes: 2 }
    }
}

/// What makes a server unhealthy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct Unhealthy {
    /// Seconds between checks; 0 is never.
    #[serde(deserialize_with = "fields::integer")]
    pub interval: u32,
    /// The statuses that count.
    #[serde(deserialize_with = "statuses")]
    pub http_statuses: Vec<u16>,
    /// How many of them in a row.
    #[serde(deserialize_with = "fields::integer")]
    pub http_failures: u32,
    /// How many connections that failed.
    #[serde(deserialize_with = "fields::integer")]
    pub tcp_failures: u32,
    /// How many answers that did not come in time.
    #[serde(deserialize_with = "fields::integer")]
    pub timeouts: u32,
}

impl Default for Unhealthy {
    fn default() -> Self {
        Self {
            interval: 0,
            http_statuses: vec![429, 404, 500, 501, 502, 503, 504, 505],
            http_failures: 5,
            tcp_failures: 2,
            timeouts: 3,
        }
    }
}

/// Checks by what servers answer to requests. A limit of 0 switches a count off.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Passive {
    /// What makes a server healthy.
    pub healthy: PassiveHealthy,
    /// What makes a server unhealthy.
    pub unhealthy: PassiveUnhealthy,
}

/// See [`Healthy`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in Healthy")]
pub struct PassiveHealthy {
    #[serde(deserialize_with = "statuses")]
    pub http_statuses: Vec<u16>,
    #[serde(deserialize_with = "fields::integer")]
    pub successes: u32,
}

impl Default for PassiveHealthy {
    fn default() -> Self {
        Self { http_statuses: (200..=208).chain([226]).chain(300..=308).collect(), successes: 5 }
    }
}

/// See [`Unhealthy`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in Unhealthy")]
pub struct PassiveUnhealthy {
    #[serde(deserialize_with = "statuses")]
    pub http_statuses: Vec<u16>,
    #[serde(deserialize_with = "fields::integer")]
    pub http_failures: u32,
    #[serde(deserialize_with = "fields::integer")]
    pub tcp_failures: u32,
    #[serde(deserialize_with = "fields::integer")]
    pub timeouts: u32,
}

impl Default for PassiveUnhealthy {
    fn default() -> Self {
        Self { http_statuses: vec![429, 500, 503], http_failures: 5, tcp_failures: 2, timeouts: 7 }
    }
}

fn statuses<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let numbers = Vec::<f64>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|status| status as u16).collect())
}
