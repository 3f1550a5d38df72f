//! A new plugin: its folder from templates, and its line in the family, the catalog and the table of APISIX's facts.

use crate::command::{read, root, write};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// The files of a plugin, by name.
const TEMPLATES: [(&str, &str); 5] = [
    ("mod.rs", include_str!("../templates/plugin/mod.rs")),
    ("schema.json", include_str!("../templates/plugin/schema.json")),
    ("doc.md", include_str!("../templates/plugin/doc.md")),
    ("cases.yaml", include_str!("../templates/plugin/cases.yaml")),
    ("tests.rs", include_str!("../templates/plugin/tests.rs")),
];

/// Where a plugin goes that names no family.
const FAMILY: &str = "traffic";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let Asked { name, family, priority } = Asked::parse(args)?;
    let plugins = root().join("crates/plugins");
    let source = plugins.join(&family).join("src");
    ensure!(source.join("lib.rs").is_file() && family != "catalog", "there is no family {family:?}");
    let folder = source.join(name.module());
    ensure!(!folder.exists(), "{} exists", folder.display());

    let surface_path = plugins.join("catalog/surface.json");
    let mut surface: Vec<Value> = serde_json::from_str(&read(&surface_path)?)?;
    let known = surface.iter().find(|facts| facts["name"] == name.0).and_then(|facts| facts["priority"].as_i64());
    let is_known = known.is_some();
    let priority = priority.or(known).unwrap_or(0);
    if !is_known {
        let facts = json!({
            "name": name.0,
            "priority": priority,
            "attributes": { "value": { "type": "string" } },
            "phases": ["header_filter"],
        });
        surface.insert(place(&surface, priority), facts);
        write(&surface_path, &(serde_json::to_string_pretty(&surface)? + "\n"))?;
    }

    for (file, template) in TEMPLATES {
        write(&folder.join(file), &name.fill(template, priority))?;
    }
    let family_path = source.join("lib.rs");
    write(&family_path, &with_module(&read(&family_path)?, &name))?;
    let catalog_path = plugins.join("catalog/src/lib.rs");
    write(&catalog_path, &with_line(&read(&catalog_path)?, &name, &family, &surface)?)?;

    eprintln!("{} is there; see its folder {}", name.0, folder.display());
    eprintln!("then: cargo test -p plugins-{family} -p catalog && cargo xtask docs");
    Ok(())
}

/// What was asked for.
struct Asked {
    name: Name,
    family: String,
    priority: Option<i64>,
}

impl Asked {
    fn parse(args: &[String]) -> Result<Self> {
        const USAGE: &str = "usage: cargo xtask new-plugin NAME [--family FAMILY] [--priority NUMBER]";
        let (name, options) = args.split_first().context(USAGE)?;
        let mut asked = Self { name: Name::parse(name)?, family: FAMILY.to_owned(), priority: None };
        for option in options.chunks(2) {
            match option {
                [key, value] if key == "--family" => asked.family.clone_from(value),
                [key, value] if key == "--priority" => asked.priority = Some(value.parse().context(USAGE)?),
                _ => bail!(USAGE),
            }
        }
        Ok(asked)
    }
}

/// A plugin's name, in kebab-case.
struct Name(String);

impl Name {
    fn parse(name: &str) -> Result<Self> {
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        ensure!(name.split('-').all(is_word), "{name:?} is not in kebab-case, such as limit-req");
        Ok(Self(name.to_owned()))
    }

    fn module(&self) -> String {
        self.0.replace('-', "_")
    }

    fn type_name(&self) -> String {
        self.words("")
    }

    fn words(&self, between: &str) -> String {
        let word = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        self.0.split('-').map(word).collect::<Vec<_>>().join(between)
    }

    fn fill(&self, template: &str, priority: i64) -> String {
        template
            .replace("{{name}}", &self.0)
            .replace("{{Type}}", &self.type_name())
            .replace("{{Header}}", &self.words("-"))
            .replace("{{priority}}", &priority.to_string())
    }
}

/// Where a priority belongs among those of a sorted table.
fn place(surface: &[Value], priority: i64) -> usize {
    surface.iter().position(|facts| facts["priority"].as_i64() < Some(priority)).unwrap_or(surface.len())
}

/// A family with one more module, in the order of the alphabet.
fn with_module(source: &str, name: &Name) -> String {
    let line = format!("pub mod {};", name.module());
    let mut lines: Vec<&str> = source.lines().collect();
    let is_module = |line: &str| line.starts_with("pub mod ") || line.starts_with("mod ");
    let module = |line: &str| line.trim_start_matches("pub ").to_owned();
    let after = lines.iter().rposition(|other| is_module(other) && module(other) < module(&line));
    let before = lines.iter().position(|other| is_module(other));
    match (after, before) {
        (Some(after), _) => lines.insert(after + 1, &line),
        (None, Some(before)) => lines.insert(before, &line),
        (None, None) => lines.extend(["", &line]),
    }
    lines.join("\n") + "\n"
}

/// The catalog with one more plugin, before the first that has a lower priority.
fn with_line(source: &str, name: &Name, family: &str, surface: &[Value]) -> Result<String> {
    let priority = |type_name: &str| {
        let facts = surface
            .iter()
            .find(|facts| facts["name"].as_str().is_some_and(|other| Name(other.to_owned()).type_name() == type_name));
        facts.and_then(|facts| facts["priority"].as_i64()).unwrap_or(i64::MAX)
    };
    let ours = priority(&name.type_name());
    let lines: Vec<&str> = source.lines().collect();
    let start = lines.iter().position(|line| line.trim_end().ends_with("vec![")).context("the catalog has no list")?;
    let length = lines[start..].iter().position(|line| line.trim() == "]").context("the catalog's list has no end")?;
    let (mut line, end) = (start + 1, start + length);
    while line < end && described(lines[line]).is_none_or(|other| priority(other) >= ours) {
        line += 1;
    }
    let new = format!("        describe::<plugins_{family}::{}::{}>(),", name.module(), name.type_name());
    let mut lines = lines;
    lines.insert(line, &new);
    Ok(lines.join("\n") + "\n")
}

/// The type that a line of the catalog describes.
fn described(line: &str) -> Option<&str> {
    let path = line.split_once("::<")?.1.split_once('>')?.0;
    Some(path.rsplit("::").next().unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case() {
        let name = Name::parse("limit-req2").unwrap();
        assert_eq!(
            (name.module(), name.type_name(), name.words("-")),
            ("limit_req2".into(), "LimitReq2".into(), "Limit-Req2".into())
        );
        for name in ["", "Limit", "limit_req", "limit-", "-limit", "2-limit", "limit--req", "../limit"] {
            assert!(Name::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn templates_are_filled() {
        let name = Name::parse("limit-req").unwrap();
        for (file, template) in TEMPLATES {
            assert!(!name.fill(template, 1).contains("{{"), "{file}");
        }
    }

    #[test]
    fn a_family_has_its_modules_in_order() {
        let name = Name::parse("b").unwrap();
        for (source, expected) in [
            ("//! F.\n", "//! F.\n\npub mod b;\n"),
            ("//! F.\n\npub mod c;\n", "//! F.\n\npub mod b;\npub mod c;\n"),
            ("//! F.\n\nmod a;\npub mod c;\n\nuse a::A;\n", "//! F.\n\nmod a;\npub mod b;\npub mod c;\n\nuse a::A;\n"),
        ] {
            assert_eq!(with_module(source, &name), expected);
        }
    }

    #[test]
    fn the_catalog_is_sorted_by_priority() {
        let surface = [("a-x", 30), ("b", 20), ("c", 10)].map(|(name, n)| json!({ "name": name, "priority": n }));
        let list = |middle: &str| {
            format!("vec![\n        describe::<AX>(),\n{middle}        describe_auth::<f::c::C>(),\n    ]\n")
        };
        let expected = list("        describe::<plugins_traffic::b::B>(),\n");
        assert_eq!(with_line(&list(""), &Name::parse("b").unwrap(), "traffic", &surface).unwrap(), expected);
        assert_eq!(place(&surface, 20), 2);
        assert_eq!(place(&surface, 5), 3);
    }
}
