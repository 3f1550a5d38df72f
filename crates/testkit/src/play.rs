//! Playing cases against whatever a gateway is.

use crate::{
    case::{Case, CaseFile, Request, Upstream},
    compare::{Answer, Seen, differences},
    in_process::InProcess,
};
use model::differences::Profile;
use serde_json::{Map, Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The environment of every gateway that plays cases, for references to it.
pub const ENVIRONMENT: [(&str, &str); 1] = [("CASES_SECRET", "a secret of the environment")];

/// Something that takes documents and requests.
pub trait Gateway {
    /// Stores a document below a path such as `routes/case`.
    ///
    /// # Errors
    /// What it says when it refuses it.
    fn put(&mut self, path: &str, document: &Value) -> Result<(), String>;

    /// Removes a document, if it is there.
    fn delete(&mut self, path: &str);

    /// Whether a document is stored.
    fn has(&mut self, path: &str) -> bool;

    /// Where the upstream is that answers from now on like this.
    fn upstream(&mut self, answer: &Upstream) -> SocketAddr;

    /// Sends a request; gives the answer, and what came to the upstream meanwhile.
    fn ask(&mut self, request: &Request) -> (Answer, Vec<Seen>);
}

/// Plays the cases of a family's plugins inside the process, with every difference from APISIX in force and with none.
///
/// # Panics
/// When a case fails.
pub fn play_family(folder: &str) {
    let files = case_files(&Path::new(folder).join("src"));
    assert!(!files.is_empty(), "no cases.yaml below {folder}");
    for profile in [Profile::Secure, Profile::Apisix] {
        play_all(&files, profile, || InProcess::start(profile));
    }
}

fn case_files(sources: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(sources).unwrap_or_else(|error| panic!("{}: {error}", sources.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.unwrap().path().join("cases.yaml")).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Plays files against one gateway after the other that `start` gives: one for each file.
///
/// # Panics
/// When a case fails, after all have been played.
pub fn play_all<G: Gateway>(files: &[PathBuf], profile: Profile, mut start: impl FnMut() -> G) {
    let mut failed = Vec::new();
    for path in files {
        let file = CaseFile::read(path).unwrap_or_else(|error| panic!("{error}"));
        let mut gateway = start();
        for case in file.cases.iter().filter(|case| case.profile.is_none_or(|name| name.is(profile))) {
            if let Err(reason) = play(&file.plugin, case, &mut gateway) {
                failed.push(format!("{}, profile {profile:?}: \"{}\": {reason}", path.display(), case.desc));
            }
        }
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

const ROUTE: &str = "routes/case";

fn play(plugin: &str, case: &Case, gateway: &mut dyn Gateway) -> Result<(), String> {
    let documents = documents(plugin, case, gateway.upstream(&case.upstream));
    let mut stored = Vec::new();
    let mut refused = None;
    for (path, document) in &documents {
        match gateway.put(path, document) {
            Ok(()) => stored.push(path),
            Err(reason) => {
                refused = Some((path, reason));
                break;
            }
        }
    }
    let outcome = match (&refused, case.error.as_deref()) {
        (None, None) => play_requests(&case.requests, gateway),
        (None, Some(error)) => Err(format!("was accepted, expected {error:?}")),
        (Some((path, reason)), None) => Err(format!("{path} was refused: {reason}")),
        (Some((path, reason)), Some(error)) if !reason.contains(error) => {
            Err(format!("{path} was refused with {reason:?}, expected {error:?}"))
        }
        (Some((path, _)), Some(_)) if gateway.has(path) => Err(format!("{path} was refused and is stored")),
        (Some(_), Some(_)) => Ok(()),
    };
    for path in stored.iter().rev() {
        gateway.delete(path);
    }
    outcome
}

fn play_requests(requests: &[Request], gateway: &mut dyn Gateway) -> Result<(), String> {
    for (index, request) in requests.iter().enumerate() {
        for time in 1..=request.repeat {
            let (answer, seen) = gateway.ask(request);
            let wrong = differences(request, &answer, &seen);
            if !wrong.is_empty() {
                let number = index + 1;
                let time = if request.repeat > 1 { format!(", time {time}") } else { String::new() };
                return Err(format!("request {number}{time} ({} {}):{wrong}", request.method, request.uri));
            }
        }
    }
    Ok(())
}

/// What a case stores, what is referred to first.
fn documents(plugin: &str, case: &Case, upstream: SocketAddr) -> Vec<(String, Value)> {
    let mut documents = Vec::new();
    if let Some(metadata) = &case.metadata {
        documents.push((format!("plugin_metadata/{plugin}"), metadata.clone()));
    }
    for consumer in &case.consumers {
        let name = consumer["username"].as_str().unwrap_or("unnamed");
        documents.push((format!("consumers/{name}"), consumer.clone()));
    }
    documents.extend(case.documents.iter().map(|(path, document)| (path.clone(), document.clone())));
    let mut plugins: Map<String, Value> = case.other_plugins.clone();
    plugins.insert(plugin.to_owned(), case.config.clone());
    let mut route = json!({ "uri": "/*", "plugins": plugins, "upstream": { "nodes": { upstream.to_string(): 1 } } });
    if let Some(fields) = route.as_object_mut() {
        fields.extend(case.route.clone());
    }
    documents.push((ROUTE.to_owned(), route));
    documents
}
