//! Plugins that find out who makes a request.
#![forbid(unsafe_code)]

pub mod basic_auth;
mod conclusion;
mod credential;
pub mod key_auth;

pub(crate) use conclusion::{Challenge, conclude};
pub(crate) use credential::{Argument, CredentialArg, CredentialHeader};
