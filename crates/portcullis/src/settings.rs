//! The settings, from where they are written.

use crate::source::Source;
use anyhow::{Context, bail};
use model::settings::{Notice, Settings, Severity};
use serde_json::Value;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// What was read, and from where.
pub(crate) struct Read {
    pub(crate) settings: Settings,
    /// As written, with the values of the environment.
    pub(crate) written: Value,
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
    let written = Settings::written(text.as_deref(), &variable).with_context(|| name.clone())?;
    let (settings, notices) = Settings::of(&written, &variable).with_context(|| name.clone())?;
    Ok(Read { settings, written, notices, path, name })
}

/// A variable of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Read {
    /// Where the configuration comes from. What has no effect is said on standard error.
    ///
    /// # Errors
    /// Something was asked for that would be missing.
    pub(crate) fn source(&self) -> anyhow::Result<Source> {
        let name = &self.name;
        for notice in &self.notices {
            let _ = writeln!(std::io::stderr(), "portcullis: {name}: {notice}");
        }
        self.refuse()?;
        Source::of(&self.settings, self.path.as_deref()).with_context(|| name.clone())
    }

    /// # Errors
    /// Something was asked for that would be missing.
    pub(crate) fn refuse(&self) -> anyhow::Result<()> {
        let refused = self.notices.iter().filter(|notice| notice.severity == Severity::Refuse);
        let refused: Vec<_> = refused.map(|notice| notice.path.as_str()).collect();
        if !refused.is_empty() {
            bail!("{}: will not run without what was asked for: {}", self.name, refused.join(", "));
        }
        Ok(())
    }
}
