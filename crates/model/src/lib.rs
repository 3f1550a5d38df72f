//! model.
pub mod pattern;
pub mod secret;
pub mod vars;

pub mod declared;
pub mod differences;
pub mod documents;
pub mod json;
pub mod reference;
pub mod schema;
pub mod settings;
pub mod yaml;
