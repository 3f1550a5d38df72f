#![doc = include_str!("doc.md")]

mod header;
mod target;
#[cfg(test)]
mod tests;

use header::Headers;
use model::vars::Lookup;
use plugin::{BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, Rewrite, RunPolicy, Spec, Step};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use target::{Received, Target};
use wire::Method;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    uri: Option<String>,
    regex_uri: Option<Vec<String>>,
    method: Option<String>,
    host: Option<String>,
    headers: Option<Map<String, Value>>,
    use_real_request_uri_unsafe: bool,
}

/// Changes what goes upstream.
#[derive(Debug)]
pub struct ProxyRewrite {
    target: Target,
    method: Option<Method>,
    host: Option<String>,
    headers: Headers,
}

impl Plugin for ProxyRewrite {
    const NAME: &'static str = "proxy-rewrite";
    const PRIORITY: i32 = 1008;
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
        let method = match &config.method {
            Some(name) => Some(
                Method::from_bytes(name.as_bytes()).ok_or_else(|| BuildError(format!("invalid method \"{name}\"")))?,
            ),
            None => None,
        };
        Ok(Self {
            target: Target::compile(
                config.uri.as_deref(),
                config.regex_uri.as_deref().unwrap_or_default(),
                config.use_real_request_uri_unsafe,
                env.compat,
            )?,
            method,
            host: config.host,
            headers: Headers::compile(&config.headers.unwrap_or_default(), env.compat)?,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for ProxyRewrite {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let received = Received {
            path: &cx.request.path,
            query: cx.request.query.as_deref().unwrap_or_default(),
            target: &cx.request.target,
        };
        let rewritten = match self.target.rewrite(&received, &*cx as &dyn Lookup) {
            Ok(rewritten) => rewritten,
            Err(error) => {
                tracing::error!(%error, "proxy-rewrite");
                return Step::respond(Reply::json(500, &json!({ "error_msg": error.to_string() })));
            }
        };
        cx.upstream.target = Some(rewritten.target);
        if let Some(captures) = rewritten.captures {
            cx.captures = captures;
        }
        if let Some(host) = &self.host {
            cx.upstream.host = Some(host.clone());
        }
        if !self.headers.is_empty() {
            let changes = self.headers.render(&cx.captures, &*cx as &dyn Lookup);
            if let Some(host) = changes.apply(&mut cx.request.fields) {
                cx.upstream.host = Some(host);
            }
        }
        if let Some(method) = &self.method {
            cx.upstream.method = Some(method.clone());
        }
        Step::NEXT
    }
}
