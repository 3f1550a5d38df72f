//! Series and their values.
//!
//! Each worker writes into a stripe of its own, so that counting neither waits nor moves cache lines between cores;
//! whoever exports adds the stripes up. A label set is looked up by its bytes in a keyed hash map; nothing is allocated
//! for one that is known. How many there may be is bounded over all stripes together: beyond that, one series labelled
//! `overflow` takes the rest.

use super::settings::{Disabled, Family, Settings};
use indexmap::IndexMap;
use model::vars::{Lookup, Value};
use parking_lot::Mutex;
use std::{
    cell::Cell,
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
    sync::OnceLock,
    time::Duration,
};
use wire::Text;

pub(super) const STATUS_LABELS: &[&str] = &[
    "code",
    "route",
    "matched_uri",
    "matched_host",
    "service",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
    "response_source",
];
/// Without `type`, which leads them: a label set's values of all types are kept together.
pub(super) const LATENCY_LABELS: &[&str] =
    &["route", "service", "consumer", "node", "request_type", "request_llm_model", "llm_model"];
pub(super) const BANDWIDTH_LABELS: &[&str] = LATENCY_LABELS;

/// What `request_type` is for everything but requests to language models.
const REQUEST_TYPE: &str = "traditional_http";
/// Longest value of an extra label; those may come from clients.
const MAX_EXTRA_LEN: usize = 128;
/// More than there are workers on most machines; workers that share a stripe only wait for each other.
const STRIPES: usize = 64;

/// All that is counted, for all instances.
#[derive(Default)]
pub(super) struct Metrics {
    settings: OnceLock<Settings>,
    stripes: OnceLock<Vec<Mutex<Stripe>>>,
    known: Mutex<Known>,
}

/// One finished exchange.
pub(super) struct Exchange<'a> {
    pub(super) code: u16,
    pub(super) route: &'a str,
    pub(super) matched_uri: &'a str,
    pub(super) matched_host: &'a str,
    pub(super) service: &'a str,
    pub(super) consumer: &'a str,
    pub(super) node: Option<IpAddr>,
    pub(super) source: &'static str,
    pub(super) total: Duration,
    pub(super) upstream: Option<Duration>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) now: Duration,
}

/// Label values one after the other, each behind its length.
pub(super) type LabelSet = Box<[u8]>;

/// One metric's series: by label set, the time of the last change and the values.
pub(super) type Series<V> = IndexMap<LabelSet, (Duration, V)>;

#[derive(Default)]
pub(super) struct Stripe {
    scratch: Vec<u8>,
    pub(super) status: Series<u64>,
    pub(super) latency: Series<Latency>,
    pub(super) bandwidth: Series<Bandwidth>,
}

#[derive(Default, Clone)]
pub(super) struct Latency {
    pub(super) request: Histogram,
    pub(super) upstream: Histogram,
    pub(super) apisix: Histogram,
}

#[derive(Default, Clone)]
pub(super) struct Bandwidth {
    pub(super) ingress: u64,
    pub(super) egress: u64,
}

/// Observations in milliseconds.
#[derive(Default, Clone)]
pub(super) struct Histogram {
    /// By bucket, not added up; empty until the first observation.
    pub(super) buckets: Vec<u64>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

/// The label sets that exist in any stripe.
#[derive(Default)]
struct Known {
    status: HashSet<LabelSet>,
    latency: HashSet<LabelSet>,
    bandwidth: HashSet<LabelSet>,
}

/// A snapshot of all stripes together.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) status: Series<u64>,
    pub(super) latency: Series<Latency>,
    pub(super) bandwidth: Series<Bandwidth>,
}

impl Metrics {
    /// The first instance's settings count; others need a restart, as in APISIX.
    pub(super) fn configure(&self, settings: &Settings) {
        if self.settings.get_or_init(|| settings.clone()) != settings {
            tracing::warn!("plugin_attr.prometheus changed; it takes effect after a restart");
        }
    }

    /// The settings; the defaults while there is no instance.
    pub(super) fn with_settings<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        match self.settings.get() {
            Some(settings) => read(settings),
            None => read(&Settings::default()),
        }
    }

    pub(super) fn record(&self, exchange: &Exchange<'_>, disabled: &Disabled, lookup: &dyn Lookup) {
        self.with_settings(|settings| {
            let Some(stripe) = self.stripes().get(own_stripe()) else { return };
            let mut stripe = stripe.lock();
            let Stripe { scratch, status, latency, bandwidth } = &mut *stripe;
            let now = exchange.now;

            let mut labels = Labels::begin(scratch, disabled.status);
            labels.bytes(&Text::decimal(u64::from(exchange.code)));
            labels.text(exchange.route);
            labels.text(exchange.matched_uri);
            labels.text(exchange.matched_host);
            labels.common(exchange);
            labels.text(exchange.source);
            labels.extra(&settings.status, lookup);
            let width = STATUS_LABELS.len() + settings.status.extra.len();
            *entry(status, scratch, now, width, |set| {
                self.admit(set, settings.max_series, |known| &mut known.status)
            }) += 1;

            let mut labels = Labels::begin(scratch, disabled.latency);
            labels.text(exchange.route);
            labels.common(exchange);
            labels.extra(&settings.latency, lookup);
            let width = LATENCY_LABELS.len() + settings.latency.extra.len();
            let entry_of = entry(latency, scratch, now, width, |set| {
                self.admit(set, settings.max_series, |known| &mut known.latency)
            });
            entry_of.request.observe(exchange.total, &settings.buckets);
            if let Some(upstream) = exchange.upstream {
                entry_of.upstream.observe(upstream, &settings.buckets);
            }
            entry_of
                .apisix
                .observe(exchange.total.saturating_sub(exchange.upstream.unwrap_or_default()), &settings.buckets);

            // Mostly the set is the same one.
            if disabled.bandwidth != disabled.latency || settings.bandwidth.extra != settings.latency.extra {
                let mut labels = Labels::begin(scratch, disabled.bandwidth);
                labels.text(exchange.route);
                labels.common(exchange);
                labels.extra(&settings.bandwidth, lookup);
            }
            let width = BANDWIDTH_LABELS.len() + settings.bandwidth.extra.len();
            let entry_of = entry(bandwidth, scratch, now, width, |set| {
                self.admit(set, settings.max_series, |known| &mut known.bandwidth)
            });
            entry_of.ingress += exchange.received;
            entry_of.egress += exchange.sent;
        });
    }

    /// Adds all stripes up, after forgetting what has expired.
    pub(super) fn totals(&self, now: Duration) -> Totals {
        self.with_settings(|settings| {
            let mut totals = Totals::default();
            for stripe in self.stripes() {
                let stripe = stripe.lock();
                sum(&mut totals.status, &stripe.status, |total, value| *total += value);
                sum(&mut totals.latency, &stripe.latency, Latency::add);
                sum(&mut totals.bandwidth, &stripe.bandwidth, |total, value| {
                    total.ingress += value.ingress;
                    total.egress += value.egress;
                });
            }
            // A series lives as long as any worker touches it, so all stripes forget it at once.
            let dead = Dead {
                status: dead(&totals.status, &settings.status, now),
                latency: dead(&totals.latency, &settings.latency, now),
                bandwidth: dead(&totals.bandwidth, &settings.bandwidth, now),
            };
            if !dead.is_empty() {
                self.forget(&dead);
                totals.status.retain(|set, _| !dead.status.contains(set));
                totals.latency.retain(|set, _| !dead.latency.contains(set));
                totals.bandwidth.retain(|set, _| !dead.bandwidth.contains(set));
            }
            totals
        })
    }

    fn forget(&self, dead: &Dead) {
        for stripe in self.stripes() {
            let mut stripe = stripe.lock();
            stripe.status.retain(|set, _| !dead.status.contains(set));
            stripe.latency.retain(|set, _| !dead.latency.contains(set));
            stripe.bandwidth.retain(|set, _| !dead.bandwidth.contains(set));
        }
        let mut known = self.known.lock();
        known.status.retain(|set| !dead.status.contains(set));
        known.latency.retain(|set| !dead.latency.contains(set));
        known.bandwidth.retain(|set| !dead.bandwidth.contains(set));
    }

    /// Whether a label set that a stripe does not have may have a series of its own.
    fn admit(&self, set: &[u8], max: usize, sets: impl Fn(&mut Known) -> &mut HashSet<LabelSet>) -> bool {
        let mut known = self.known.lock();
        let sets = sets(&mut known);
        if sets.contains(set) {
            return true;
        }
        if sets.len() >= max {
            return false;
        }
        sets.insert(set.into());
        true
    }

    fn stripes(&self) -> &[Mutex<Stripe>] {
        self.stripes.get_or_init(|| (0..STRIPES).map(|_| Mutex::default()).collect())
    }
}

struct Dead {
    status: HashSet<LabelSet>,
    latency: HashSet<LabelSet>,
    bandwidth: HashSet<LabelSet>,
}

impl Dead {
    fn is_empty(&self) -> bool {
        self.status.is_empty() && self.latency.is_empty() && self.bandwidth.is_empty()
    }
}

fn dead<V>(series: &Series<V>, family: &Family, now: Duration) -> HashSet<LabelSet> {
    let Some(expire) = family.expire else { return HashSet::new() };
    let expired = series.iter().filter(|(_, (touched, _))| now.saturating_sub(*touched) >= expire);
    expired.map(|(set, _)| set.clone()).collect()
}

fn sum<V: Default>(totals: &mut Series<V>, part: &Series<V>, add: impl Fn(&mut V, &V)) {
    for (set, (touched, value)) in part {
        let (latest, total) = totals.entry(set.clone()).or_default();
        *latest = (*latest).max(*touched);
        add(total, value);
    }
}

/// The values of a label set, or those of the overflow series.
fn entry<'s, V: Default>(
    series: &'s mut Series<V>,
    set: &[u8],
    now: Duration,
    width: usize,
    admit: impl FnOnce(&[u8]) -> bool,
) -> &'s mut V {
    let index = series.get_index_of(set).unwrap_or_else(|| {
        let set = if admit(set) { set.into() } else { overflow(width) };
        let entry = series.entry(set);
        let index = entry.index();
        entry.or_default();
        index
    });
    match series.get_index_mut(index) {
        Some((_, (touched, value))) => {
            *touched = now;
            value
        }
        None => unreachable!("it was found or inserted just now"),
    }
}

fn overflow(width: usize) -> LabelSet {
    let mut set = Vec::new();
    let mut labels = Labels::begin(&mut set, 0);
    for _ in 0..width {
        labels.text("overflow");
    }
    set.into()
}

impl Histogram {
    fn observe(&mut self, time: Duration, bounds: &[f64]) {
        let millis = time.as_secs_f64() * 1000.0;
        self.buckets.resize(bounds.len(), 0);
        let bucket = bounds.partition_point(|&bound| bound < millis);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum += millis;
    }

    fn add(&mut self, other: &Self) {
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        for (total, part) in self.buckets.iter_mut().zip(&other.buckets) {
            *total += part;
        }
        self.count += other.count;
        self.sum += other.sum;
    }
}

impl Latency {
    fn add(&mut self, other: &Self) {
        self.request.add(&other.request);
        self.upstream.add(&other.upstream);
        self.apisix.add(&other.apisix);
    }
}

/// Writes a label set.
struct Labels<'a> {
    out: &'a mut Vec<u8>,
    disabled: u16,
    at: u32,
}

impl<'a> Labels<'a> {
    fn begin(out: &'a mut Vec<u8>, disabled: u16) -> Self {
        out.clear();
        Self { out, disabled, at: 0 }
    }

    fn text(&mut self, value: &str) {
        self.write(|out| out.extend_from_slice(value.as_bytes()));
    }

    fn bytes(&mut self, value: &[u8]) {
        self.write(|out| out.extend_from_slice(value));
    }

    fn common(&mut self, exchange: &Exchange<'_>) {
        self.text(exchange.service);
        self.text(exchange.consumer);
        match exchange.node {
            Some(node) => self.bytes(&Text::address(node)),
            None => self.text(""),
        }
        self.text(REQUEST_TYPE);
        self.text("");
        self.text("");
    }

    fn extra(&mut self, family: &Family, lookup: &dyn Lookup) {
        // They cannot be disabled.
        self.disabled = 0;
        for (_, name) in &family.extra {
            self.write(|out| {
                let start = out.len();
                match lookup.var(name) {
                    Value::Str(text) => out.extend_from_slice(text.get(..MAX_EXTRA_LEN).unwrap_or(&text)),
                    value => value.write_to(out),
                }
                out.truncate(start + MAX_EXTRA_LEN);
            });
        }
    }

    fn write(&mut self, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        if self.disabled >> self.at & 1 == 0 {
            value(self.out);
        }
        let len = (self.out.len() - start - 4) as u32;
        if let Some(place) = self.out.get_mut(start..start + 4) {
            place.copy_from_slice(&len.to_le_bytes());
        }
        self.at += 1;
    }
}

/// The values of a label set, in order.
pub(super) fn values(mut set: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = set.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        set = rest;
        Some(value)
    })
}

/// The calling thread's stripe.
fn own_stripe() -> usize {
    thread_local!(static OWN: Cell<Option<usize>> = const { Cell::new(None) });
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let mut hasher = DefaultHasher::new();
            std::thread::current().id().hash(&mut hasher);
            let stripe = hasher.finish() as usize % STRIPES;
            own.set(Some(stripe));
            stripe
        })
    })
}
