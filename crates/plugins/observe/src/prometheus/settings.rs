//! `plugin_attr.prometheus` and the plugin's metadata.

use super::metrics::{BANDWIDTH_LABELS, LATENCY_LABELS, STATUS_LABELS};
use model::vars::VarName;
use plugin::BuildError;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// What holds for all instances, from `plugin_attr.prometheus`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) prefix: String,
    pub(super) buckets: Vec<f64>,
    pub(super) max_series: usize,
    pub(super) status: Family,
    pub(super) latency: Family,
    pub(super) bandwidth: Family,
}

/// What holds for one metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Family {
    /// Further labels and the variables that they show.
    pub(super) extra: Vec<(String, VarName)>,
    /// Series that were not touched for so long are forgotten.
    pub(super) expire: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: "apisix_".to_owned(),
            buckets: vec![1., 2., 5., 10., 20., 50., 100., 200., 500., 1000., 2000., 5000., 10000., 30000., 60000.],
            max_series: 10_000,
            status: Family::default(),
            latency: Family::default(),
            bandwidth: Family::default(),
        }
    }
}

impl Settings {
    pub(super) fn read(attr: &Value) -> Result<Self, BuildError> {
        let mut settings = Self::default();
        if !attr.is_null() && !attr.is_object() {
            return Err(BuildError("plugin_attr.prometheus should be a mapping".to_owned()));
        }
        check_export(attr)?;
        if let Some(prefix) = present(attr, "metric_prefix") {
            let prefix = prefix.as_str().filter(|prefix| is_metric_name(prefix));
            settings.prefix = prefix.ok_or_else(|| wrong("metric_prefix", "the start of a metric's name"))?.to_owned();
        }
        if let Some(buckets) = present(attr, "default_buckets") {
            let numbers: Option<Vec<f64>> =
                buckets.as_array().and_then(|buckets| buckets.iter().map(Value::as_f64).collect());
            settings.buckets = numbers.ok_or_else(|| wrong("default_buckets", "a list of numbers"))?;
            settings.buckets.sort_by(f64::total_cmp);
            settings.buckets.dedup();
        }
        if let Some(max) = present(attr, "max_series") {
            let max = max.as_u64().filter(|&max| max > 0).and_then(|max| usize::try_from(max).ok());
            settings.max_series = max.ok_or_else(|| wrong("max_series", "a whole number above 0"))?;
        }
        let metrics = present(attr, "metrics").unwrap_or(&Value::Null);
        if !metrics.is_null() && !metrics.is_object() {
            return Err(wrong("metrics", "a mapping"));
        }
        settings.status = Family::read(metrics, "http_status")?;
        settings.latency = Family::read(metrics, "http_latency")?;
        settings.bandwidth = Family::read(metrics, "bandwidth")?;
        Ok(settings)
    }
}

impl Family {
    fn read(metrics: &Value, name: &str) -> Result<Self, BuildError> {
        let Some(written) = present(metrics, name) else { return Ok(Self::default()) };
        let expire = match present(written, "expire") {
            Some(seconds) => seconds
                .as_f64()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .ok_or_else(|| wrong(&format!("metrics.{name}.expire"), "a number of seconds"))?,
            None => Duration::ZERO,
        };
        let mut extra = Vec::new();
        let labels = match present(written, "extra_labels") {
            None => &[][..],
            Some(Value::Array(labels)) => labels,
            Some(_) => return Err(wrong(&format!("metrics.{name}.extra_labels"), "a list of {label: $variable}")),
        };
        for pair in labels {
            let label = pair.as_object().and_then(|pair| pair.iter().next()).and_then(|(label, variable)| {
                let variable = variable.as_str()?.strip_prefix('$')?;
                is_label_name(label).then(|| (label.clone(), VarName::parse(variable)))
            });
            extra.push(
                label.ok_or_else(|| wrong(&format!("metrics.{name}.extra_labels"), "a list of {label: $variable}"))?,
            );
        }
        Ok(Self { extra, expire: (!expire.is_zero()).then_some(expire) })
    }
}

/// The labels whose value is left empty, one bit for each label of a metric; from the plugin's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disabled {
    pub(super) status: u16,
    pub(super) latency: u16,
    pub(super) bandwidth: u16,
}

impl Disabled {
    pub(super) const NONE: Self = Self { status: 0, latency: 0, bandwidth: 0 };
}

impl<'de> Deserialize<'de> for Disabled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            disabled_labels: Option<BTreeMap<String, Vec<String>>>,
        }
        let written = Written::deserialize(deserializer)?.disabled_labels.unwrap_or_default();
        let mask = |metric: &str, labels: &[&str]| {
            let disabled = written.get(metric).map_or(&[][..], Vec::as_slice);
            let is_disabled = |label: &str| disabled.iter().any(|name| name == label);
            labels.iter().enumerate().filter(|(_, label)| is_disabled(label)).fold(0, |mask, (at, _)| mask | 1 << at)
        };
        Ok(Self {
            status: mask("http_status", STATUS_LABELS),
            latency: mask("http_latency", LATENCY_LABELS),
            bandwidth: mask("bandwidth", BANDWIDTH_LABELS),
        })
    }
}

/// Where metrics are served. The listener is made elsewhere, but what is wrong is said here, with all the rest.
fn check_export(attr: &Value) -> Result<(), BuildError> {
    let check = |name: &str, value: Option<&Value>, expected: &str, is_right: fn(&Value) -> bool| match value {
        Some(value) if !is_right(value) => Err(wrong(name, expected)),
        _ => Ok(()),
    };
    let addr = present(attr, "export_addr");
    let part = |name: &str| addr.and_then(|addr| present(addr, name));
    check("enable_export_server", present(attr, "enable_export_server"), "true or false", Value::is_boolean)?;
    check("export_addr", addr, "{ip, port}", Value::is_object)?;
    check("export_addr.ip", part("ip"), "an IP address", |ip| {
        ip.as_str().is_some_and(|ip| ip.parse::<IpAddr>().is_ok())
    })?;
    check("export_addr.port", part("port"), "a port", |port| {
        port.as_u64().is_some_and(|port| (1..=u64::from(u16::MAX)).contains(&port))
    })?;
    check("export_uri", present(attr, "export_uri"), "a path", |uri| {
        uri.as_str().is_some_and(|uri| uri.starts_with('/'))
    })?;
    check("refresh_interval", present(attr, "refresh_interval"), "a number of seconds", Value::is_number)
}

/// A line for each setting that does nothing, or that nobody knows.
pub(super) fn without_effect(attr: &Value) -> Vec<String> {
    const KNOWN: [&str; 8] = [
        "enable_export_server",
        "export_addr",
        "export_uri",
        "metric_prefix",
        "default_buckets",
        "max_series",
        "metrics",
        "refresh_interval",
    ];
    const COUNTED: [&str; 3] = ["http_status", "http_latency", "bandwidth"];
    let names = |value: Option<&Value>| -> Vec<String> {
        value.and_then(Value::as_object).into_iter().flat_map(|fields| fields.keys().cloned()).collect()
    };
    let mut lines = Vec::new();
    if present(attr, "refresh_interval").is_some_and(|seconds| seconds.as_f64() != Some(15.0)) {
        lines.push("plugin_attr.prometheus.refresh_interval: metrics are always those of the moment".to_owned());
    }
    for name in names(Some(attr)).iter().filter(|name| !KNOWN.contains(&name.as_str())) {
        lines.push(format!("plugin_attr.prometheus.{name}: has no effect in this version"));
    }
    for name in names(attr.get("metrics")) {
        if !COUNTED.contains(&name.as_str()) {
            lines.push(format!("plugin_attr.prometheus.metrics.{name}: this version has no such metric"));
            continue;
        }
        let written = attr.get("metrics").and_then(|metrics| metrics.get(&name));
        for inner in names(written).iter().filter(|inner| !matches!(inner.as_str(), "extra_labels" | "expire")) {
            lines.push(format!("plugin_attr.prometheus.metrics.{name}.{inner}: unknown setting"));
        }
    }
    lines
}

fn present<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn wrong(name: &str, expected: &str) -> BuildError {
    BuildError(format!("plugin_attr.prometheus.{name} should be {expected}"))
}

fn is_metric_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn is_label_name(name: &str) -> bool {
    !name.is_empty() && is_metric_name(name) && !name.contains(':') && name != "le"
}
