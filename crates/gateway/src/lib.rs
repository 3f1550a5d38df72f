//! The configuration as compiled, and the request path over it.

pub mod chain;
pub mod check;
pub mod exchange;
pub mod flow;
pub mod lint;
pub mod options;
pub mod plugins;
pub mod route;
mod shards;
pub mod snapshot;
pub mod upstream;
