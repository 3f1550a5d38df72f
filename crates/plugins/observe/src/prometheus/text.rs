//! The Prometheus text format, in the order in which nginx-lua-prometheus writes it: sorted by name and labels.

use super::metrics::{BANDWIDTH_LABELS, Histogram, LATENCY_LABELS, Latency, Metrics, STATUS_LABELS, values};
use super::settings::{Family, Settings};
use model::vars::number::write_number;
use plugin::Stats;
use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

/// Series of one metric by their suffix and labels.
#[derive(Default)]
struct Block {
    kind: &'static str,
    help: &'static str,
    lines: BTreeMap<(&'static str, Vec<u8>), Vec<Sample>>,
}

/// The lines of one label set: `(bound of a bucket, value)`.
type Sample = (Option<f64>, f64);

type Blocks = BTreeMap<&'static str, Block>;

pub(super) fn write(metrics: &Metrics, stats: &Stats, hostname: &str, now: Duration) -> Vec<u8> {
    let totals = metrics.totals(now);
    metrics.with_settings(|settings| {
        let mut blocks = gauges(stats, hostname);

        let block = open(&mut blocks, "http_status", "counter", "HTTP status codes per service in APISIX");
        for (set, (_, count)) in &totals.status {
            let labels = labels(&[], STATUS_LABELS, &settings.status, set);
            block.lines.insert(("", labels), vec![(None, *count as f64)]);
        }
        let help = "HTTP request latency in milliseconds per service in APISIX";
        let block = open(&mut blocks, "http_latency", "histogram", help);
        for (set, (_, latency)) in &totals.latency {
            for (kind, histogram) in by_kind(latency) {
                let labels = labels(&[("type", kind.as_bytes())], LATENCY_LABELS, &settings.latency, set);
                add_histogram(block, &labels, histogram, settings);
            }
        }
        let help = "Total bandwidth in bytes consumed per service in APISIX";
        let block = open(&mut blocks, "bandwidth", "counter", help);
        for (set, (_, bandwidth)) in &totals.bandwidth {
            for (kind, bytes) in [("ingress", bandwidth.ingress), ("egress", bandwidth.egress)] {
                let labels = labels(&[("type", kind.as_bytes())], BANDWIDTH_LABELS, &settings.bandwidth, set);
                block.lines.insert(("", labels), vec![(None, bytes as f64)]);
            }
        }
        render(&blocks, &settings.prefix)
    })
}

fn by_kind(latency: &Latency) -> impl Iterator<Item = (&'static str, &Histogram)> {
    [("request", &latency.request), ("upstream", &latency.upstream), ("apisix", &latency.apisix)]
        .into_iter()
        .filter(|(_, histogram)| histogram.count > 0)
}

/// What is known of the whole gateway.
fn gauges(stats: &Stats, hostname: &str) -> Blocks {
    let mut blocks = Blocks::new();
    let block = open(&mut blocks, "nginx_http_current_connections", "gauge", "Number of HTTP connections");
    for (state, count) in [
        ("active", &stats.active),
        ("accepted", &stats.accepted),
        ("handled", &stats.handled),
        ("reading", &stats.reading),
        ("writing", &stats.writing),
        ("waiting", &stats.waiting),
    ] {
        let labels = labels(&[("state", state.as_bytes())], &[], &Family::default(), &[]);
        block.lines.insert(("", labels), vec![(None, count.load(Ordering::Relaxed) as f64)]);
    }
    let help = "The total number of client requests since APISIX started";
    let block = open(&mut blocks, "http_requests_total", "gauge", help);
    block.lines.insert(("", Vec::new()), vec![(None, stats.requests.load(Ordering::Relaxed) as f64)]);
    let block = open(&mut blocks, "nginx_metric_errors_total", "counter", "Number of nginx-lua-prometheus errors");
    block.lines.insert(("", Vec::new()), vec![(None, 0.0)]);
    let block = open(&mut blocks, "plugin_panics_total", "counter", "Panics caught in plugins");
    for (plugin, count) in stats.panics.by_plugin() {
        let labels = labels(&[("plugin", plugin.as_bytes())], &[], &Family::default(), &[]);
        block.lines.insert(("", labels), vec![(None, count as f64)]);
    }
    let block = open(&mut blocks, "upstream_status", "gauge", "Upstream status from health check");
    for node in stats.health.nodes() {
        let port = node.port.to_string();
        let leading = [("name", node.upstream.as_bytes()), ("ip", node.ip.as_bytes()), ("port", port.as_bytes())];
        let labels = labels(&leading, &[], &Family::default(), &[]);
        block.lines.insert(("", labels), vec![(None, f64::from(u8::from(node.is_usable)))]);
    }
    if stats.reloads.is_followed() {
        let help = "Versions of the configuration file that could not be used";
        let block = open(&mut blocks, "config_reload_failures_total", "counter", help);
        block.lines.insert(("", Vec::new()), vec![(None, stats.reloads.failures() as f64)]);
    }
    let block = open(&mut blocks, "node_info", "gauge", "Info of APISIX node");
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let labels = labels(&[("hostname", hostname.as_bytes()), ("version", version)], &[], &Family::default(), &[]);
    block.lines.insert(("", labels), vec![(None, 1.0)]);
    blocks
}

fn open<'a>(blocks: &'a mut Blocks, name: &'static str, kind: &'static str, help: &'static str) -> &'a mut Block {
    blocks.entry(name).or_insert_with(|| Block { kind, help, ..Block::default() })
}

fn add_histogram(block: &mut Block, labels: &[u8], histogram: &Histogram, settings: &Settings) {
    let mut below = 0;
    let mut buckets: Vec<Sample> = Vec::with_capacity(settings.buckets.len() + 1);
    for (bound, count) in settings.buckets.iter().zip(&histogram.buckets) {
        below += count;
        buckets.push((Some(*bound), below as f64));
    }
    buckets.push((Some(f64::INFINITY), histogram.count as f64));
    block.lines.insert(("_bucket", labels.to_vec()), buckets);
    block.lines.insert(("_count", labels.to_vec()), vec![(None, histogram.count as f64)]);
    block.lines.insert(("_sum", labels.to_vec()), vec![(None, histogram.sum)]);
}

/// `name="value",...`
fn labels(leading: &[(&str, &[u8])], names: &[&str], family: &Family, set: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let names = names.iter().copied().chain(family.extra.iter().map(|(name, _)| name.as_str()));
    for (name, value) in leading.iter().copied().chain(names.zip(values(set))) {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        // The format is UTF-8; what a client sent may not be.
        for c in String::from_utf8_lossy(value).chars() {
            match c {
                '\\' => out.extend_from_slice(b"\\\\"),
                '"' => out.extend_from_slice(b"\\\""),
                '\n' => out.extend_from_slice(b"\\n"),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.push(b'"');
    }
    out
}

fn render(blocks: &Blocks, prefix: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, block) in blocks.iter().filter(|(_, block)| !block.lines.is_empty()) {
        out.extend_from_slice(
            format!("# HELP {prefix}{name} {}\n# TYPE {prefix}{name} {}\n", block.help, block.kind).as_bytes(),
        );
        for ((suffix, labels), samples) in &block.lines {
            for (bound, value) in samples {
                out.extend_from_slice(format!("{prefix}{name}{suffix}").as_bytes());
                if !labels.is_empty() || bound.is_some() {
                    out.push(b'{');
                    out.extend_from_slice(labels);
                    if let Some(bound) = bound {
                        out.extend_from_slice(if labels.is_empty() { b"le=\"" } else { b",le=\"" });
                        if bound.is_finite() {
                            write_number(*bound, &mut out);
                        } else {
                            out.extend_from_slice(b"+Inf");
                        }
                        out.push(b'"');
                    }
                    out.push(b'}');
                }
                out.push(b' ');
                write_number(*value, &mut out);
                out.push(b'\n');
            }
        }
    }
    out
}
