//! Health checks: what is known of nodes, and how it comes to be known.
//!
//! The states and their transitions are those of lua-resty-healthcheck. A check begins with the first request to its upstream; from
//! then on states last as long as the upstream has checks and the node, over all changes of the configuration.

mod checker;
mod probe;
mod rounds;
mod rules;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use checker::{Checker, Place};
pub(crate) use rounds::Rounds;
pub(crate) use rules::{Report, Rules};
pub use target::{Counts, State, Target};
