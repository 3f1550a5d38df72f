//! Plugins that limit how much a client may ask for.
#![forbid(unsafe_code)]

mod amount;
pub mod api_breaker;
mod counters;
mod forgeable;
pub mod graphql_limit_count;
mod key;
pub mod limit_conn;
pub mod limit_count;
pub mod limit_req;
mod quota;
mod rejection;
mod remote;
mod table;
pub mod workflow;

/// Plugins that may run as a part of another one.
pub(crate) fn actions() -> [plugin::Description; 2] {
    [plugin::describe::<limit_count::LimitCount>(), plugin::describe::<limit_conn::LimitConn>()]
}

pub(crate) use amount::{Amount, Least};
pub(crate) use counters::{Counters, Taken, Window};
pub(crate) use key::{Key, KeyType};
pub(crate) use rejection::Rejection;
pub(crate) use table::{Full, Scope};
