//! The settings, from where they are written.

use crate::source::Source;
use anyhow::{Context, bail};
use model::settings::{Notice, Settings, Severity};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// What was read, and from where.
pub(crate) struct Read {
    pub(crate) settings: Settings,
    pub(crate) notices: Vec<Notice>,
    /// The file; none when there is none.
    pub(crate) path: Option<PathBuf>,
    /// What it is called in messages.
    pub(crate) name: String,
}

/// Reads `config`, else `conf/config.yaml` if there is one, else defaults.
///
/// # Errors
/// It cannot be read, or something in it has no meaning.
pub(crate) fn read(config: Option<&Path>) -> anyhow::Result<Read> {
    let default = PathBuf::from("conf/config.yaml");
    let path = config.map(Path::to_owned).or_else(|| default.exists().then_some(default));
    let text = match &path {
        Some(path) => Some(std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let name = path.as_deref().map_or("the default settings".into(), |path| path.display().to_string());
    let (settings, notices) =
        Settings::parse(text.as_deref(), &|variable| std::env::var(variable).ok()).with_context(|| name.clone())?;
    Ok(Read { settings, notices, path, name })
}

impl Read {
    /// The settings to serve by, and where the configuration comes from. What has no effect is said on standard error.
    ///
    /// # Errors
    /// Something was asked for that would be missing.
    pub(crate) fn into_serving(self) -> anyhow::Result<(Settings, Source)> {
        let Self { settings, notices, path, name } = self;
        let mut refused = Vec::new();
        for notice in &notices {
            let _ = writeln!(std::io::stderr(), "portcullis: {name}: {notice}");
            if notice.severity == Severity::Refuse {
                refused.push(notice.path.as_str());
            }
        }
        if !refused.is_empty() {
            bail!("{name}: will not start without what was asked for: {}", refused.join(", "));
        }
        let source = Source::of(&settings, path.as_deref()).with_context(|| name.clone())?;
        Ok((settings, source))
    }
}
