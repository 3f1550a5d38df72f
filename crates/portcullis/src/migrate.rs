//! `portcullis migrate`: from the files of an APISIX to those of a Portcullis, with a word on each thing that is not the same.

mod report;
mod settings;

use crate::{args, inspect, source::Source};
use anyhow::{Context, bail};
use gateway::{check, flow::Flow};
use model::{
    declared::{self, Format},
    differences::DIFFERENCES,
    documents::{Document, Kind},
    settings::Settings,
    yaml,
};
use report::{Outcome, Report};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Reads what there is, says what becomes of it, and writes the new files if it is told where.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn run(asked: &args::Migrate) -> anyhow::Result<ExitCode> {
    let config = asked.config.clone().unwrap_or_else(|| PathBuf::from("conf/config.yaml"));
    let text = fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let declared = declared_file(asked, &config)?;
    let mut report = Report::default();
    let moved = settings::migrate(&text, declared.is_some(), &mut report)
        .with_context(|| format!("{} cannot be used", config.display()))?;
    if let Some(path) = &declared {
        objects(path, &moved.settings, &mut report)?;
    } else {
        report.say(
            Outcome::Note,
            "objects".to_owned(),
            "no apisix.yaml or apisix.json was read: what APISIX keeps in etcd has to be written again by its Admin API; this \
             version cannot read etcd"
                .to_owned(),
        );
    }
    let mut out = std::io::stdout().lock();
    report.write(&mut out, asked.all)?;
    if let Some(folder) = &asked.out {
        let written = write(folder, &moved.written, declared.as_deref())?;
        for path in written {
            writeln!(out, "wrote {}", path.display())?;
        }
    }
    Ok(if report.has_refused() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The declarative file: the one that is named, or the one beside the settings.
fn declared_file(asked: &args::Migrate, config: &Path) -> anyhow::Result<Option<PathBuf>> {
    if let Some(path) = &asked.file {
        fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(Some(path.clone()));
    }
    let folder = config.parent().unwrap_or(Path::new(""));
    let beside = ["apisix.yaml", "apisix.json"].map(|name| folder.join(name));
    Ok(beside.into_iter().find(|path| path.is_file()))
}

fn format(path: &Path) -> Format {
    if path.extension().is_some_and(|extension| extension == "json") { Format::Json } else { Format::Yaml }
}

/// What becomes of each object.
fn objects(path: &Path, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    // A mistake that APISIX passes over is told from one that it does not by reading as APISIX does.
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let strictly = declared::read(&text, format(path), false, &crate::settings::variable);
    if let Err(reason) = &strictly {
        let name = path.display().to_string();
        if declared::read(&text, format(path), true, &crate::settings::variable).is_ok() {
            let message = format!("{reason}; APISIX takes such a file [ambiguous-file]");
            report.say(Outcome::Refused, name, message);
        } else {
            report.say(Outcome::Refused, name, reason.to_string());
        }
        return Ok(());
    }
    let inspect::Subject::Here(here) = inspect::open(settings, &Source::Pushed, Some(path))? else {
        bail!("{} cannot be read", path.display());
    };
    let problems = here.flow.problems();
    for kind in Kind::ALL {
        for document in here.flow.documents().list(kind, None) {
            let key = document.key.path();
            let place = here.flow.place(&key).map(|place| format!(" ({place})")).unwrap_or_default();
            let of_it = || problems.iter().filter(|problem| problem.key == key);
            if of_it().next().is_some() {
                for problem in of_it() {
                    let message =
                        format!("{}{}{place}: its routes answer 503", prefix(&problem.json_path), problem.message);
                    report.say(Outcome::Refused, key.clone(), message);
                }
                continue;
            }
            let differences = differing(&here.flow, settings, &document);
            match differences.is_empty() {
                true => report.say(Outcome::Same, key, String::new()),
                false => {
                    for difference in differences {
                        report.say(Outcome::Differs, key.clone(), format!("{difference}{place}"));
                    }
                }
            }
        }
    }
    Ok(())
}

fn prefix(json_path: &str) -> String {
    if json_path.is_empty() { String::new() } else { format!("{json_path}: ") }
}

/// What an object meets that is not as in APISIX.
fn differing(flow: &Flow, settings: &Settings, document: &Document) -> Vec<String> {
    let mut found = Vec::new();
    let (view, plugins) = (flow.documents(), flow.plugins());
    if let Err(reason) = check::check_document(&view, &plugins, flow.shared(), &document.key, &document.value) {
        found.push(format!("{reason}; it is served as APISIX does, but could not be written by the Admin API"));
    }
    let names = document.value.get("plugins").and_then(Value::as_object);
    for name in names.into_iter().flat_map(|plugins| plugins.keys()) {
        for difference in DIFFERENCES.iter().filter(|d| d.plugin == Some(name) && settings.compat.is_safe(d.id)) {
            found.push(format!("{name}: {} [{}]", difference.portcullis, difference.name));
        }
    }
    found
}

/// Writes the new files; never over others.
fn write(folder: &Path, settings: &Value, declared: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut files = vec![(folder.join("config.yaml"), yaml::dump(settings).into_bytes())];
    if let Some(path) = declared {
        let name = if format(path) == Format::Json { "apisix.json" } else { "apisix.yaml" };
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        files.push((folder.join(name), text));
    }
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        bail!("{} is there already: name another folder", path.display());
    }
    for (path, text) in &files {
        let mut file = private(path).with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// A new file that only its owner reads: there are keys in it.
fn private(path: &Path) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
