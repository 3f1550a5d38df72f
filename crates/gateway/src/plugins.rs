//! The enabled plugins, and the checking of what is configured of them.

use model::{
    differences::{Compat, DifferenceId},
    documents::Kind,
    reference::{self, Unresolved},
    schema::{Schema, UnknownField},
    vars::Expr,
};
use plugin::{BuildEnv, BuildError, Description, Hooks, IndexKey, Shared};
use serde_json::{Map, Value, json};
use std::{
    any::Any,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// What a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A plugin on a route, service, plugin config, consumer, group or global rule.
    Plugin,
    /// A credential of an authentication plugin, in a consumer or credential.
    Credential,
    /// The plugin's metadata.
    Metadata,
}

/// `_meta` as compiled.
#[derive(Debug, Default, Clone)]
pub struct Meta {
    /// The plugin is switched off here.
    pub is_disabled: bool,
    /// Its place in the order, instead of its own priority.
    pub priority: Option<i32>,
    /// It runs only where this holds.
    pub filter: Option<Expr>,
    /// The body of its refusals.
    pub error_response: Option<Value>,
}

/// A configuration that was checked and completed.
#[derive(Debug, Clone)]
pub struct Checked {
    /// With defaults, without `_meta`.
    pub config: Value,
    /// `_meta`.
    pub meta: Meta,
    /// A credential's reference that leads nowhere: the credential is nobody's then, as in APISIX.
    pub unresolved: Option<Unresolved>,
}

/// One plugin with its compiled schemas.
#[allow(missing_debug_implementations)]
pub struct Enabled {
    /// The plugin.
    pub description: Description,
    /// `plugin_attr.<name>`.
    pub attr: Value,
    schema: Schema,
    consumer: Option<Schema>,
    metadata: Option<Schema>,
    encrypt_fields: Vec<Vec<String>>,
    references: Vec<(Kind, Vec<String>)>,
    compat: Compat,
}

/// The enabled plugins by name and in the order of their priorities.
#[allow(missing_debug_implementations)]
pub struct PluginSet {
    by_name: HashMap<&'static str, Arc<Enabled>>,
    sorted: Vec<Arc<Enabled>>,
    /// All that there are, enabled or not.
    all: Arc<[Arc<Enabled>]>,
    /// Those that settings enable; all when it is `None`.
    configured: Option<Arc<[String]>>,
    /// Those that the configuration itself enables instead.
    declared: Option<Arc<[String]>>,
    meta: Arc<Schema>,
    refuses_unknown_fields: bool,
    variable: Variable,
}

/// Looks up an environment variable.
pub type Variable = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A plugin's own files are wrong: a defect of the program.
#[derive(Debug, thiserror::Error)]
#[error("plugin {name}: {reason}")]
pub struct BrokenPlugin {
    name: &'static str,
    reason: String,
}

impl Enabled {
    /// Which differences from APISIX are in force.
    pub(crate) fn compat(&self) -> Compat {
        self.compat
    }

    /// Builds an instance from a complete configuration.
    ///
    /// # Errors
    /// In APISIX's words. A panic is an error too: it must not end the one that writes the configuration.
    pub(crate) fn build(&self, config: &Value, shared: &Arc<Shared>, owner: &str) -> Result<Hooks, String> {
        let env = BuildEnv { shared, owner, config, attr: &self.attr, compat: self.compat };
        let built = catch_unwind(AssertUnwindSafe(|| (self.description.build)(config, &env)));
        self.outcome(built).map(|built| built.hooks)
    }

    /// Compiles a complete credential; `None` when the plugin has none.
    ///
    /// # Errors
    /// As [`Enabled::build`].
    #[allow(clippy::type_complexity)] // key and value
    pub(crate) fn credential(&self, config: &Value) -> Result<Option<(IndexKey, Arc<dyn Any + Send + Sync>)>, String> {
        let Some(compile) = self.description.credential else { return Ok(None) };
        self.outcome(catch_unwind(AssertUnwindSafe(|| compile(config, self.compat)))).map(Some)
    }

    /// Compiles complete metadata; `None` when the plugin has none.
    ///
    /// # Errors
    /// As [`Enabled::build`].
    pub(crate) fn metadata(&self, config: &Value) -> Result<Option<Arc<dyn Any + Send + Sync>>, String> {
        if self.metadata.is_none() {
            return Ok(None);
        }
        self.outcome(catch_unwind(AssertUnwindSafe(|| (self.description.metadata)(config)))).map(Some)
    }

    fn outcome<T>(&self, outcome: std::thread::Result<Result<T, BuildError>>) -> Result<T, String> {
        let name = self.description.name;
        match outcome {
            Ok(Ok(built)) => Ok(built),
            Ok(Err(error)) => Err(format!("failed to check the configuration of plugin {name} err: {error}")),
            Err(_) => {
                tracing::error!(plugin = name, "the plugin panicked while it was built");
                Err(format!("failed to check the configuration of plugin {name} err: the plugin panicked"))
            }
        }
    }
}

impl PluginSet {
    /// With the plugins that `enabled` names, all when it is `None`.
    ///
    /// # Errors
    /// A plugin's `schema.json` is not a schema.
    pub fn new(
        all: Vec<Description>,
        enabled: Option<&[String]>,
        attrs: &Map<String, Value>,
        compat: Compat,
    ) -> Result<Self, BrokenPlugin> {
        let mut sorted = Vec::new();
        for description in all {
            let name = description.name;
            let broken = |reason: String| BrokenPlugin { name, reason };
            let files: Value = serde_json::from_str(description.spec.schema).map_err(|e| broken(e.to_string()))?;
            let compile = |part: &str| match files.get(part) {
                Some(source) => Schema::compile(source).map(Some).map_err(|e| broken(e.to_string())),
                None => Ok(None),
            };
            let paths = |list: Option<&Value>| -> Vec<Vec<String>> {
                let paths = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
                paths.map(|path| path.split('.').map(str::to_owned).collect()).collect()
            };
            let mut references = Vec::new();
            for (kind, fields) in files.get("references").and_then(Value::as_object).into_iter().flatten() {
                let kind = Kind::from_schema_name(kind).ok_or_else(|| broken(format!("no kind is called {kind}")))?;
                references.extend(paths(Some(fields)).into_iter().map(|path| (kind, path)));
            }
            sorted.push(Arc::new(Enabled {
                description,
                attr: attrs.get(name).cloned().unwrap_or(Value::Null),
                schema: compile("schema")?.ok_or_else(|| broken("no schema".to_owned()))?,
                consumer: compile("consumer_schema")?,
                metadata: compile("metadata_schema")?,
                encrypt_fields: paths(files.get("encrypt_fields")),
                references,
                compat,
            }));
        }
        sorted.sort_by_key(|p| (-p.description.priority, p.description.name));
        let meta =
            Schema::compile(&meta_schema()).map_err(|e| BrokenPlugin { name: "_meta", reason: e.to_string() })?;
        let everything = Self {
            by_name: HashMap::new(),
            sorted: Vec::new(),
            all: sorted.into(),
            configured: enabled.map(Into::into),
            declared: None,
            meta: Arc::new(meta),
            refuses_unknown_fields: compat.is_safe(DifferenceId::UnknownPluginField),
            variable: Arc::new(|_| None),
        };
        Ok(everything.enabling(None))
    }

    /// The set of these plugins, whatever settings say; of those that settings enable when it is `None`.
    #[must_use]
    pub fn enabling(&self, declared: Option<Arc<[String]>>) -> Self {
        let names = declared.as_ref().or(self.configured.as_ref());
        let is_enabled =
            |p: &Arc<Enabled>| names.is_none_or(|names| names.iter().any(|name| name == p.description.name));
        let sorted: Vec<_> = self.all.iter().filter(|p| is_enabled(p)).cloned().collect();
        Self {
            by_name: sorted.iter().map(|p| (p.description.name, p.clone())).collect(),
            sorted,
            all: self.all.clone(),
            configured: self.configured.clone(),
            declared,
            meta: self.meta.clone(),
            refuses_unknown_fields: self.refuses_unknown_fields,
            variable: self.variable.clone(),
        }
    }

    /// The plugins that the configuration itself enables.
    pub fn declared(&self) -> Option<&Arc<[String]>> {
        self.declared.as_ref()
    }

    /// With an environment that `$env://` leads to; without one it leads nowhere.
    #[must_use]
    pub fn with_environment(self, variable: Variable) -> Self {
        Self { variable, ..self }
    }

    /// A text, or what it leads to when it is a reference.
    ///
    /// # Errors
    /// It leads nowhere.
    pub fn resolve(&self, text: &str) -> Result<String, Unresolved> {
        reference::resolve_text(text, &*self.variable)
    }

    /// Whether a field that no schema knows is refused.
    pub fn refuses_unknown_fields(&self) -> bool {
        self.refuses_unknown_fields
    }

    /// Lets every plugin take its settings in that is not in the set before. One that cannot is left out.
    pub fn prepare_new(&mut self, before: &Self, shared: &Arc<Shared>) {
        self.sorted.retain(|plugin| {
            if before.by_name.contains_key(plugin.description.name) {
                return true;
            }
            match (plugin.description.prepare)(&plugin.attr, shared) {
                Ok(notices) => {
                    notices.into_iter().for_each(|notice| tracing::warn!(notice, "a setting without effect"));
                    true
                }
                Err(error) => {
                    tracing::error!(plugin = plugin.description.name, %error, "a plugin cannot be enabled");
                    false
                }
            }
        });
        self.by_name = self.sorted.iter().map(|p| (p.description.name, p.clone())).collect();
        for name in self.declared.iter().flat_map(|names| names.iter()) {
            if !self.all.iter().any(|plugin| plugin.description.name == name) {
                tracing::warn!(plugin = %name, "there is no such plugin in this version, what uses it is closed");
            }
        }
    }

    /// Lets every plugin take its settings in. Gives a line for each setting without effect.
    ///
    /// # Errors
    /// What is wrong with a plugin's settings.
    pub fn prepare(&self, shared: &Arc<Shared>) -> Result<Vec<String>, BuildError> {
        let mut notices = Vec::new();
        for plugin in &self.sorted {
            notices.extend((plugin.description.prepare)(&plugin.attr, shared)?);
        }
        Ok(notices)
    }

    /// A plugin by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<Enabled>> {
        self.by_name.get(name)
    }

    /// All, highest priority first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Enabled>> {
        self.sorted.iter()
    }

    /// Paths of the secret fields below a plugin's configuration.
    pub fn encrypt_fields(&self, name: &str) -> &[Vec<String>] {
        self.get(name).map_or(&[], |plugin| &plugin.encrypt_fields)
    }

    /// Whether a plugin's configuration names a document of a kind, by the `references` of its `schema.json`.
    pub fn refers(&self, name: &str, conf: &Value, kind: Kind, id: &str) -> bool {
        let Some(plugin) = self.get(name) else { return false };
        let mut paths = plugin.references.iter().filter(|(to, _)| *to == kind);
        paths.any(|(_, path)| is_at(conf, path, id))
    }

    /// Checks a configuration that is to be stored and completes it.
    ///
    /// # Errors
    /// In APISIX's words.
    pub fn check(&self, name: &str, conf: &Value, purpose: Purpose) -> Result<Checked, String> {
        self.complete(name, conf, purpose, Unknown::Refuse)
    }

    /// The same for a configuration that is stored already: a field that nobody knows is a warning there, for another version
    /// or APISIX may have written it, and closing the routes would help nobody.
    ///
    /// # Errors
    /// In APISIX's words.
    pub fn load(&self, name: &str, conf: &Value, purpose: Purpose) -> Result<Checked, String> {
        self.complete(name, conf, purpose, Unknown::Warn)
    }

    /// A configuration with the defaults of all that it leaves out, whether it can be used or not. References stay references.
    pub fn fill(&self, name: &str, conf: &Value) -> Value {
        let (Some(plugin), Value::Object(fields)) = (self.get(name), conf) else { return conf.clone() };
        let mut fields = fields.clone();
        let meta = fields.shift_remove("_meta").unwrap_or_else(|| json!({}));
        let mut filled = Value::Object(fields);
        plugin.schema.fill_defaults(&mut filled);
        if let Value::Object(fields) = &mut filled {
            fields.insert("_meta".to_owned(), meta);
        }
        filled
    }

    fn complete(&self, name: &str, conf: &Value, purpose: Purpose, unknown: Unknown) -> Result<Checked, String> {
        let plugin = self.get(name).ok_or_else(|| format!("unknown plugin [{name}]"))?;
        // Lua's tables are lists and mappings at once, so an empty list is an empty configuration.
        let empty = Value::Object(Map::new());
        let conf = if conf.as_array().is_some_and(Vec::is_empty) { &empty } else { conf };
        let Value::Object(fields) = conf else {
            return Err(format!("invalid plugin conf {conf} for plugin [{name}]"));
        };
        let wrong = |message: &str| format!("failed to check the configuration of plugin {name} err: {message}");
        let written_meta = fields.get("_meta").filter(|_| purpose != Purpose::Metadata);
        let meta = self.meta(name, written_meta, unknown).map_err(|e| wrong(&e))?;
        let mut config = conf.clone();
        if purpose != Purpose::Metadata
            && let Value::Object(map) = &mut config
        {
            map.shift_remove("_meta");
        }
        let is_auth = plugin.description.credential.is_some();
        let schema = match purpose {
            Purpose::Credential if is_auth => plugin.consumer.as_ref(),
            Purpose::Metadata => plugin.metadata.as_ref(),
            _ => Some(&plugin.schema),
        };
        let Some(schema) = schema else { return Ok(Checked { config, meta, unresolved: None }) };
        if let Err(violation) = schema.check_and_fill(&mut config) {
            // A plugin that is switched off may wait with a configuration that is not finished.
            if meta.is_disabled {
                return Ok(Checked { config, meta, unresolved: None });
            }
            let reworded = match purpose {
                Purpose::Plugin => (plugin.description.reword)(&config, &violation.message),
                Purpose::Credential | Purpose::Metadata => None,
            };
            // What is missing may be there under a misspelt name.
            let misspelt = self.unknown_fields(schema, &config).into_iter().find(|field| field.suggestion.is_some());
            let hint = match misspelt.filter(|_| matches!(unknown, Unknown::Refuse)) {
                Some(field) => format!(" ({})", describe(&field)),
                None => String::new(),
            };
            return Err(wrong(&format!("{}{hint}", reworded.unwrap_or(&violation.message))));
        }
        if !meta.is_disabled
            && let Some(found) = self.unknown_fields(schema, &config).first()
        {
            unknown.answer(name, describe(found)).map_err(|e| wrong(&e))?;
        }
        let mut unresolved = None;
        if !meta.is_disabled {
            match reference::resolve(&mut config, &*self.variable) {
                Ok(false) => {}
                // References are exempt from the schema, what they lead to is not. Its text must not get into the message.
                Ok(true) if schema.check(&config).is_err() => {
                    return Err(wrong("the value of a reference does not fit the schema"));
                }
                Ok(true) => {}
                Err(error) if purpose == Purpose::Credential => {
                    tracing::error!(plugin = name, %error, "a credential lets nobody in");
                    unresolved = Some(error);
                }
                Err(error) => return Err(wrong(&error.to_string())),
            }
        }
        Ok(Checked { config, meta, unresolved })
    }

    fn unknown_fields(&self, schema: &Schema, config: &Value) -> Vec<UnknownField> {
        if self.refuses_unknown_fields { schema.unknown_fields(config) } else { Vec::new() }
    }

    fn meta(&self, name: &str, written: Option<&Value>, unknown: Unknown) -> Result<Meta, String> {
        let Some(written) = written else { return Ok(Meta::default()) };
        self.meta.check(written).map_err(|v| format!("property \"_meta\" validation failed: {}", v.message))?;
        if let Some(found) = self.unknown_fields(&self.meta, written).into_iter().next() {
            let path = format!("/_meta{}", found.path);
            unknown.answer(name, describe(&UnknownField { path, ..found }))?;
        }
        if written.get("pre_function").is_some() {
            return Err(
                "property \"_meta\" validation failed: pre_function needs Lua, which this version does not have"
                    .to_owned(),
            );
        }
        let filter = match written.get("filter") {
            None => None,
            Some(filter) => {
                Some(Expr::compile(filter).map_err(|e| format!("failed to validate the 'vars' expression: {e}"))?)
            }
        };
        Ok(Meta {
            is_disabled: written.get("disable") == Some(&Value::Bool(true)),
            priority: written.get("priority").and_then(Value::as_i64).and_then(|p| i32::try_from(p).ok()),
            filter: filter.filter(|f| !f.is_empty()),
            error_response: written.get("error_response").cloned(),
        })
    }
}

/// What a field that no schema knows comes to.
#[derive(Clone, Copy)]
enum Unknown {
    Refuse,
    Warn,
}

impl Unknown {
    fn answer(self, plugin: &str, message: String) -> Result<(), String> {
        match self {
            Self::Refuse => Err(message),
            Self::Warn => {
                tracing::warn!(plugin, message, "a stored configuration has a field without meaning");
                Ok(())
            }
        }
    }
}

/// Whether an id is at a path; arrays on the way are traversed.
fn is_at(value: &Value, path: &[String], id: &str) -> bool {
    match (value, path.split_first()) {
        (Value::Array(items), _) => items.iter().any(|item| is_at(item, path, id)),
        (Value::Object(fields), Some((name, rest))) => fields.get(name).is_some_and(|field| is_at(field, rest, id)),
        (value, None) => crate::check::id_text(value).as_deref() == Some(id),
        _ => false,
    }
}

/// What APISIX adds to the schema of every plugin.
pub fn meta_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "disable": { "type": "boolean", "description": "whether to disable the plugin" },
            "error_response": { "oneOf": [{ "type": "string" }, { "type": "object" }] },
            "priority": { "type": "integer", "description": "priority of plugins by customized order" },
            "filter": { "type": "array", "description": "filter determines whether the plugin needs to be executed at runtime" },
            "pre_function": { "type": "string", "description": "function to be executed in each phase before execution of plugins" }
        }
    })
}

pub(crate) fn describe(UnknownField { path, name, suggestion }: &UnknownField) -> String {
    let place = if path.is_empty() { "the top" } else { path };
    let hint = suggestion.as_ref().map(|known| format!(", did you mean \"{known}\"?")).unwrap_or_default();
    format!("unknown field \"{name}\" at {place}{hint}")
}
