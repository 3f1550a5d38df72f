//! What the store promises, tried out on every backend and against everything that can happen to a file.

mod contract;
mod crash;
mod damage;
mod file;
mod full_disk;
mod group;
mod lock;
mod sealing;

use std::path::Path;

use serde_json::{Value, json};
use store::{DocKey, Documents, Embedded, Recovered, Store};

fn key(path: &str) -> DocKey {
    DocKey::parse(path).unwrap()
}

/// Opens a store that must be sound.
fn open(dir: &Path) -> Embedded {
    let (store, recovered) = Embedded::open(dir).unwrap();
    assert_eq!(recovered, None);
    store
}

/// Opens a store that must be damaged and restored.
fn open_recovered(dir: &Path) -> (Embedded, Recovered) {
    let (store, recovered) = Embedded::open(dir).unwrap();
    (store, recovered.expect("the damage was not noticed"))
}

/// Runs a future to its end.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn load(store: &dyn Store) -> Documents {
    run(store.load()).unwrap()
}

/// A document large enough to span pages now and then.
fn document(n: u64) -> Value {
    json!({ "n": n, "uri": format!("/{n}"), "pad": "x".repeat((n % 97 * 61) as usize) })
}
