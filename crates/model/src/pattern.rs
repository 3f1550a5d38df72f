//! Regular expressions with PCRE's meaning and bounded time.
//!
//! APISIX hands every pattern to PCRE in byte mode. [`Pattern`] keeps that meaning (ASCII classes,
//! `$` also before a final newline, `.` without newline) on engines that cannot be driven into
//! exponential time: the linear `regex` engine, and a backtracking one with a step limit only where
//! look-around, back-references or possessive quantifiers need it.

mod options;
mod replacement;
mod translate;

#[cfg(test)]
mod tests;

pub use options::OptionsError;
pub use replacement::{ReplaceError, Replacement, Scope, split_digits};
use std::ops::Range;

use translate::{Engine, Refusal, translate};

/// Backtracking steps after which a match is given up.
const STEP_LIMIT: usize = 100_000;

/// Upper bound of the memory of one compiled pattern.
const SIZE_LIMIT: usize = 4 * 1024 * 1024;

/// Whether letters of the pattern match only their own case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Case {
    /// `A` matches only `A`.
    Sensitive,
    /// `A` matches `A` and `a` (ASCII letters only, as PCRE in byte mode).
    Insensitive,
}

/// A compiled regular expression over bytes.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Linear {
        regex: regex::bytes::Regex,
        /// The pattern has a `$`, which also holds before a final newline.
        before_final_newline: bool,
    },
    Backtracking(Box<fancy_regex::Regex>),
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid pattern \"{pattern}\": {reason}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The match was given up because it needed too many backtracking steps.
///
/// Whoever asked must refuse the request: neither "matches" nor "does not match" is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern exceeded its step limit")]
pub struct StepLimit;

/// The groups of one match, as ranges of the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captures {
    spans: Vec<Option<Range<usize>>>,
}

impl Captures {
    /// The range of group `index` (0 is the whole match), if the group took part.
    pub fn group(&self, index: usize) -> Option<Range<usize>> {
        self.spans.get(index).cloned().flatten()
    }

    /// How many groups the pattern has, the whole match included.
    pub fn count(&self) -> usize {
        self.spans.len()
    }
}

impl Pattern {
    /// Compiles a PCRE pattern; syntax that has no exact translation is refused.
    pub fn compile(pattern: &str, case: Case) -> Result<Self, PatternError> {
        let refuse = |reason: String| PatternError { pattern: pattern.to_owned(), reason };
        let matcher = match translate(pattern, Engine::Linear) {
            Ok(linear) => regex::bytes::RegexBuilder::new(&linear.source)
                .unicode(false)
                .case_insensitive(case == Case::Insensitive)
                .size_limit(SIZE_LIMIT)
                .build()
                .map(|regex| Matcher::Linear { regex, before_final_newline: linear.has_dollar })
                .map_err(|error| refuse(last_line(&error.to_string())))?,
            Err(Refusal::NeedsBacktracking) => {
                let translated =
                    translate(pattern, Engine::Backtracking).map_err(|refusal| refuse(refusal.to_string()))?;
                fancy_regex::RegexBuilder::new(&translated.source)
                    .bytes_mode(fancy_regex::BytesMode::Ascii)
                    .case_insensitive(case == Case::Insensitive)
                    .backtrack_limit(STEP_LIMIT)
                    .delegate_size_limit(SIZE_LIMIT)
                    .build()
                    .map(|regex| Matcher::Backtracking(Box::new(regex)))
                    .map_err(|error| refuse(last_line(&error.to_string())))?
            }
            Err(refusal) => return Err(refuse(refusal.to_string())),
        };
        Ok(Self { source: pattern.to_owned(), matcher })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether it runs in linear time, so that matching never ends at the step limit.
    pub fn is_linear(&self) -> bool {
        matches!(self.matcher, Matcher::Linear { .. })
    }

    /// Whether the pattern occurs anywhere in `subject`.
    pub fn is_match(&self, subject: &[u8]) -> Result<bool, StepLimit> {
        match &self.matcher {
            Matcher::Linear { regex, before_final_newline } => Ok(regex.is_match(subject)
                || (*before_final_newline
                    && subject.strip_suffix(b"\n").is_some_and(|trimmed| regex.is_match(trimmed)))),
            Matcher::Backtracking(regex) => regex.is_match(subject).map_err(|_| StepLimit),
        }
    }

    /// The first match and its groups.
    pub fn captures(&self, subject: &[u8]) -> Result<Option<Captures>, StepLimit> {
        self.captures_at(subject, 0)
    }

    /// The first match that starts at `start` or later; `^` still means the start of `subject`.
    pub fn captures_at(&self, subject: &[u8], start: usize) -> Result<Option<Captures>, StepLimit> {
        if start > subject.len() {
            return Ok(None);
        }
        match &self.matcher {
            Matcher::Linear { regex, before_final_newline } => {
                let whole = linear_captures(regex, subject, start);
                let trimmed = subject
                    .strip_suffix(b"\n")
                    .filter(|trimmed| *before_final_newline && start <= trimmed.len())
                    .and_then(|trimmed| linear_captures(regex, trimmed, start));
                Ok(earlier(whole, trimmed))
            }
            Matcher::Backtracking(regex) => {
                Ok(regex.captures_from_pos(subject, start).map_err(|_| StepLimit)?.map(|captures| Captures {
                    spans: captures.iter().map(|group| group.map(|group| group.start()..group.end())).collect(),
                }))
            }
        }
    }

    /// The names of the groups by index; unnamed groups (and group 0) are `None`.
    pub fn group_names(&self) -> Vec<Option<&str>> {
        match &self.matcher {
            Matcher::Linear { regex, .. } => regex.capture_names().collect(),
            Matcher::Backtracking(regex) => regex.capture_names().collect(),
        }
    }
}

fn linear_captures(regex: &regex::bytes::Regex, subject: &[u8], start: usize) -> Option<Captures> {
    regex
        .captures_at(subject, start)
        .map(|captures| Captures { spans: captures.iter().map(|group| group.map(|group| group.range())).collect() })
}

/// Of a match up to the very end and one up to the final newline, the one PCRE finds first.
fn earlier(whole: Option<Captures>, trimmed: Option<Captures>) -> Option<Captures> {
    let start = |captures: &Captures| captures.group(0).map(|range| range.start);
    match (whole, trimmed) {
        (Some(whole), Some(trimmed)) if start(&trimmed) < start(&whole) => Some(trimmed),
        (Some(whole), _) => Some(whole),
        (None, trimmed) => trimmed,
    }
}

/// The engines draw the pattern over several lines; the reason is the last one.
fn last_line(message: &str) -> String {
    message.lines().last().unwrap_or(message).trim_start_matches("error: ").to_owned()
}
