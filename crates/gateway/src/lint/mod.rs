//! What is allowed and probably not meant: a first look at a configuration with the eyes of an attacker.
//!
//! A rule here knows documents, routes and attributes that many plugins share. What only one plugin can know is that plugin's own
//! (`plugin::Plugin::lint`).

mod attributes;
mod routes;
#[cfg(test)]
mod tests;

use crate::{
    check,
    flow::Flow,
    plugins::{PluginSet, Purpose},
    upstream::Registry,
};
use model::{
    differences::DIFFERENCES,
    documents::{Document, Kind},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// Something that is allowed, and weaker than it looks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The document's key, such as `/routes/1`.
    pub key: String,
    /// Where in it, as a JSON pointer.
    pub json_path: String,
    /// The name of the rule.
    pub rule: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What is weak, and what to do about it.
    pub message: String,
    /// Where an operator finds the document, such as a file and a line, if it is not in a database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something works and is weak.
    Warning,
    /// Something to know.
    Note,
}

impl Finding {
    fn new(rule: &'static str, key: String, json_path: String, message: String) -> Self {
        Self { key, json_path, rule, level: Level::Warning, message, place: None }
    }
}

/// Kinds of documents that have plugins.
const HOLDERS: [Kind; 7] = [
    Kind::GlobalRule,
    Kind::Route,
    Kind::Service,
    Kind::PluginConfig,
    Kind::Consumer,
    Kind::Credential,
    Kind::ConsumerGroup,
];

/// Findings of one rule that are told one by one.
const TOLD: usize = 200;

/// Everything that is found in the configuration in force, by key; of a rule that finds very much the first, and how many more
/// there are. Costs a look at every document.
pub fn findings(flow: &Flow) -> Vec<Finding> {
    let (view, plugins, snapshot) = (flow.documents(), flow.plugins(), flow.snapshot());
    let broken: HashSet<&str> = snapshot.problems().iter().map(|problem| &*problem.key).collect();
    let verifies = flow.shared().kept(Registry::default).verifies_upstreams();
    let (mut found, mut used) = (Vec::new(), Used::new());
    // A document is made of its text once.
    let others = Kind::ALL.into_iter().filter(|kind| !HOLDERS.contains(kind));
    for kind in HOLDERS.into_iter().chain(others) {
        for document in view.list(kind, None) {
            if HOLDERS.contains(&kind) {
                of_plugins(&plugins, &document, &mut found);
                note_plugins(&document, &mut used);
            }
            if matches!(kind, Kind::Upstream | Kind::Route | Kind::Service) {
                attributes::of_upstream(&document, verifies, &mut found);
            }
            let key = document.key.path();
            if broken.contains(&*key) {
                continue;
            }
            // What is in use, and could not be written again as it is.
            if let Err(message) = check::check_document(&view, &plugins, flow.shared(), &document.key, &document.value)
            {
                let message = format!("it is in use, but the Admin API would refuse it: {message}");
                found.push(Finding::new("refused-on-write", key, String::new(), message));
            }
        }
    }
    routes::findings(&snapshot, &mut found);
    differences(&plugins, &used, &mut found);
    found.sort();
    let mut found = without_repetition(found);
    for finding in &mut found {
        finding.place = flow.place(&finding.key);
    }
    found
}

fn without_repetition(found: Vec<Finding>) -> Vec<Finding> {
    let mut counts: BTreeMap<&str, (usize, Level)> = BTreeMap::new();
    let mut told: Vec<Finding> = Vec::new();
    for finding in found {
        let (count, _) = counts.entry(finding.rule).or_insert((0, finding.level));
        *count += 1;
        if *count <= TOLD {
            told.push(finding);
        }
    }
    let more = counts.into_iter().filter(|(_, (count, _))| *count > TOLD).map(|(rule, (count, level))| {
        let message = format!("there are {} more of this kind", count - TOLD);
        Finding { level, ..Finding::new(rule, String::new(), String::new(), message) }
    });
    told.extend(more);
    told
}

/// Plugins that differ from APISIX's: the first document that has each, and how many do.
type Used = BTreeMap<&'static str, (String, usize)>;

fn note_plugins(document: &Document, used: &mut Used) {
    for name in document.value.get("plugins").and_then(Value::as_object).into_iter().flat_map(|plugins| plugins.keys())
    {
        let known = DIFFERENCES.iter().find_map(|d| d.plugin.filter(|plugin| plugin == name));
        if let Some(name) = known {
            used.entry(name).or_insert_with(|| (document.key.path(), 0)).1 += 1;
        }
    }
}

/// Where plugins that are used are not as in APISIX, once for each difference.
fn differences(plugins: &PluginSet, used: &Used, found: &mut Vec<Finding>) {
    for difference in DIFFERENCES {
        let Some((plugin, (key, count))) = difference.plugin.and_then(|name| used.get_key_value(name)) else {
            continue;
        };
        if !plugins.get(plugin).is_some_and(|plugin| plugin.compat().is_safe(difference.id)) {
            continue;
        }
        let others = if *count > 1 { format!(" (and {} more objects)", count - 1) } else { String::new() };
        let (name, portcullis) = (difference.name, difference.portcullis);
        let message = format!("not as in APISIX{others}: {portcullis} ({name})");
        let path = format!("/plugins/{plugin}");
        found.push(Finding { level: Level::Note, ..Finding::new("difference", key.clone(), path, message) });
    }
}

fn of_plugins(plugins: &PluginSet, document: &Document, found: &mut Vec<Finding>) {
    let is_consumer = matches!(document.key.kind(), Kind::Consumer | Kind::Credential);
    for (name, conf) in document.value.get("plugins").and_then(Value::as_object).into_iter().flatten() {
        let Some(plugin) = plugins.get(name) else { continue };
        if is_consumer && plugin.description.credential.is_some() {
            continue;
        }
        // What cannot be used is a problem, and said elsewhere.
        let Ok(checked) = plugins.check(name, conf, Purpose::Plugin) else { continue };
        if checked.meta.is_disabled {
            continue;
        }
        let mut own = (plugin.description.lint)(&checked.config);
        attributes::of_plugin(&checked.config, "", &mut own);
        let own = own.into_iter().map(|finding| {
            let path = format!("/plugins/{name}{}", finding.path);
            Finding::new(finding.rule, document.key.path(), path, finding.message)
        });
        found.extend(own);
    }
}
