//! From APISIX's `config.yaml` to one that a Portcullis starts with.

use super::report::{Outcome, Report};
use crate::{dotted, settings::variable, source::Source};
use anyhow::bail;
use model::{
    differences::DIFFERENCES,
    settings::{Provider, Role, Settings, SettingsError, Severity},
    yaml,
};
use serde_json::Value;

/// The new settings.
pub(super) struct Moved {
    /// As they are to be written; what the environment gives is not put in.
    pub(super) written: Value,
    /// As they will be read.
    pub(super) settings: Settings,
}

/// What becomes of each setting. With `has_file` a declarative file is served, else the embedded store.
///
/// # Errors
/// It is no `config.yaml`.
pub(super) fn migrate(text: &str, has_file: bool, report: &mut Report) -> anyhow::Result<Moved> {
    let mut tree = yaml::parse(text)?;
    if tree.is_null() {
        tree = Value::Object(serde_json::Map::new());
    }
    let (settings, notices) = without_published_keys(&mut tree, report)?;
    provider(&mut tree, &settings, has_file, report);
    for notice in &notices {
        match notice.severity {
            Severity::Ignored => {
                dotted::put(&mut tree, &notice.path, None);
                report.say(
                    Outcome::Changed,
                    notice.path.clone(),
                    format!("taken out, it has no effect: {}", notice.message),
                );
            }
            // It stays: the gateway will not start until somebody who knows what it protected has taken it out.
            Severity::Refuse => report.say(
                Outcome::Refused,
                notice.path.clone(),
                format!("{}; the gateway does not start while it is there", notice.message),
            ),
        }
    }
    let mut paths = Vec::new();
    leaves(&tree, String::new(), &mut paths);
    paths.retain(|path| !notices.iter().any(|notice| path.starts_with(&notice.path)) && !report.has(path));
    for path in paths {
        report.say(Outcome::Same, path, String::new());
    }
    for difference in DIFFERENCES.iter().filter(|d| d.plugin.is_none() && settings.compat.is_safe(d.id)) {
        let message = format!("{} [{}]", difference.portcullis, difference.name);
        report.say(Outcome::Differs, "everywhere".to_owned(), message);
    }
    let (settings, _) = Settings::of(&substituted(&tree)?, &variable)?;
    if let Err(error) = Source::of(&settings, None) {
        report.say(Outcome::Refused, "deployment".to_owned(), format!("{error:#}"));
    }
    Ok(Moved { written: tree, settings })
}

fn substituted(tree: &Value) -> Result<Value, SettingsError> {
    Settings::written(Some(&yaml::dump(tree)), &variable)
}

/// Takes the admin keys out that everybody knows.
fn without_published_keys(
    tree: &mut Value,
    report: &mut Report,
) -> anyhow::Result<(Settings, Vec<model::settings::Notice>)> {
    loop {
        match Settings::of(&substituted(tree)?, &variable) {
            Ok(read) => return Ok(read),
            Err(SettingsError::ExampleAdminKey(name)) => {
                const PATH: &str = "deployment.admin.admin_key";
                let Some(Value::Array(keys)) = dotted::at(tree, PATH).cloned() else { bail!("{PATH} is no list") };
                let named = |key: &Value| key.get("name").and_then(Value::as_str) == Some(&name);
                let left: Vec<Value> = keys.iter().filter(|key| !named(key)).cloned().collect();
                if left.len() == keys.len() {
                    bail!("the admin key {name} cannot be found");
                }
                let says = match left.is_empty() {
                    true => "one is made at the first start, in admin.key of the data folder",
                    false => "the others stay",
                };
                dotted::put(tree, PATH, (!left.is_empty()).then_some(Value::Array(left)));
                let message =
                    format!("the key \"{name}\" is printed in APISIX's documentation and was taken out; {says}");
                report.say(Outcome::Changed, PATH.to_owned(), message);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Where the configuration comes from: there is no etcd in this version.
fn provider(tree: &mut Value, settings: &Settings, has_file: bool, report: &mut Report) {
    let role = settings.deployment.role;
    if settings.deployment.provider != Provider::Etcd
        && !(has_file && settings.deployment.provider == Provider::Embedded)
    {
        return;
    }
    let (name, setting, provider) = match (role, has_file) {
        (Role::ControlPlane, _) => return,
        (_, true) => ("data_plane", "deployment.role_data_plane.config_provider", "yaml"),
        (Role::Traditional, false) => ("traditional", "deployment.role_traditional.config_provider", "embedded"),
        (Role::DataPlane, false) => return,
    };
    dotted::put(tree, "deployment.role", Some(name.into()));
    dotted::put(tree, setting, Some(provider.into()));
    dotted::put(tree, "deployment.etcd.host", None);
    let why =
        if has_file { "the file is served, without an Admin API" } else { "the store is a file in the data folder" };
    report.say(Outcome::Changed, setting.to_owned(), format!("{provider} instead of etcd: {why}"));
}

/// The settings that are written, dotted.
fn leaves(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                leaves(value, if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Null => {}
        _ => found.push(path),
    }
}
