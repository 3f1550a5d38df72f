#![doc = include_str!("doc.md")]

mod target;
#[cfg(test)]
mod tests;

use crate::header::safe;
use model::vars::Lookup;
use plugin::{BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, Rewrite, RunPolicy, Spec, Step};
use rand::seq::IndexedRandom;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use target::{Target, Text, finish};
use wire::Method;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    ret_code: u64,
    uri: Option<String>,
    regex_uri: Option<Vec<String>>,
    http_to_https: Option<bool>,
    encode_uri: bool,
    append_query_string: bool,
}

/// Answers with a redirection.
#[derive(Debug)]
pub struct Redirect {
    status: u16,
    target: Option<Target>,
    /// Where requests over HTTP are sent to: one for each port of ours.
    https: Vec<Target>,
    is_encoded: bool,
    appends_query: bool,
}

impl Plugin for Redirect {
    const NAME: &'static str = "redirect";
    const PRIORITY: i32 = 900;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let leads_to_https = config.http_to_https == Some(true);
        if leads_to_https && config.append_query_string {
            let message = "only one of `http_to_https` and `append_query_string` can be configured.";
            return Err(message.to_owned().into());
        }
        let status = u16::try_from(config.ret_code).ok().filter(|status| *status <= 999);
        let target = match (&config.uri, &config.regex_uri) {
            (Some(uri), _) => Some(Target::Text(Text::compile(uri))),
            (None, Some(pair)) => Some(Target::of_patterns(pair)?),
            (None, None) => None,
        };
        Ok(Self {
            status: status.ok_or_else(|| BuildError(format!("ret_code {} is no status", config.ret_code)))?,
            target,
            https: if leads_to_https { https(env) } else { Vec::new() },
            is_encoded: config.encode_uri,
            appends_query: config.append_query_string,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for Redirect {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        // What the request path wrote there, or a proxy that is trusted.
        let proto = cx.request.fields.get("x-forwarded-proto").unwrap_or(cx.request.scheme.as_bytes());
        let (target, status) = match self.https.choose(&mut rand::rng()).filter(|_| proto != b"https") {
            Some(target) => (target, https_status(&cx.request.method)),
            None => match &self.target {
                Some(target) => (target, self.status),
                None => return Step::NEXT,
            },
        };
        match target.render(&cx.request.path, &*cx as &dyn Lookup) {
            Ok(Some(uri)) => {
                let query = cx.request.query.as_deref().filter(|query| self.appends_query && !query.is_empty());
                let location = finish(uri, self.is_encoded, query);
                Step::respond(Reply::status(status).with("Location", &safe(&location)))
            }
            Ok(None) => Step::NEXT,
            Err(error) => {
                tracing::error!(%error, "failed to substitute the uri");
                Step::respond(Reply::status(500))
            }
        }
    }
}

/// The targets of `http_to_https`: the written port, or else those on which TLS is listened for.
fn https(env: &BuildEnv<'_>) -> Vec<Target> {
    let ports: Vec<i64> = match env.attr.get("https_port").and_then(Value::as_i64) {
        Some(port) => vec![port],
        None if env.shared.https_ports.is_empty() => vec![443],
        None => env.shared.https_ports.iter().map(|&port| port.into()).collect(),
    };
    let target = |port| match port {
        443 | ..=0 | 65536.. => "https://$host$request_uri".to_owned(),
        port => format!("https://$host:{port}$request_uri"),
    };
    ports.into_iter().map(|port| Target::Text(Text::compile(&target(port)))).collect()
}

/// 308 keeps the method, 301 is what everybody knows.
fn https_status(method: &Method) -> u16 {
    if matches!(method, Method::Get | Method::Head) { 301 } else { 308 }
}
