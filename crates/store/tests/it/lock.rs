//! One data directory, one store.

use store::{Embedded, StoreError};

use crate::open;

#[test]
fn a_second_open_is_refused_until_the_first_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    match Embedded::open(dir.path()) {
        Err(error @ StoreError::Locked(_)) => {
            assert!(error.to_string().ends_with("is in use by another process"));
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened twice"),
    }
    drop(first);
    open(dir.path());
}
