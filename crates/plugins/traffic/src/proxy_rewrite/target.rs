//! The path and query that go upstream.

use crate::escape::{escape_breaking, escape_path};
use model::{
    differences::{Compat, DifferenceId},
    pattern::{Case, Pattern, Replacement, StepLimit},
    vars::{Lookup, Template},
};
use plugin::BuildError;

/// How the target is made.
#[derive(Debug)]
pub(super) struct Target {
    source: Source,
    is_raw: bool,
    escape: fn(&[u8], &mut Vec<u8>),
}

#[derive(Debug)]
enum Source {
    /// The request's own.
    Received,
    /// `uri`
    Uri(Template),
    /// `regex_uri`
    Patterns(Vec<(Pattern, Replacement)>),
}

/// The request's target as far as this plugin looks at it.
pub(super) struct Received<'a> {
    /// The canonical path.
    pub(super) path: &'a [u8],
    /// The raw query, empty when there is none.
    pub(super) query: &'a [u8],
    /// The raw path and query.
    pub(super) target: &'a [u8],
}

/// What a rewrite comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// Path and query, encoded.
    pub(super) target: Vec<u8>,
    /// Groups of the pattern that matched, group 0 first.
    pub(super) captures: Option<Vec<Vec<u8>>>,
}

/// A pattern of `regex_uri` ran out of steps.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to match the uri {path} ({pattern})  : {source}")]
pub(super) struct MatchFailed {
    path: String,
    pattern: String,
    source: StepLimit,
}

impl Target {
    pub(super) fn compile(
        uri: Option<&str>,
        regex_uri: &[String],
        is_raw: bool,
        compat: Compat,
    ) -> Result<Self, BuildError> {
        if !regex_uri.len().is_multiple_of(2) {
            return Err("The length of regex_uri should be an even number".to_owned().into());
        }
        let mut patterns = Vec::new();
        for pair in regex_uri.chunks_exact(2) {
            let [pattern, replacement] = pair else { continue };
            let refuse = |reason: String| BuildError(format!("invalid regex_uri({pattern}, {replacement}): {reason}"));
            let compiled = Pattern::compile(pattern, Case::Sensitive).map_err(|error| refuse(error.reason))?;
            patterns.push((compiled, Replacement::compile(replacement).map_err(|error| refuse(error.to_owned()))?));
        }
        let source = match uri {
            Some(uri) => Source::Uri(Template::compile(uri)),
            None if patterns.is_empty() => Source::Received,
            None => Source::Patterns(patterns),
        };
        let escape = match compat.is_safe(DifferenceId::SeparatorsInValues) {
            true => escape_separators,
            false => escape_first_separator,
        };
        Ok(Self { source, is_raw, escape })
    }

    pub(super) fn rewrite(&self, received: &Received<'_>, lookup: &dyn Lookup) -> Result<Rewritten, MatchFailed> {
        let original = if self.is_raw { received.target } else { received.path };
        let mut captures = None;
        // Whether a `?` in the new target separates; it does not where it is a decoded part of the request's own path.
        let mut may_have_query = false;
        let mut target = match &self.source {
            Source::Received => original.to_vec(),
            Source::Uri(template) => {
                may_have_query = true;
                let mut target = Vec::new();
                template.render_with(lookup, &mut target, &self.escape);
                if self.is_raw
                    && let (_, Some(query)) = wire::path::split_query(original)
                {
                    target.push(if target.contains(&b'?') { b'&' } else { b'?' });
                    target.extend_from_slice(query);
                }
                target
            }
            Source::Patterns(patterns) => {
                may_have_query = !original.contains(&b'?');
                let mut target = original.to_vec();
                for (pattern, replacement) in patterns {
                    let failed = |source| MatchFailed {
                        path: String::from_utf8_lossy(received.path).into_owned(),
                        pattern: pattern.as_str().to_owned(),
                        source,
                    };
                    let Some(found) = pattern.captures(original).map_err(failed)? else { continue };
                    let group = |index| {
                        let range = found.group(index);
                        range.and_then(|range| original.get(range)).unwrap_or_default()
                    };
                    let whole = found.group(0).unwrap_or_default();
                    target.truncate(whole.start);
                    replacement.render(&group, &mut target);
                    target.extend_from_slice(original.get(whole.end..).unwrap_or_default());
                    captures = Some((0..found.count()).map(|index| group(index).to_vec()).collect());
                    break;
                }
                target
            }
        };
        if target.first() != Some(&b'/') {
            target.insert(0, b'/');
        }
        let target =
            if self.is_raw { escape_breaking(&target) } else { encode(&target, may_have_query, received.query) };
        Ok(Rewritten { target, captures })
    }
}

/// Encodes the path, keeps the query's own delimiters, and appends the request's query.
fn encode(target: &[u8], may_have_query: bool, query: &[u8]) -> Vec<u8> {
    let at = if may_have_query { target.iter().position(|&b| b == b'?') } else { None };
    let (path, own_query) = target.split_at(at.unwrap_or(target.len()));
    let mut encoded = escape_path(path);
    encoded.extend(escape_breaking(own_query));
    if !query.is_empty() {
        encoded.push(if at.is_some() { b'&' } else { b'?' });
        encoded.extend_from_slice(query);
    }
    encoded
}

/// As APISIX does it.
fn escape_first_separator(value: &[u8], out: &mut Vec<u8>) {
    let end = value.iter().position(|&b| b == b'?').map_or(value.len(), |at| at + 1);
    let (first, rest) = value.split_at(end);
    escape_separators(first, out);
    out.extend_from_slice(rest);
}

/// `?` in a variable's value does not begin the query.
fn escape_separators(value: &[u8], out: &mut Vec<u8>) {
    for &b in value {
        match b {
            b'?' => out.extend_from_slice(b"%3F"),
            b => out.push(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::vars::{Value, VarName};

    struct Vars;

    impl Lookup for Vars {
        fn var(&self, name: &VarName) -> Value<'_> {
            match name {
                VarName::Uri => Value::text("/a b?\r\n"),
                VarName::Host => Value::text("h"),
                _ => Value::Absent,
            }
        }
    }

    fn run(uri: Option<&str>, regex_uri: &[&str], is_raw: bool, target: &str) -> String {
        let regex_uri: Vec<String> = regex_uri.iter().map(|&text| text.to_owned()).collect();
        let (raw, query) = wire::path::split_query(target.as_bytes());
        let path = wire::path::MatchPath::normalise(raw).unwrap().path;
        let received = Received { path: &path, query: query.unwrap_or_default(), target: target.as_bytes() };
        let rewritten =
            Target::compile(uri, &regex_uri, is_raw, Compat::default()).unwrap().rewrite(&received, &Vars).unwrap();
        String::from_utf8(rewritten.target).unwrap()
    }

    #[test]
    fn targets_are_rewritten_and_encoded() {
        let ab = ["^/a/(.*)", "/$1?x=$1"];
        for (desc, uri, regex_uri, is_raw, target, expected) in [
            ("nothing to do", None, &[][..], false, "/a?b=c", "/a?b=c"),
            ("encoded anew", None, &[], false, "/a%20%3F%25b/../c%7B", "/c%7B"),
            ("a decoded ? is no separator", None, &[], false, "/a%3Fb?c=%20", "/a%3Fb?c=%20"),
            ("uri", Some("/new"), &[], false, "/a?b=c", "/new?b=c"),
            ("uri with a query", Some("/new?x=1"), &[], false, "/a?b=c", "/new?x=1&b=c"),
            ("uri without args", Some("/new?x=1"), &[], false, "/a?", "/new?x=1"),
            ("variables", Some("/$host/${arg_x ?? y}"), &[], false, "/a", "/h/y"),
            ("values cannot break out of the path", Some("/x$uri"), &[], false, "/a", "/x/a%20b%253F%0D%0A"),
            ("nor of the query", Some("/x?u=$uri"), &[], false, "/a", "/x?u=/a%20b%3F%0D%0A"),
            ("uri wins", Some("/new"), &ab, false, "/a/b", "/new"),
            ("regex_uri", None, &ab, false, "/a/b?c=d", "/b?x=b&c=d"),
            ("no match", None, &ab, false, "/c/b?c=d", "/c/b?c=d"),
            ("the first match wins", None, &["^/c", "/1", "^/a", "/2", "/a", "/3"], false, "/a/b", "/2/b"),
            ("only the first occurrence", None, &["a", "b"], false, "/a/a", "/b/a"),
            ("a missing group is empty", None, &["^/(a)|(b)", "/x$2${1}$$9"], false, "/a", "/xa$9"),
            ("captures are encoded", None, &["^/a/(.*)", "/x/$1"], false, "/a/%0d%0a", "/x/%0D%0A"),
            ("a target begins with a slash", None, &["^/(.*)", "$1"], false, "/b", "/b"),
            ("raw", None, &[], true, "/a%20b//c?d=%2F", "/a%20b//c?d=%2F"),
            ("raw with uri", Some("/new"), &[], true, "/a?b=c", "/new?b=c"),
            ("raw with uri and query", Some("/new?x=1"), &[], true, "/a?b=c", "/new?x=1&b=c"),
            ("raw does not break the line", Some("/x$uri"), &[], true, "/a", "/x/a%20b%3F%0D%0A"),
            ("raw regex sees the query", None, &["b=(.)", "b=$1$1"], true, "/a%2e?b=c", "/a%2e?b=cc"),
        ] {
            assert_eq!(run(uri, regex_uri, is_raw, target), expected, "{desc}");
        }
    }

    #[test]
    fn bad_pairs_are_refused() {
        for (regex_uri, error) in [
            (&["^/a"][..], "The length of regex_uri should be an even number"),
            (&["^/(a", "/b"], "invalid regex_uri(^/(a, /b): "),
            (&["^/a", "/$x"], "invalid regex_uri(^/a, /$x): attempt to use named capturing variable"),
            (&["^/a", "/${1"], "invalid regex_uri(^/a, /${1): the closing bracket"),
        ] {
            let regex_uri: Vec<String> = regex_uri.iter().map(|&text| text.to_owned()).collect();
            let refused = Target::compile(None, &regex_uri, false, Compat::default()).unwrap_err().to_string();
            assert!(refused.starts_with(error), "{refused}");
        }
    }

    #[test]
    fn patterns_run_in_bounded_time() {
        let pair = [r"^/(?:(?=a)(?:a|aa))+$".to_owned(), "/x".to_owned()];
        let path = format!("/{}b", "a".repeat(200));
        let received = Received { path: path.as_bytes(), query: b"", target: path.as_bytes() };
        let error =
            Target::compile(None, &pair, false, Compat::default()).unwrap().rewrite(&received, &Vars).unwrap_err();
        assert!(error.to_string().starts_with("failed to match the uri /aaa"), "{error}");
    }
}
