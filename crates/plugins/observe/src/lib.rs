//! plugins-observe.
