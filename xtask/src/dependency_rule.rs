//! Which crate may depend on which: the layers of the design.

use crate::{
    check::refuse,
    metadata::{self, packages, text},
};
use anyhow::Result;
use serde_json::Value;
use std::collections::BTreeSet;

/// For each crate of ours, those of ours that it may name. `*` ends a name that is a beginning.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("model", &["wire"]),
    ("store", &["model"]),
    ("plugin", &["wire", "model"]),
    ("plugins-*", &["wire", "model", "plugin"]),
    ("catalog", &["model", "plugin", "plugins-*"]),
    ("engine", &["wire"]),
    ("gateway", &["wire", "model", "store", "plugin", "engine"]),
    ("admin", &["wire", "model", "store", "plugin", "gateway"]),
    ("control", &["wire", "model", "store", "plugin", "gateway"]),
    ("portcullis", &["wire", "model", "store", "plugin", "engine", "gateway", "admin", "control", "catalog"]),
    ("testkit", &["*"]),
    ("e2e", &["*"]),
    ("xtask", &["model"]),
];

/// Crates of others that are named in one place only.
const NAMED_BY: &[(&str, &[&str])] =
    &[("store", &["redb"]), ("engine", &["h2", "h3", "h3-quinn", "quinn", "rustls", "tokio-rustls"])];

/// Crates that never become part of a release; they may name what they like of others.
const FOR_TESTS: &[&str] = &["testkit", "e2e", "xtask"];

pub(crate) fn run() -> Result<()> {
    refuse(&problems(&metadata::workspace()?))
}

fn problems(metadata: &Value) -> Vec<String> {
    let ours: BTreeSet<&str> = packages(metadata).map(|package| text(package, "name")).collect();
    let mut problems = Vec::new();
    for package in packages(metadata) {
        let name = text(package, "name");
        let Some((_, allowed)) = MAY_NAME.iter().find(|(pattern, _)| matches(pattern, name)) else {
            problems.push(format!("{name} is not in the table of xtask/src/dependency_rule.rs"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        // Development dependencies are free.
        for dependency in dependencies.filter(|dependency| dependency["kind"] != "dev") {
            let other = text(dependency, "name");
            if ours.contains(other) {
                if !allowed.iter().any(|pattern| matches(pattern, other)) {
                    problems.push(format!("{name} must not depend on {other}"));
                }
            } else if let Some((owner, _)) = NAMED_BY.iter().find(|(_, names)| names.contains(&other))
                && *owner != name
                && !FOR_TESTS.contains(&name)
            {
                problems.push(format!("{name} must not depend on {other}; only {owner} does"));
            }
        }
    }
    problems
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_workspace_follows_the_rule() {
        run().unwrap();
    }

    #[test]
    fn what_breaks_the_rule_is_found() {
        let package = |name: &str, dependency: &str, kind: Value| json!({ "name": name, "dependencies": [{ "name": dependency, "kind": kind }] });
        for (desc, name, dependency, kind, expected) in [
            ("downwards", "model", "wire", Value::Null, None),
            ("upwards", "wire", "model", Value::Null, Some("wire must not depend on model")),
            ("upwards, for tests", "wire", "model", json!("dev"), None),
            ("upwards, for the build", "wire", "model", json!("build"), Some("wire must not depend on model")),
            ("a family", "plugins-auth", "plugin", Value::Null, None),
            ("family to engine", "plugins-auth", "engine", Value::Null, Some("plugins-auth must not depend on engine")),
            ("the owner", "store", "redb", Value::Null, None),
            ("not the owner", "model", "redb", Value::Null, Some("model must not depend on redb; only store does")),
            ("another's crate", "wire", "bytes", Value::Null, None),
            ("tests in a release", "portcullis", "testkit", Value::Null, Some("portcullis must not depend on testkit")),
        ] {
            let mut list = vec![package(name, dependency, kind)];
            if MAY_NAME.iter().any(|(pattern, _)| matches(pattern, dependency)) {
                list.push(json!({ "name": dependency, "dependencies": [] }));
            }
            let found = problems(&json!({ "packages": list }));
            assert_eq!(found.first().map(String::as_str), expected, "{desc}");
        }
    }

    #[test]
    fn every_crate_is_in_the_table() {
        let found = problems(&json!({ "packages": [{ "name": "stranger", "dependencies": [] }] }));
        assert_eq!(found.len(), 1);
    }
}
