use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Wall-clock time; tests hold it still and move it by hand.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// Microseconds since the epoch, moved by a test.
    Fake(Arc<AtomicU64>),
}

impl Clock {
    /// Time since the Unix epoch.
    pub fn now(&self) -> Duration {
        match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Self::Fake(micros) => Duration::from_micros(micros.load(Ordering::Relaxed)),
        }
    }
}
