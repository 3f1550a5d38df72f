//! Transport: listeners, workers, codecs and upstream connections. The only crate that names an HTTP codec.

mod buffers;
mod clock;
pub mod h1;
pub mod h2;
mod limits;
mod listener;
mod pace;
mod pool;
mod service;
mod timer;
pub mod tls;
mod worker;

pub use clock::{http_date, now};
pub use limits::{H2Limits, Limits};
pub use listener::{Listener, bind};
pub use pool::{Pool, PoolLimits};
pub use service::Service;
pub use timer::Timer;
pub use tls::install_cryptography;
pub use worker::{Census, Drain, serve, spawn_beside};
