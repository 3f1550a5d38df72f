//! What neither the compiler nor a test of the catalog sees.

use crate::{
    check::refuse,
    command::{entries, files, read, root},
};
use anyhow::Result;
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
    for file in files(&root().join("crates"), ".rs")? {
        problems.extend(source_problem(&shown(&file), &read(&file)?));
    }
    refuse(&problems)
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
    fn sources_are_short_and_done() {
        assert_eq!(source_problem("a.rs", "fn a() {}\n"), None);
        assert!(source_problem("a.rs", &"\n".repeat(MOST_LINES + 1)).is_some());
        assert!(source_problem("a.rs", concat!("fn a() { todo", "!() }")).is_some());
    }
}
