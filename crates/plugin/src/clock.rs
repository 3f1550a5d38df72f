use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Time; tests hold it still and move it by hand.
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

    /// Time since the Unix epoch by what the machine's clock said when this was first asked: only forwards and at time's own pace,
    /// whoever sets the clock meanwhile.
    pub fn steady(&self) -> Duration {
        static START: LazyLock<(Instant, Duration)> = LazyLock::new(|| (Instant::now(), Clock::System.now()));
        match self {
            Self::System => START.1.saturating_add(START.0.elapsed()),
            Self::Fake(_) => self.now(),
        }
    }
}
