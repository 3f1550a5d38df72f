//! What stands for a match, as `ngx.re.sub` reads it.

use super::{Pattern, StepLimit};

/// A compiled text with `$1`, `${1}` for groups and `$$` for a dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Group(usize),
}

/// How many matches are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The first.
    Once,
    /// Every one.
    Global,
}

/// Why nothing was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// The pattern ran out of steps.
    #[error(transparent)]
    StepLimit(#[from] StepLimit),
    /// The result would be longer than was allowed.
    #[error("what comes of it is longer than {0} bytes")]
    TooLong(usize),
}

impl Replacement {
    /// Compiles a replacement.
    ///
    /// # Errors
    /// A group that is no number, or a bracket that is not closed, in OpenResty's words.
    pub fn compile(text: &str) -> Result<Self, &'static str> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            literal.extend_from_slice(before.as_bytes());
            if let Some(after) = after.strip_prefix('$') {
                literal.push(b'$');
                rest = after;
                continue;
            }
            let inside = after.strip_prefix('{');
            let (digits, after) = split_digits(inside.unwrap_or(after));
            let index =
                digits.parse().map_err(|_| "attempt to use named capturing variable, which is not supported")?;
            rest = match inside {
                Some(_) => after.strip_prefix('}').ok_or("the closing bracket in the replacement is missing")?,
                None => after,
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Group(index));
        }
        literal.extend_from_slice(rest.as_bytes());
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// Appends the text with its groups; a group that took no part is empty.
    pub fn render<'s>(&self, group: &dyn Fn(usize) -> &'s [u8], out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Group(index) => out.extend_from_slice(group(*index)),
            }
        }
    }
}

impl Pattern {
    /// `subject` with the first match or every match replaced; `None` when there is none.
    ///
    /// # Errors
    /// The pattern ran out of steps, or the result would be longer than `max`.
    pub fn replace(
        &self,
        subject: &[u8],
        with: &Replacement,
        scope: Scope,
        max: usize,
    ) -> Result<Option<Vec<u8>>, ReplaceError> {
        let (mut out, mut copied, mut start) = (Vec::new(), 0, 0);
        let mut has_match = false;
        while let Some(found) = self.captures_at(subject, start)? {
            let Some(whole) = found.group(0) else { break };
            has_match = true;
            out.extend_from_slice(subject.get(copied..whole.start).unwrap_or_default());
            with.render(&|index| found.group(index).and_then(|range| subject.get(range)).unwrap_or_default(), &mut out);
            copied = whole.end;
            if out.len() > max {
                return Err(ReplaceError::TooLong(max));
            }
            if scope == Scope::Once {
                break;
            }
            // An empty match is followed by the search one byte on.
            start = if whole.is_empty() { whole.end + 1 } else { whole.end };
        }
        if !has_match {
            return Ok(None);
        }
        out.extend_from_slice(subject.get(copied..).unwrap_or_default());
        if out.len() > max { Err(ReplaceError::TooLong(max)) } else { Ok(Some(out)) }
    }
}

/// The digits at the start of a text, and what follows them.
pub fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Case;

    fn replace(pattern: &str, with: &str, scope: Scope, subject: &str) -> Option<String> {
        let pattern = Pattern::compile(pattern, Case::Sensitive).unwrap();
        let replaced = pattern.replace(subject.as_bytes(), &Replacement::compile(with).unwrap(), scope, 100).unwrap();
        replaced.map(|replaced| String::from_utf8(replaced).unwrap())
    }

    #[test]
    fn one_or_all_matches_are_replaced() {
        for (pattern, with, scope, subject, expected) in [
            ("l", "L", Scope::Once, "hello", Some("heLlo")),
            ("l", "L", Scope::Global, "hello", Some("heLLo")),
            ("(h)(e)", "${2}$1-$$$0", Scope::Once, "hello", Some("eh-$hello")),
            ("x", "y", Scope::Global, "hello", None),
            ("", "-", Scope::Global, "ab", Some("-a-b-")),
            ("$", "!", Scope::Global, "ab", Some("ab!")),
            ("hello", "", Scope::Once, "hello", Some("")),
            ("^h", "", Scope::Global, "hhh", Some("hh")),
        ] {
            assert_eq!(replace(pattern, with, scope, subject).as_deref(), expected, "{pattern} {with}");
        }
    }

    #[test]
    fn what_comes_of_it_is_bounded() {
        let pattern = Pattern::compile("a", Case::Sensitive).unwrap();
        let with = Replacement::compile("0123456789").unwrap();
        assert_eq!(pattern.replace(b"aaaa", &with, Scope::Global, 30), Err(ReplaceError::TooLong(30)));
        assert_eq!(pattern.replace(b"a0123456789", &with, Scope::Once, 10), Err(ReplaceError::TooLong(10)));
    }
}
