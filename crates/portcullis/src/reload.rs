//! HUP: the settings are read again, and what can change without a restart does.

use crate::{boot, dotted, live::Live, logging::Sink, settings};
use admin::AdminApi;
use model::settings::Settings;
use serde_json::{Map, Value};
use std::{path::PathBuf, sync::Arc};

/// Settings that take effect at once.
const TAKES_EFFECT: [&str; 5] = [
    "deployment.admin.admin_key",
    "deployment.admin.admin_key_required",
    "deployment.admin.allow_admin",
    "deployment.admin.enable_admin_cors",
    "nginx_config.error_log_level",
];

/// Reads the settings again.
pub(crate) struct Reload {
    config: Option<PathBuf>,
    /// What is in force, as written.
    written: Value,
    sink: Sink,
    admin: Option<Arc<AdminApi<Live>>>,
}

impl Reload {
    /// Of the settings that were `written` in `config`.
    pub(crate) fn new(config: Option<PathBuf>, written: Value, sink: Sink, admin: Option<Arc<AdminApi<Live>>>) -> Self {
        Self { config, written, sink, admin }
    }

    /// Does it; settings that cannot be used change nothing.
    pub(crate) fn run(&mut self) {
        if let Err(error) = self.try_run() {
            tracing::error!(
                reason = format!("{error:#}"),
                "the settings were read again and cannot be used: nothing changes"
            );
        }
    }

    fn try_run(&mut self) -> anyhow::Result<()> {
        let read = settings::read(self.config.as_deref())?;
        read.refuse()?;
        let mut changed = Vec::new();
        differing(&self.written, &read.written, String::new(), &mut changed);
        let (now, later): (Vec<_>, Vec<_>) = changed.into_iter().partition(|path| takes_effect(path));
        // What needs a restart stays as it is, also as a default of what does not.
        let mut written = self.written.clone();
        for path in TAKES_EFFECT {
            dotted::put(&mut written, path, dotted::at(&read.written, path).cloned());
        }
        let (settings, _) = Settings::of(&written, &settings::variable)?;
        if let Some(admin) = &self.admin {
            admin.admit_by(boot::admin_settings(&settings)?);
        }
        self.sink.set_level(settings.error_log.level)?;
        self.written = written;
        tracing::warn!(changed = now.join(", "), "the settings were read again");
        if !later.is_empty() {
            tracing::warn!(settings = later.join(", "), "these settings have changed and need a restart");
        }
        Ok(())
    }
}

fn takes_effect(path: &str) -> bool {
    TAKES_EFFECT
        .iter()
        .any(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The settings that are not the same, dotted.
fn differing(old: &Value, new: &Value, path: String, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
            for name in names {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                differing(&of(old), &of(new), below, found);
            }
        }
        (Value::Object(map), Value::Null) | (Value::Null, Value::Object(map)) if !map.is_empty() => {
            let none = Value::Object(Map::new());
            let map = Value::Object(map.clone());
            differing(&none, &map, path, found);
        }
        (old, new) if old != new => found.push(path),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_that_differ_are_named() {
        let old = json!({ "apisix": { "id": "a", "control": { "port": 1 } }, "plugins": ["a"], "wasm": null });
        let new = json!({ "apisix": { "id": "b" }, "plugins": ["a"], "deployment": { "admin": { "admin_key": [] } } });
        let mut found = Vec::new();
        differing(&old, &new, String::new(), &mut found);
        assert_eq!(found, ["apisix.id", "apisix.control.port", "deployment.admin.admin_key"]);
        assert_eq!(found.iter().map(|path| takes_effect(path)).collect::<Vec<_>>(), [false, false, true]);
    }
}
