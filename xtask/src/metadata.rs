//! What cargo says about the workspace and its dependencies.

use crate::command::{cargo, output};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The platform that Portcullis is released for.
pub(crate) const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The workspace alone.
pub(crate) fn workspace() -> Result<Value> {
    read(&["--no-deps"])
}

/// Another workspace, such as that of the fuzz targets.
pub(crate) fn of_manifest(manifest: &Path) -> Result<Value> {
    read(&["--no-deps", "--manifest-path", &manifest.to_string_lossy()])
}

/// The packages of what cargo said.
pub(crate) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// A field of text, empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Where cargo builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    Ok(workspace()?["target_directory"].as_str().context("cargo metadata has no target_directory")?.into())
}

fn read(args: &[&str]) -> Result<Value> {
    let text = output(cargo(["metadata", "--format-version", "1"]).args(args))?;
    serde_json::from_slice(&text).context("cargo metadata is not JSON")
}
