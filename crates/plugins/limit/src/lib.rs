//! Plugins that limit how much a client may ask for.
#![forbid(unsafe_code)]

mod counters;
pub mod limit_count;

pub(crate) use counters::{Counters, Full, Scope, Taken, Window};
