//! model.
pub mod pattern;
pub mod secret;
pub mod vars;

pub mod documents;
pub mod json;
pub mod schema;
pub mod differences;
pub mod yaml;
pub mod settings;
