//! `plugin_attr.prometheus` and the plugin's metadata.

use super::metrics::{BANDWIDTH_LABELS, LATENCY_LABELS, STATUS_LABELS};
use model::vars::VarName;
use plugin::BuildError;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

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
        let metrics = attr.get("metrics").unwrap_or(&Value::Null);
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
        for pair in present(written, "extra_labels").and_then(Value::as_array).into_iter().flatten() {
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
