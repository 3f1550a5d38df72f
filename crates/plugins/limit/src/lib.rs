//! plugins-limit.
