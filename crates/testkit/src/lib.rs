//! For tests only: the scenarios in a plugin's `cases.yaml`, and who plays them.
//!
//! A case says what is configured, what a client sends, and what it and the upstream then get. Here it is played
//! [inside the process](InProcess), through the real request path and without a network; the end-to-end tests play the
//! same files against the real program. CONTRIBUTING.md describes the format.
// What fails here is a test, and it says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod case;
mod client;
mod compare;
mod in_process;
mod play;
mod upstream;

pub use case::{BadFile, Case, CaseFile, Expected, Request, Upstream};
pub use compare::{Answer, Seen};
pub use in_process::InProcess;
pub use play::{ENVIRONMENT, Gateway, play_all, play_family};
