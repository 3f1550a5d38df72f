//! plugins-auth.
