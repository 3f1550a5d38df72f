//! Where the configuration comes from.

use crate::{sealing, settings};
use anyhow::bail;
use gateway::{flow::Flow, plugins::PluginSet};
use model::{
    declared::Format,
    differences::DifferenceId,
    settings::{Provider, Role, Settings},
};
use plugin::Shared;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::{Embedded, File, FileOptions, Memory, Reload, SealedStore, Store};

/// How often a configuration file is looked at.
const FILE_INTERVAL: Duration = Duration::from_millis(100);

/// Where the configuration comes from.
pub(crate) enum Source {
    /// A database of ours, changed by the Admin API.
    Embedded,
    /// A file that somebody else writes.
    File(PathBuf, Format),
    /// Memory, filled by whole configurations that are sent to the Admin API.
    Pushed,
}

impl Source {
    /// What the settings ask for. `config` is where they were read: a configuration file is next to it.
    pub(crate) fn of(settings: &Settings, config: Option<&Path>) -> anyhow::Result<Self> {
        let file = |name: &str, format| {
            let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
            Self::File(folder.join(name), format)
        };
        let yaml = || file("apisix.yaml", Format::Yaml);
        match (settings.deployment.role, settings.deployment.provider) {
            (Role::ControlPlane, _) => bail!(
                "deployment.role control_plane needs etcd, which is not available in this version; use role traditional \
                 with deployment.role_traditional.config_provider: embedded"
            ),
            (Role::Traditional, Provider::Etcd) => bail!(
                "the store etcd is not available in this version; leave deployment.etcd.host out to use the embedded store"
            ),
            (Role::DataPlane, Provider::Etcd) => bail!(
                "the store etcd is not available in this version; set deployment.role_data_plane.config_provider to yaml \
                 or json"
            ),
            (Role::DataPlane, Provider::Embedded) => bail!(
                "deployment.role data_plane has no Admin API, so nothing would fill the embedded store; use role \
                 traditional, or set deployment.role_data_plane.config_provider to yaml or json"
            ),
            (Role::Traditional, Provider::Json) => bail!(
                "deployment.role_traditional.config_provider: json is for role data_plane; use yaml or embedded here"
            ),
            (Role::Traditional, Provider::Embedded) => Ok(Self::Embedded),
            (Role::Traditional, Provider::Yaml) if settings.admin.is_enabled => Ok(Self::Pushed),
            (Role::Traditional | Role::DataPlane, Provider::Yaml) => Ok(yaml()),
            (Role::DataPlane, Provider::Json) => Ok(file("apisix.json", Format::Json)),
        }
    }

    /// Whether there is no configuration before the first one comes.
    pub(crate) fn awaits_first(&self) -> bool {
        !matches!(self, Self::Embedded)
    }

    /// Reads and compiles what there is, and follows it.
    pub(crate) async fn open(
        &self,
        settings: &Settings,
        plugins: &Arc<PluginSet>,
        shared: &Arc<Shared>,
    ) -> anyhow::Result<Arc<Flow>> {
        let store: Arc<dyn Store> = match self {
            Self::Embedded => Arc::new(embedded(settings, plugins).await?),
            Self::Pushed => Arc::new(Memory::new()),
            Self::File(path, format) => {
                let shared = shared.clone();
                Arc::new(declared(path, *format, settings, move |refused| match refused {
                    None => shared.stats.reloads.succeeded(),
                    Some(reason) => shared.stats.reloads.failed(reason),
                })?)
            }
        };
        Ok(Flow::open_routing(store, plugins.clone(), shared.clone(), settings.routing.router).await?)
    }
}

/// A file that is followed. `report` is told why a version of it cannot be used, or that it can.
pub(crate) fn declared(
    path: &Path,
    format: Format,
    settings: &Settings,
    report: impl Fn(Option<&str>) + Send + Sync + 'static,
) -> anyhow::Result<File> {
    Ok(File::open(FileOptions {
        path: path.to_owned(),
        format,
        is_lenient: !settings.compat.is_safe(DifferenceId::AmbiguousFile),
        env: Arc::new(settings::variable),
        interval: FILE_INTERVAL,
        report: Arc::new(move |reload| match reload {
            Reload::Taken => report(None),
            Reload::Refused(reason) => report(Some(reason)),
        }),
    })?)
}

async fn embedded(settings: &Settings, plugins: &Arc<PluginSet>) -> anyhow::Result<SealedStore> {
    let data_dir = &settings.data_dir;
    let (store, recovered) = Embedded::open(data_dir)?;
    if let Some(recovered) = recovered {
        tracing::error!(
            reason = recovered.reason,
            set_aside = recovered.set_aside.as_ref().map(|p| p.display().to_string()),
            revision = recovered.revision.0,
            "the store was damaged, the last good copy is in use"
        );
    }
    Ok(SealedStore::open(Arc::new(store), data_dir, sealing::of(&settings.data_encryption, plugins)?).await?)
}
