//! What neither the compiler nor a test of the catalog sees.

use crate::{
    check::refuse,
    command::{entries, files, read, root},
};
use anyhow::Result;
use model::differences::{DIFFERENCES, Difference};
use std::path::{Path, PathBuf};

/// Longer files are split by noun.
const MOST_LINES: usize = 900;

/// What every plugin's folder has; more files of Rust may be there.
pub(crate) const PLUGIN_FILES: [&str; 5] = ["mod.rs", "schema.json", "doc.md", "cases.yaml", "tests.rs"];

pub(crate) fn run() -> Result<()> {
    let mut problems = Vec::new();
    let catalog = read(&root().join("crates/plugins/catalog/src/lib.rs"))?;
    for folder in plugin_folders()? {
        problems.extend(plugin_problems(&folder, &catalog)?);
    }
    let mut sources = Vec::new();
    for file in files(&root().join("crates"), ".rs")? {
        let source = read(&file)?;
        problems.extend(source_problem(&shown(&file), &source));
        sources.push((shown(&file), source));
    }
    let folders = plugin_folders()?;
    problems.extend(DIFFERENCES.iter().filter_map(|difference| switch_problem(difference, &sources)));
    problems.extend(DIFFERENCES.iter().filter_map(|difference| side_problem(difference, &folders)));
    refuse(&problems)
}

/// A switch that nothing reads promises what does not happen.
fn switch_problem(difference: &Difference, sources: &[(String, String)]) -> Option<String> {
    let read = format!("is_safe(DifferenceId::{:?})", difference.id);
    let place = difference.plugin.map_or_else(String::new, |plugin| format!("/{}/", plugin.replace('-', "_")));
    let reads = |(file, source): &&(String, String)| {
        !file.ends_with("differences.rs")
            && !file.ends_with("tests.rs")
            && file.contains(&place)
            && source.contains(&read)
    };
    match (difference.is_switchable, sources.iter().find(reads)) {
        (true, None) => Some(format!("difference {}: its switch is read nowhere in {place:?}", difference.name)),
        (false, Some((file, _))) => Some(format!("difference {}: has no switch, and {file} reads it", difference.name)),
        _ => None,
    }
}

/// Both sides of a plugin's switch are among its cases.
fn side_problem(difference: &Difference, folders: &[PathBuf]) -> Option<String> {
    let (plugin, name) = (difference.plugin?, difference.name);
    let module = plugin.replace('-', "_");
    let Some(folder) = folders.iter().find(|folder| folder.ends_with(&module)) else {
        return Some(format!("difference {name}: there is no plugin {plugin}"));
    };
    let cases = read(&folder.join("cases.yaml")).unwrap_or_default();
    let has_both = ["secure", "apisix"].iter().all(|profile| cases.contains(&format!("  profile: {profile}\n")));
    (difference.is_switchable && !has_both)
        .then(|| format!("difference {name}: not both sides are in the cases of {plugin}"))
}

/// The folders of plugins, family by family.
pub(crate) fn plugin_folders() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for family in entries(&root().join("crates/plugins"))? {
        let source = family.join("src");
        if source.is_dir() {
            let folders = entries(&source)?.into_iter();
            found.extend(
                folders.filter(|folder| ["schema.json", "doc.md"].iter().any(|name| folder.join(name).exists())),
            );
        }
    }
    Ok(found)
}

fn plugin_problems(folder: &Path, catalog: &str) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let missing = PLUGIN_FILES.iter().filter(|name| !folder.join(name).is_file());
    problems.extend(missing.map(|name| format!("{}: {name} is missing", shown(folder))));
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".rs") && !PLUGIN_FILES.contains(&&*name) && !path.is_dir() {
            problems.push(format!("{}: not a file of a plugin", shown(&path)));
        }
    }
    let module = folder.file_name().unwrap_or_default().to_string_lossy();
    if !catalog.contains(&format!("{module}::")) {
        problems.push(format!("{}: not in the catalog", shown(folder)));
    }
    Ok(problems)
}

fn source_problem(file: &str, source: &str) -> Option<String> {
    let lines = source.lines().count();
    if lines > MOST_LINES {
        return Some(format!("{file}: {lines} lines; at most {MOST_LINES}, split it by noun"));
    }
    let line = source.lines().position(|line| line.contains(concat!("todo", "!(")))?;
    Some(format!("{file}:{}: something is left to do", line + 1))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_that_do_nothing_are_found() {
        let difference = |name: &str| DIFFERENCES.iter().find(|difference| difference.name == name).unwrap();
        let source =
            |file: &str, id: &str| vec![(file.to_owned(), format!("if compat.is_safe(DifferenceId::{id}) {{}}"))];
        for (desc, name, sources, expected) in [
            ("read", "server-header", source("crates/gateway/src/options.rs", "ServerHeader"), None),
            (
                "read by another",
                "server-header",
                source("crates/gateway/src/options.rs", "AdminCors"),
                Some("read nowhere"),
            ),
            (
                "read by a test",
                "server-header",
                source("crates/gateway/src/tests.rs", "ServerHeader"),
                Some("read nowhere"),
            ),
            (
                "read outside of its plugin",
                "empty-credential",
                source("crates/gateway/src/check.rs", "EmptyCredential"),
                Some("read nowhere in \"/key_auth/\""),
            ),
            ("without a switch", "secret-sealing", Vec::new(), None),
            (
                "read without one",
                "secret-sealing",
                source("crates/store/src/seal.rs", "SecretSealing"),
                Some("has no switch"),
            ),
        ] {
            let found = switch_problem(difference(name), &sources);
            match expected {
                None => assert_eq!(found, None, "{desc}"),
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|problem| problem.contains(part)), "{desc}: {found:?}")
                }
            }
        }
        assert!(side_problem(difference("empty-credential"), &[]).is_some_and(|problem| problem.contains("no plugin")));
    }

    #[test]
    fn sources_are_short_and_done() {
        assert_eq!(source_problem("a.rs", "fn a() {}\n"), None);
        assert!(source_problem("a.rs", &"\n".repeat(MOST_LINES + 1)).is_some());
        assert!(source_problem("a.rs", concat!("fn a() { todo", "!() }")).is_some());
    }
}
