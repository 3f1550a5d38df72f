//! The pages made from code: `docs/plugins` and `docs/differences.md`.

mod attributes;

use crate::{
    check::refuse,
    command::{files, read, root, write},
    metadata::text,
    tidy::plugin_folders,
};
use anyhow::{Context, Result, bail};
use model::differences::{DIFFERENCES, Difference};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

const NOTICE: &str = "<!-- Written by `cargo xtask docs`; do not edit. -->\n\n";

/// What a plugin's schema file may hold, and what it is the schema of.
const SCHEMAS: [(&str, &str); 3] = [
    ("schema", "## Attributes"),
    ("consumer_schema", "## Attributes of a consumer or credential"),
    ("metadata_schema", "## Metadata"),
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    match args {
        [] => pages()?.iter().try_for_each(|(path, page)| write(path, page)),
        [flag] if flag == "--check" => check(),
        _ => bail!("usage: cargo xtask docs [--check]"),
    }
}

/// Fails if a page is not what it would be written as.
pub(crate) fn check() -> Result<()> {
    let pages = pages()?;
    let shown = |path: &Path| path.strip_prefix(root()).unwrap_or(path).display().to_string();
    let stale = pages.iter().filter(|(path, page)| std::fs::read_to_string(path).ok().as_ref() != Some(*page));
    let mut problems: Vec<String> =
        stale.map(|(path, _)| format!("{}: out of date; run `cargo xtask docs`", shown(path))).collect();
    let folder = root().join("docs/plugins");
    if folder.is_dir() {
        let strays = files(&folder, ".md")?.into_iter().filter(|path| !pages.contains_key(path));
        problems.extend(strays.map(|path| format!("{}: there is no such plugin", shown(&path))));
    }
    refuse(&problems)
}

/// One plugin, as it describes itself.
struct Described {
    name: String,
    family: PathBuf,
    doc: String,
    schemas: Value,
    /// Priority and phases, if the catalog knows them.
    surface: Option<Value>,
}

fn pages() -> Result<BTreeMap<PathBuf, String>> {
    let plugins = plugins()?;
    let docs = root().join("docs");
    let mut pages: BTreeMap<PathBuf, String> = plugins
        .iter()
        .map(|plugin| (docs.join("plugins").join(format!("{}.md", plugin.name)), plugin_page(plugin)))
        .collect();
    pages.insert(docs.join("plugins/README.md"), index_page(&plugins)?);
    pages.insert(docs.join("differences.md"), differences_page());
    Ok(pages)
}

fn plugins() -> Result<Vec<Described>> {
    let surface: Vec<Value> = serde_json::from_str(&read(&root().join("crates/plugins/catalog/surface.json"))?)?;
    let mut plugins = Vec::new();
    for folder in plugin_folders()? {
        let module = folder.file_name().context("a folder has a name")?.to_string_lossy();
        let name = module.replace('_', "-");
        let schemas = serde_json::from_str(&read(&folder.join("schema.json"))?)
            .with_context(|| format!("schema.json of {name}"))?;
        let doc = read(&folder.join("doc.md"))?;
        let family = folder.parent().context("a plugin is in a family")?.to_owned();
        let surface = surface.iter().find(|facts| facts["name"] == *name).cloned();
        plugins.push(Described { name, family, doc, schemas, surface });
    }
    Ok(plugins)
}

fn plugin_page(plugin: &Described) -> String {
    let mut page = format!("{NOTICE}# {}\n\n", plugin.name);
    let (purpose, sections) = plugin.doc.split_once("\n## ").unwrap_or((&plugin.doc, ""));
    let _ = writeln!(page, "{}\n", purpose.trim());
    if let Some((priority, phases)) = facts(plugin) {
        let _ = writeln!(page, "Priority {priority}; runs in {phases}.\n");
    }
    for (key, heading) in SCHEMAS {
        if let Some(schema) = plugin.schemas.get(key) {
            let _ = writeln!(page, "{heading}\n\n{}", attributes::table(schema));
        }
    }
    let sealed: Vec<String> = plugin.schemas["encrypt_fields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|field| Some(format!("`{}`", field.as_str()?)))
        .collect();
    if !sealed.is_empty() {
        let _ = writeln!(page, "Stored encrypted: {}.\n", sealed.join(", "));
    }
    if !sections.is_empty() {
        let _ = writeln!(page, "## {}", sections.trim_end());
    }
    let ours: Vec<&Difference> = DIFFERENCES.iter().filter(|d| d.plugin == Some(plugin.name.as_str())).collect();
    if !ours.is_empty() {
        let _ = write!(page, "\n## Safer than APISIX\n\n{SWITCHES}");
        let about = |difference: &Difference| (!difference.is_switchable).then(|| "Always in force.".to_owned());
        page.extend(ours.into_iter().map(|difference| entry(difference, about(difference))));
    }
    page.truncate(page.trim_end().len());
    page + "\n"
}

fn facts(plugin: &Described) -> Option<(i64, String)> {
    let surface = plugin.surface.as_ref()?;
    let phases: Vec<String> =
        surface["phases"].as_array()?.iter().filter_map(|phase| Some(format!("`{}`", phase.as_str()?))).collect();
    Some((surface["priority"].as_i64()?, phases.join(", ")))
}

fn index_page(plugins: &[Described]) -> Result<String> {
    let mut page = format!("{NOTICE}# Plugins\n\nThose with a higher priority run first.\n");
    let mut by_family: BTreeMap<&Path, Vec<&Described>> = BTreeMap::new();
    for plugin in plugins {
        by_family.entry(&plugin.family).or_default().push(plugin);
    }
    for (family, mut plugins) in by_family {
        plugins.sort_by_key(|plugin| (-facts(plugin).map_or(0, |(priority, _)| priority), &plugin.name));
        let name = family.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let source = read(&family.join("lib.rs"))?;
        let about = source.lines().find_map(|line| line.strip_prefix("//! ")).unwrap_or_default();
        let _ = writeln!(page, "\n## {name}\n\n{about}\n\n| Plugin | Priority | Phases | |\n|---|---|---|---|");
        for plugin in plugins {
            let (priority, phases) = facts(plugin).map_or_else(Default::default, |(n, phases)| (n.to_string(), phases));
            let name = &plugin.name;
            let _ = writeln!(
                page,
                "| [{name}]({name}.md) | {priority} | {phases} | {} |",
                cell(first_sentence(&plugin.doc))
            );
        }
    }
    Ok(page)
}

fn first_sentence(doc: &str) -> &str {
    let paragraph = doc.split("\n\n").next().unwrap_or_default();
    paragraph.find(". ").or_else(|| paragraph.find(".\n")).map_or(paragraph, |end| &paragraph[..=end]).trim()
}

/// Where the switches are described, from the page of a plugin.
const SWITCHES: &str = "How they are switched off is in [differences](../differences.md).\n";

fn differences_page() -> String {
    let mut page = NOTICE.to_owned() + include_str!("../templates/differences.md");
    for (heading, is_switchable) in [("With a switch", true), ("Always in force", false)] {
        let _ = write!(page, "\n## {heading}\n");
        for difference in DIFFERENCES.iter().filter(|difference| difference.is_switchable == is_switchable) {
            let about = difference.plugin.map(|plugin| format!("Plugin [{plugin}](plugins/{plugin}.md)."));
            page.push_str(&entry(difference, about));
        }
    }
    page.push_str("\nWhat else a plugin does differently is on its page in [plugins](plugins/README.md).\n");
    page
}

/// A difference on its own page, or on its plugin's; `about` is what that page does not say already.
fn entry(difference: &Difference, about: Option<String>) -> String {
    let Difference { name, apisix, portcullis, why, .. } = difference;
    let about = about.map(|about| format!("{about}\n\n")).unwrap_or_default();
    format!("\n### {name}\n\n{about}- APISIX: {apisix}.\n- Portcullis: {portcullis}.\n- Why: {why}.\n")
}

/// Text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_has_its_parts_in_order() {
        let page = plugin_page(&Described {
            name: "sample".to_owned(),
            family: PathBuf::new(),
            doc: "Does it. And more.\n\n## Example\n\nLike this.\n".to_owned(),
            schemas: json!({ "schema": { "properties": { "a": { "type": "string" } } }, "encrypt_fields": ["a"] }),
            surface: Some(json!({ "priority": 5, "phases": ["rewrite", "log"] })),
        });
        let parts = ["# sample", "Does it. And more.", "Priority 5; runs in `rewrite`, `log`.", "## Attributes", "`a`"];
        let parts = parts.into_iter().chain(["Stored encrypted: `a`.", "## Example", "Like this.\n"]);
        let mut rest = page.as_str();
        for part in parts {
            rest = rest.split_once(part).unwrap_or_else(|| panic!("{part} in {rest}")).1;
        }
        assert_eq!(rest, "");
    }

    #[test]
    fn sentences_and_cells_are_one_line() {
        assert_eq!(first_sentence("Does a\nand b. And c.\n\nMore."), "Does a\nand b.");
        assert_eq!(first_sentence("Does a."), "Does a.");
        assert_eq!(cell("a |\n b"), "a \\| b");
    }
}
