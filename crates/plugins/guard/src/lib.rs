//! Plugins that refuse what must not reach an API: from where, by whom, in what shape.
#![forbid(unsafe_code)]

pub mod consumer_restriction;
mod content;
pub mod cors;
pub mod csrf;
pub mod data_mask;
pub mod graphql_limits;
pub mod ip_restriction;
pub mod json_limits;
pub mod oas_validator;
mod patterns;
pub mod referer_restriction;
mod refusal;
pub mod request_validation;
mod schema;
pub mod ua_restriction;
pub mod uri_blocker;
