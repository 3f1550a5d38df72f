//! Whether everything that Portcullis is built from may be part of it, by the lists of `deny.toml`.

use crate::{
    check::refuse,
    command::{cargo, output, read, root},
    metadata::PLATFORM,
};
use anyhow::{Context, Result};
use std::collections::BTreeSet;

pub(crate) fn run() -> Result<()> {
    let deny = read(&root().join("deny.toml"))?;
    let (allowed, banned) = (list(&deny, "allow")?, list(&deny, "deny")?);
    // Unlike `cargo metadata`, the tree leaves out what no enabled feature needs.
    let mut tree =
        cargo(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}|{l}", "--target", PLATFORM]);
    let tree = String::from_utf8(output(&mut tree)?)?;
    refuse(&problems(&tree, &allowed, &banned).into_iter().collect::<Vec<_>>())
}

/// `tree` has lines of package and licence: `name v1.0.0 (where)|MIT (*)`.
fn problems(tree: &str, allowed: &[&str], banned: &[&str]) -> BTreeSet<String> {
    let mut problems = BTreeSet::new();
    for line in tree.lines() {
        let Some((package, licence)) = line.trim_end_matches(" (*)").split_once('|') else { continue };
        let name = package.split(' ').next().unwrap_or_default();
        if banned.contains(&name) {
            problems.insert(format!("{package} is banned"));
        }
        if licence.is_empty() {
            problems.insert(format!("{package} names no licence"));
        } else if !is_satisfied(licence, allowed) {
            problems.insert(format!("{package}: {licence:?} needs a licence that is not allowed"));
        }
    }
    problems
}

/// The texts of the list `key` of a TOML file.
fn list<'a>(toml: &'a str, key: &str) -> Result<Vec<&'a str>> {
    let opening = format!("{key} = [");
    let lines = toml.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut lines = lines.skip_while(|line| *line != opening).skip(1).peekable();
    lines.peek().with_context(|| format!("deny.toml has no {key}"))?;
    Ok(lines.take_while(|line| *line != "]").filter_map(|line| line.split('"').nth(1)).collect())
}

/// Whether the allowed licences satisfy an SPDX expression.
fn is_satisfied(expression: &str, allowed: &[&str]) -> bool {
    // `/` is the way in which old packages write OR.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let is_satisfied = any(&mut rest, allowed);
    is_satisfied && rest.is_empty()
}

fn any(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut is_satisfied = all(rest, allowed);
    while take(rest, "OR") {
        is_satisfied |= all(rest, allowed);
    }
    is_satisfied
}

fn all(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut is_satisfied = one(rest, allowed);
    while take(rest, "AND") {
        is_satisfied &= one(rest, allowed);
    }
    is_satisfied
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> bool {
    if take(rest, "(") {
        let is_satisfied = any(rest, allowed);
        return take(rest, ")") && is_satisfied;
    }
    match **rest {
        [licence, "WITH", exception, ..] => {
            *rest = &rest[3..];
            // An exception only adds to what the licence permits.
            allowed.contains(&licence) || allowed.contains(&&*format!("{licence} WITH {exception}"))
        }
        [licence, ..] => {
            *rest = &rest[1..];
            allowed.contains(&licence)
        }
        [] => false,
    }
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let is_next = rest.first() == Some(&word);
    if is_next {
        *rest = &rest[1..];
    }
    is_next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read() {
        let allowed = ["MIT", "ISC", "Apache-2.0"];
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("MIT OR GPL-3.0 AND GPL-2.0", true),
            ("(MIT OR GPL-3.0) AND GPL-2.0", false),
            ("ISC AND (Apache-2.0 OR ISC) AND OpenSSL", false),
            ("ISC AND (Apache-2.0 OR OpenSSL)", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0 WITH LLVM-exception", false),
            ("(MIT", false),
            ("MIT ISC", false),
            ("", false),
        ] {
            assert_eq!(is_satisfied(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_found() {
        let tree =
            "ours v0.1.0 (/here)|MIT\nring v1.0.0|MIT\n\nsilent v1.0.0|\nleft v1.0.0|GPL-3.0\nring v1.0.0|MIT (*)\n";
        let found = problems(tree, &["MIT"], &["ring"]);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn lists_are_read() {
        let toml = "[bans]\ndeny = [\n    # why\n    { crate = \"ring\" },\n    \"other\", # also\n]\nallow = [\n]\n";
        assert_eq!(list(toml, "deny").unwrap(), ["ring", "other"]);
        assert!(list(toml, "allow").unwrap().is_empty());
        assert!(list(toml, "skip").is_err());
    }
}
