//! A configuration that is looked at and not served. Nothing is created or changed on the disk.

use crate::{sealing, settings, source, source::Source};
use anyhow::Context;
use gateway::{flow::Flow, plugins::PluginSet, upstream::Registry};
use model::{
    declared::Format,
    settings::{Endpoint, Settings},
};
use plugin::Shared;
use std::{
    path::Path,
    sync::{Arc, Mutex},
};
use store::{Documents, Embedded, Memory, Store, StoreError};
use tokio::runtime::{Builder, Runtime};

/// What is to be looked at.
pub(crate) enum Subject {
    /// This configuration.
    Here(Here),
    /// What a gateway that is running has; its control API knows it.
    Running(Option<Endpoint>),
}

/// A configuration in this process.
pub(crate) struct Here {
    pub(crate) flow: Arc<Flow>,
    /// Why a file as a whole cannot be used.
    pub(crate) refused: Option<String>,
    /// Settings of plugins that have no effect.
    pub(crate) notices: Vec<String>,
    pub(crate) runtime: Runtime,
}

/// Reads and compiles what a gateway with these settings would serve, or what is in `file`.
///
/// # Errors
/// It cannot be read.
pub(crate) fn open(settings: &Settings, source: &Source, file: Option<&Path>) -> anyhow::Result<Subject> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let plugins = PluginSet::new(catalog::all(), settings.plugins.as_deref(), &settings.plugin_attr, settings.compat)?;
    let plugins = Arc::new(plugins.with_environment(Arc::new(settings::variable)));
    let mut shared = Shared::with_bodies(gateway::options::bodies(settings));
    shared.https_ports.clone_from(&settings.listen.https_ports);
    let shared = Arc::new(shared);
    let notices = plugins.prepare(&shared)?;
    shared.kept(Registry::default).configure(gateway::options::upstreams(settings));

    let refused = Arc::new(Mutex::new(None));
    let declared = |path: &Path, format| -> anyhow::Result<Arc<dyn Store>> {
        let refused = refused.clone();
        let report = move |reason: Option<&str>| {
            if let Ok(mut refused) = refused.lock() {
                *refused = reason.map(str::to_owned);
            }
        };
        Ok(Arc::new(source::declared(path, format, settings, report)?))
    };
    let store: Arc<dyn Store> = match (file, source) {
        (Some(path), _) => {
            std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
            let is_json = path.extension().is_some_and(|extension| extension == "json");
            declared(path, if is_json { Format::Json } else { Format::Yaml })?
        }
        (None, Source::File(path, format)) => declared(path, *format)?,
        (None, Source::Pushed) => return Ok(Subject::Running(settings.control)),
        (None, Source::Embedded) => match Embedded::peek(&settings.data_dir) {
            Err(StoreError::Locked(_)) => return Ok(Subject::Running(settings.control)),
            Err(error) => return Err(error.into()),
            Ok(stored) => {
                let sealed = Arc::new(Memory::with(stored.unwrap_or_default()));
                let sealing = sealing::of(&settings.data_encryption, &plugins)?;
                let opened: Documents = runtime.block_on(store::opened(sealed, &settings.data_dir, sealing))?;
                Arc::new(Memory::with(opened))
            }
        },
    };
    let flow = runtime.block_on(Flow::open_routing(store, plugins, shared, settings.routing.router))?;
    let refused = refused.lock().ok().and_then(|mut refused| refused.take());
    Ok(Subject::Here(Here { flow, refused, notices, runtime }))
}
