//! Plugins that show what happens.
#![forbid(unsafe_code)]

pub mod prometheus;
