//! A response's body under way.

use super::coding::{Coding, DecodeError};
use bytes::Bytes;
use model::pattern::{Pattern, ReplaceError, Replacement, Scope};
use plugin::{BodyLimits, BuildError, Frames, HeldBody, PluginError};
use serde::Deserialize;
use wire::{BodyError, Fields, Frame};

/// Bytes that filters may make of any body, however short it has to be before.
const GROWN_MAX: usize = 64 << 20;

/// A filter as configured.
#[derive(Debug, Deserialize)]
pub(super) struct FilterConfig {
    regex: String,
    replace: String,
    scope: ScopeName,
    options: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScopeName {
    Once,
    Global,
}

/// A filter.
#[derive(Debug)]
pub(super) struct Filter {
    pattern: Pattern,
    replacement: Replacement,
    scope: Scope,
}

/// Filters, in the order in which they run.
#[derive(Debug)]
pub(super) struct Filters {
    pub(super) filters: Vec<Filter>,
    /// Longest body.
    pub(super) max: u64,
    /// Whether a body that they cannot see whole is not sent.
    pub(super) is_strict: bool,
}

/// How far one response's body has come.
#[derive(Debug, Default)]
pub(super) enum Progress {
    /// It stays as it is.
    #[default]
    Passing,
    /// Another stands for it.
    Replacing { is_sent: bool },
    /// It is held until it is whole.
    Holding { held: HeldBody, coding: Coding, is_cut: bool },
    /// What was to be sent is sent.
    Over,
}

impl Filter {
    pub(super) fn compile(config: &FilterConfig) -> Result<Self, BuildError> {
        let refuse = |reason: String| BuildError(format!("regex \"{}\" validation failed: {reason}", config.regex));
        Ok(Self {
            pattern: Pattern::with_options(&config.regex, &config.options)
                .map_err(|error| refuse(error.to_string()))?,
            replacement: Replacement::compile(&config.replace).map_err(|error| refuse(error.to_owned()))?,
            scope: match config.scope {
                ScopeName::Once => Scope::Once,
                ScopeName::Global => Scope::Global,
            },
        })
    }
}

impl Filters {
    /// The state before the first frame.
    ///
    /// # Errors
    /// The head says already that the filters cannot see the body.
    pub(super) fn begin(&self, limits: &BodyLimits, coding: Coding, fields: &Fields) -> Result<Progress, PluginError> {
        if self.is_strict {
            let length = fields.get_str("content-length").and_then(|length| length.parse::<u64>().ok());
            if length.is_some_and(|length| length > self.max) {
                return Err(PluginError(BodyError::TooLarge(self.max).to_string()));
            }
            if let Coding::Unknown(name) = &coding {
                return Err(PluginError(DecodeError::Unknown(name.clone()).to_string()));
            }
        }
        Ok(Progress::Holding { held: HeldBody::new(limits, self.max), coding, is_cut: false })
    }

    /// What becomes of a whole body.
    fn run(&self, held: &mut HeldBody, coding: &Coding) -> Result<Bytes, PluginError> {
        let mut body = match coding.decode(held.bytes(), self.max) {
            Ok(body) => body,
            Err(error @ (DecodeError::Unknown(_) | DecodeError::Malformed(_))) if !self.is_strict => {
                tracing::error!(%error, "filters may not work as expected");
                return Ok(Bytes::copy_from_slice(held.bytes()));
            }
            Err(error) => return Err(PluginError(error.to_string())),
        };
        held.count(body.len() as u64).map_err(|error| PluginError(error.to_string()))?;
        let max = usize::try_from(self.max).unwrap_or(usize::MAX).max(GROWN_MAX);
        for filter in &self.filters {
            let replaced = filter.pattern.replace(&body, &filter.replacement, filter.scope, max);
            let Some(replaced) = replaced.map_err(|error: ReplaceError| PluginError(error.to_string()))? else {
                continue;
            };
            let grown = (replaced.len() as u64).saturating_sub(body.len() as u64);
            held.count(grown).map_err(|error| PluginError(error.to_string()))?;
            body = replaced;
        }
        Ok(body.into())
    }
}

impl Progress {
    /// One frame of a body that another stands for.
    pub(super) fn replace(&mut self, body: &Bytes, frame: Frame, out: &mut Frames) {
        let Self::Replacing { is_sent } = self else { return out.push(frame) };
        if !std::mem::replace(is_sent, true) && !body.is_empty() {
            out.push(Frame::Data(body.clone()));
        }
        if !matches!(frame, Frame::Data(_)) {
            out.push(frame);
        }
    }

    /// One frame of a body that filters run over.
    ///
    /// # Errors
    /// The body is too long, cannot be decoded, or a filter failed.
    pub(super) fn filter(&mut self, filters: &Filters, frame: Frame, out: &mut Frames) -> Result<(), PluginError> {
        match (&mut *self, frame) {
            (Self::Holding { held, is_cut, .. }, Frame::Data(data)) => {
                let room = usize::try_from(held.room()).unwrap_or(usize::MAX);
                let end = match data.len() > room && !filters.is_strict {
                    true => {
                        *is_cut = true;
                        room
                    }
                    false => data.len(),
                };
                held.push(data.get(..end).unwrap_or_default()).map_err(|error| PluginError(error.to_string()))
            }
            (Self::Holding { held, coding, is_cut }, frame) => {
                if *is_cut {
                    tracing::warn!(max = filters.max, "the body is cut to max_resp_body_size");
                }
                let body = filters.run(held, coding)?;
                if !body.is_empty() {
                    out.push(Frame::Data(body));
                }
                *self = Self::Over;
                out.push(frame);
                Ok(())
            }
            (_, frame) => {
                out.push(frame);
                Ok(())
            }
        }
    }
}
