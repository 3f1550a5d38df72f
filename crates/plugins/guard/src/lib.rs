//! Plugins that refuse what must not reach an API: from where, by whom, in what shape.
#![forbid(unsafe_code)]
