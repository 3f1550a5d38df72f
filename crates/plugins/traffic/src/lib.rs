//! plugins-traffic.
