use crate::{
    Full, Scope,
    table::{Digest, Entry, Table},
};
use std::sync::Arc;

/// Every request of the process that is counted while it runs.
#[derive(Default)]
pub(super) struct Connections(Table<Running>);

/// What a request came to.
pub(super) enum Entered {
    /// It is one of so many now, until its place is dropped.
    As(u64, Place),
    /// There are as many as there may be.
    Refused,
}

/// A running request's place; dropping it gives it back.
pub(super) struct Place {
    connections: Arc<Connections>,
    digest: Digest,
}

/// How many requests of a key run.
#[derive(Default)]
struct Running(u64);

impl Entry for Running {
    fn is_over(&self, _now: u64) -> bool {
        self.0 == 0
    }
}

impl Connections {
    pub(super) fn scope(&self, name: &[&str]) -> Scope {
        self.0.scope(name)
    }

    /// Takes one of a key's `most` places.
    pub(super) fn enter(self: &Arc<Self>, (scope, key): (&Scope, &[u8]), most: u64) -> Result<Entered, Full> {
        let digest = self.0.digest(&(scope, key));
        self.0.with(digest, 0, |running| {
            if running.0 >= most {
                return Entered::Refused;
            }
            running.0 += 1;
            Entered::As(running.0, Place { connections: self.clone(), digest })
        })
    }

    /// How many run, of all keys.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.0.with_known(self.digest, 0, |running| running.0 = running.0.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_fits_into_128_bytes() {
        assert!(Table::<Running>::bytes_of_an_entry() <= 128);
    }

    #[test]
    fn as_many_as_allowed_run_whatever_the_threads_do() {
        let connections = Arc::new(Connections::default());
        let scope = connections.scope(&["/routes/1"]);
        let running = std::sync::atomic::AtomicI64::new(0);
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for _ in 0..2_000 {
                        if let Entered::As(nth, place) = connections.enter((&scope, b"k"), 3).unwrap() {
                            use std::sync::atomic::Ordering::SeqCst;
                            assert!((1..=3).contains(&nth));
                            assert!(running.fetch_add(1, SeqCst) < 3);
                            running.fetch_sub(1, SeqCst);
                            drop(place);
                        }
                    }
                });
            }
        });
        assert!(matches!(connections.enter((&scope, b"k"), 1).unwrap(), Entered::As(1, _)), "all have left");
    }
}
