use crate::{BuildEnv, BuildError, Ctx, Finding, Hooks, Reply, Shared, Step};
use model::{differences::Compat, documents::CostDecoration};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{any::Any, sync::Arc};
use wire::Method;

/// Whether a plugin authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginClass {
    /// Finds the consumer; in a consumer or credential its configuration is a credential.
    Auth,
    /// Everything else.
    Other,
}

/// Whether a global rule's instance runs beside a route's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunPolicy {
    /// Both run.
    Always,
    /// The global one is skipped where the route has the plugin.
    PreferRoute,
}

/// What a plugin has to do with the outside, as Envoy asks it of extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posture {
    /// Parses what untrusted clients send.
    pub reads_untrusted: bool,
    /// Reads request bodies.
    pub reads_bodies: bool,
    /// Calls other services.
    pub calls_out: bool,
}

/// The facts of a plugin that are not code.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The text of `schema.json`: `schema`, `consumer_schema`, `metadata_schema`, `encrypt_fields`.
    pub schema: &'static str,
    /// APISIX's version number of the plugin, such as `"0.1"` written as a number.
    pub version: f64,
    /// Class.
    pub class: PluginClass,
    /// Run policy.
    pub run_policy: RunPolicy,
    /// Posture.
    pub posture: Posture,
}

/// A plugin. See the module documentation of any of them for how one reads.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// APISIX's name.
    const NAME: &'static str;
    /// APISIX's priority.
    const PRIORITY: i32;
    /// Its facts.
    const SPEC: Spec;
    /// The configuration after checking and filling defaults. It has no serde defaults of its own.
    type Config: DeserializeOwned;
    /// The metadata after checking and filling defaults; `()` when there is none.
    type Metadata: DeserializeOwned + Send + Sync + 'static;
    /// Compiles a configuration once. No I/O.
    ///
    /// # Errors
    /// What the schema cannot say is wrong with it, in APISIX's words where APISIX has some.
    fn build(config: Self::Config, env: &BuildEnv<'_>) -> Result<Self, BuildError>;
    /// Says which phases this instance takes part in.
    fn attach(self: Arc<Self>, hooks: &mut Hooks);
    /// What a schema's refusal of a configuration is called, where APISIX's plugin has words of its own for it.
    fn reword(_config: &Value, _violation: &str) -> Option<&'static str> {
        None
    }
    /// Takes `plugin_attr.<name>` in at the start, before there is any instance. Gives a line for each setting without effect.
    ///
    /// # Errors
    /// What is wrong with the settings: the gateway does not start then.
    fn prepare(_attr: &Value, _shared: &Arc<Shared>) -> Result<Vec<String>, BuildError> {
        Ok(Vec::new())
    }
    /// What a complete configuration allows and probably does not mean.
    fn lint(_config: &Value) -> Vec<Finding> {
        Vec::new()
    }
    /// Handlers that public-api can publish.
    fn public_apis(_attr: &Value) -> Vec<PublicApi> {
        Vec::new()
    }
    /// Endpoints of the control API.
    fn control_apis() -> Vec<ControlApi> {
        Vec::new()
    }
    /// Compiles what the fields of a service's GraphQL schema are said to cost, for the one plugin that charges for them.
    const DECORATIONS: Option<CompileDecorations> = None;
    /// Writes metrics in the Prometheus text format, for the one plugin that exports them.
    const EXPORT: Option<fn(&ExportEnv<'_>) -> Vec<u8>> = None;
}

/// The key under which a credential is found.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_debug_implementations)] // it may be a secret
pub struct IndexKey(pub Vec<u8>);

/// A plugin that finds the consumer by a credential.
pub trait AuthPlugin: Plugin {
    /// The attribute that [`IndexKey`] is made of: no two consumers may have the same.
    const INDEX_ATTRIBUTE: &'static str;
    /// A consumer's or credential's configuration after checking and filling defaults.
    type Credential: DeserializeOwned;
    /// The credential as compiled.
    type Compiled: Send + Sync + 'static;
    /// Compiles a credential and says under which key it is found.
    ///
    /// # Errors
    /// What the schema cannot say is wrong with it.
    fn credential(credential: Self::Credential, compat: Compat) -> Result<(IndexKey, Self::Compiled), BuildError>;
}

/// A handler that public-api can publish on a route.
#[derive(Clone)]
#[allow(missing_debug_implementations)]
pub struct PublicApi {
    /// Methods that it answers.
    pub methods: &'static [Method],
    /// Its exact path.
    pub uri: String,
    /// Makes the reply.
    pub handle: for<'a> fn(&'a mut Ctx) -> Step<'a>,
}

/// An endpoint of the control API.
#[derive(Clone)]
#[allow(missing_debug_implementations)]
pub struct ControlApi {
    /// The method that it answers.
    pub method: Method,
    /// Its exact path, which begins with `/v1/`.
    pub uri: &'static str,
    /// Makes the reply.
    pub handle: fn(&ExportEnv<'_>) -> Reply,
}

/// What an exporter may read.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct ExportEnv<'a> {
    /// Process-wide state.
    pub shared: &'a Arc<Shared>,
}

/// A built instance.
#[derive(Clone)]
#[allow(missing_debug_implementations)]
pub struct Built {
    /// Its phases.
    pub hooks: Hooks,
}

/// What a defect is called: a configuration that the schema allows and the plugin's type cannot hold.
pub const MISFIT: &str = "the configuration does not fit the plugin's type";

/// Compiles a service's cost decorations; of those with the same path the last counts.
pub type CompileDecorations = fn(&[CostDecoration]) -> Arc<dyn Any + Send + Sync>;

/// Compiles a complete credential.
pub type CompileCredential = fn(&Value, Compat) -> Result<Credential, BuildError>;

/// A credential's place in its index, and what the plugin made of it.
pub type Credential = (IndexKey, Arc<dyn Any + Send + Sync>);

/// A plugin with its type erased: all that the rest of the gateway sees of it.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct Description {
    /// Name.
    pub name: &'static str,
    /// Priority.
    pub priority: i32,
    /// Facts.
    pub spec: Spec,
    /// Builds an instance from a complete configuration.
    pub build: fn(&Value, &BuildEnv<'_>) -> Result<Built, BuildError>,
    /// See [`Plugin::prepare`].
    pub prepare: fn(&Value, &Arc<Shared>) -> Result<Vec<String>, BuildError>,
    /// See [`Plugin::reword`].
    pub reword: fn(&Value, &str) -> Option<&'static str>,
    /// See [`Plugin::lint`].
    pub lint: fn(&Value) -> Vec<Finding>,
    /// Compiles complete metadata.
    pub metadata: fn(&Value) -> Result<Arc<dyn Any + Send + Sync>, BuildError>,
    /// Compiles a complete credential; `None` for plugins that do not authenticate.
    pub credential: Option<CompileCredential>,
    /// See [`AuthPlugin::INDEX_ATTRIBUTE`]; empty for plugins that do not authenticate.
    pub index_attribute: &'static str,
    /// Handlers for public-api, from `plugin_attr.<name>`.
    pub public_apis: fn(&Value) -> Vec<PublicApi>,
    /// Endpoints of the control API.
    pub control_apis: fn() -> Vec<ControlApi>,
    /// See [`Plugin::DECORATIONS`].
    pub decorations: Option<CompileDecorations>,
    /// Writes metrics.
    pub export: Option<fn(&ExportEnv<'_>) -> Vec<u8>>,
}

/// Erases a plugin's type.
pub fn describe<P: Plugin>() -> Description {
    Description {
        name: P::NAME,
        priority: P::PRIORITY,
        spec: P::SPEC,
        build: |config, env| {
            let plugin = Arc::new(P::build(read(config)?, env)?);
            let mut hooks = Hooks::default();
            plugin.attach(&mut hooks);
            Ok(Built { hooks })
        },
        prepare: P::prepare,
        reword: P::reword,
        lint: P::lint,
        metadata: |value| Ok(Arc::new(read::<P::Metadata>(value)?)),
        credential: None,
        index_attribute: "",
        public_apis: P::public_apis,
        control_apis: P::control_apis,
        decorations: P::DECORATIONS,
        export: P::EXPORT,
    }
}

/// Erases an authentication plugin's type.
pub fn describe_auth<P: AuthPlugin>() -> Description {
    Description {
        credential: Some(|value, compat| {
            let (key, compiled) = P::credential(read(value)?, compat)?;
            Ok((key, Arc::new(compiled)))
        }),
        index_attribute: P::INDEX_ATTRIBUTE,
        ..describe::<P>()
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, BuildError> {
    T::deserialize(value).map_err(|error| BuildError(format!("{MISFIT}: {error}")))
}
