use std::sync::atomic::AtomicU64;

/// Counters of the whole gateway, written by the engine's side and read by exporters.
#[derive(Debug, Default)]
#[allow(missing_docs)] // named as nginx's stub_status names them
pub struct Stats {
    pub accepted: AtomicU64,
    pub handled: AtomicU64,
    pub active: AtomicU64,
    pub reading: AtomicU64,
    pub writing: AtomicU64,
    pub waiting: AtomicU64,
    pub requests: AtomicU64,
    /// Requests refused before a route was looked for, because they were malformed or over a limit.
    pub refused: AtomicU64,
    /// Panics caught in plugins.
    pub panics: AtomicU64,
    /// Objects of the configuration that are quarantined now.
    pub problems: AtomicU64,
    /// Revision of the configuration in force.
    pub revision: AtomicU64,
}
