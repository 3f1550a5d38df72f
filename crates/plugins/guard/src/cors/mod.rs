#![doc = include_str!("doc.md")]

mod origins;
#[cfg(test)]
mod tests;

use crate::patterns::Patterns;
use model::{differences::DifferenceId, pattern::Case};
use origins::{Origins, by_patterns, fits};
use plugin::{
    BuildEnv, BuildError, Ctx, Finding, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture, Reply, Rewrite,
    RunPolicy, Spec, Step,
};
use serde::Deserialize;
use std::{collections::HashMap, sync::Arc};
use wire::{Fields, Method, ResponseHead};

const EVERY_METHOD: &str = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE";

/// The rule that finds origins that are let in and should not be.
const OPEN_CORS: &str = "open-cors";

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    allow_origins: Origins,
    allow_methods: String,
    allow_headers: String,
    expose_headers: Option<String>,
    max_age: i64,
    allow_credential: bool,
    allow_origins_by_regex: Option<Vec<String>>,
    allow_origins_by_metadata: Option<Vec<String>>,
    timing_allow_origins: Option<Origins>,
    timing_allow_origins_by_regex: Option<Vec<String>>,
}

/// Origins by name.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    allow_origins: Option<HashMap<String, Origins>>,
}

/// Tells browsers which origins may read answers.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    patterns: Option<Patterns>,
    names: Option<Vec<String>>,
    timing: Option<Timing>,
    /// Whether answers depend on the origin, so that caches have to know.
    varies: bool,
    methods: String,
    /// `None`: those that are asked for.
    headers: Option<String>,
    exposed: Option<String>,
    max_age: String,
    allows_credentials: bool,
    /// Whether `*` in the metadata stands for every origin.
    takes_any: bool,
}

#[derive(Debug)]
enum Timing {
    Origins(Origins),
    Patterns(Patterns),
}

/// The origin as it came; plugins after this one may change the field.
#[derive(Default)]
struct Origin(Option<Vec<u8>>);

impl Plugin for Cors {
    const NAME: &'static str = "cors";
    const PRIORITY: i32 = 4000;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = Metadata;

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        config.refuse_what_the_schema_allows()?;
        let compiled = |sources: &Vec<String>| {
            Patterns::compile(sources, Case::Sensitive).map_err(|error| BuildError(error.to_string()))
        };
        let patterns = config.allow_origins_by_regex.as_ref().map(compiled).transpose()?;
        let timing = match (config.timing_allow_origins_by_regex, config.timing_allow_origins) {
            (Some(sources), _) => Some(Timing::Patterns(compiled(&sources)?)),
            (None, origins) => origins.map(Timing::Origins),
        };
        let depends = patterns.is_some()
            || config.allow_origins_by_metadata.is_some()
            || !matches!(timing, None | Some(Timing::Origins(Origins::Any)));
        Ok(Self {
            varies: config.allow_origins != Origins::Any || (depends && env.compat.is_safe(DifferenceId::CorsVary)),
            origins: config.allow_origins,
            patterns,
            names: config.allow_origins_by_metadata,
            timing,
            methods: if config.allow_methods == "**" { EVERY_METHOD.to_owned() } else { config.allow_methods },
            headers: Some(config.allow_headers).filter(|headers| headers != "**"),
            exposed: config.expose_headers.filter(|headers| !headers.is_empty()),
            max_age: config.max_age.to_string(),
            allows_credentials: config.allow_credential,
            takes_any: !(config.allow_credential && env.compat.is_safe(DifferenceId::CorsMetadataCredentials)),
        })
    }

    fn lint(config: &serde_json::Value) -> Vec<Finding> {
        let mut found = Vec::new();
        let text = |name: &str| config.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let has_credentials = config.get("allow_credential") == Some(&serde_json::Value::Bool(true));
        if has_credentials && matches!(text("allow_origins"), "**" | "null") {
            let message =
                "pages of every origin may ask with the visitor's cookies and read the answers; name the origins";
            found.push(Finding::at(OPEN_CORS, "/allow_origins", message));
        }
        let patterns = config.get("allow_origins_by_regex").and_then(serde_json::Value::as_array);
        for (index, pattern) in patterns.into_iter().flatten().enumerate() {
            let is_whole = pattern.as_str().is_some_and(|text| text.starts_with('^') && text.ends_with('$'));
            if !is_whole {
                let message = "it fits a part of an origin as well, such as https://api.example.com.evil.test; begin it with ^ \
                               and end it with $";
                found.push(Finding::at(OPEN_CORS, format!("/allow_origins_by_regex/{index}"), message));
            }
        }
        found
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self.clone());
        hooks.header_filter = Some(self);
    }
}

impl Config {
    fn refuse_what_the_schema_allows(&self) -> Result<(), BuildError> {
        let exposed = self.expose_headers.as_deref().unwrap_or_default();
        let has_any = [&*self.allow_methods, &self.allow_headers, exposed].contains(&"*")
            || self.allow_origins == Origins::Any
            || self.timing_allow_origins == Some(Origins::Any);
        if self.allow_credential && has_any {
            return Err("you can not set '*' for other option when 'allow_credential' is true".to_owned().into());
        }
        for (name, value) in [
            ("allow_methods", &*self.allow_methods),
            ("allow_headers", &self.allow_headers),
            ("expose_headers", exposed),
        ] {
            if !Fields::is_value(value.as_bytes()) {
                return Err(BuildError(format!("{name} cannot be the value of a header")));
            }
        }
        for (name, origins) in
            [("allow_origins", Some(&self.allow_origins)), ("timing_allow_origins", self.timing_allow_origins.as_ref())]
        {
            if let Some(Origins::One(origin)) = origins
                && !Fields::is_value(origin.as_bytes())
            {
                return Err(BuildError(format!("{name} cannot be the value of a header")));
            }
        }
        Ok(())
    }
}

impl Rewrite for Cors {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let origin = cx.request.fields.get("origin").map(<[u8]>::to_vec);
        cx.state::<Origin>().0 = origin;
        if cx.request.method == Method::Options { Step::respond(Reply::status(200)) } else { Step::NEXT }
    }
}

impl HeaderFilter for Cors {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        // Kept: an answer that cannot be sent is followed by another one.
        let origin = cx.state::<Origin>().0.clone();
        let metadata = self.names.as_ref().and_then(|_| cx.metadata::<Self>());
        let asked = cx.request.fields.get("access-control-request-headers");
        self.edit(&mut head.fields, origin.as_deref(), metadata.as_deref(), asked);
        Ok(())
    }
}

impl Cors {
    fn edit(&self, fields: &mut Fields, origin: Option<&[u8]>, metadata: Option<&Metadata>, asked: Option<&[u8]>) {
        if self.varies {
            fields.push(b"Vary", b"Origin");
        }
        if let Some(allowed) = self.allowed(origin, metadata) {
            fields.set("Access-Control-Allow-Origin", allowed);
            fields.set("Access-Control-Allow-Methods", self.methods.as_bytes());
            fields.set("Access-Control-Max-Age", self.max_age.as_bytes());
            if let Some(exposed) = &self.exposed {
                fields.set("Access-Control-Expose-Headers", exposed.as_bytes());
            }
            match self.headers.as_deref().map(str::as_bytes).or(asked) {
                Some(headers) => fields.set("Access-Control-Allow-Headers", headers),
                None => {
                    fields.remove("Access-Control-Allow-Headers");
                }
            }
            if self.allows_credentials {
                fields.set("Access-Control-Allow-Credentials", b"true");
            }
        }
        let timing = match &self.timing {
            None => None,
            Some(Timing::Origins(origins)) => origins.said(origin).filter(|said| fits(origin, Some(said))),
            Some(Timing::Patterns(patterns)) => by_patterns(patterns, origin),
        };
        if let Some(timing) = timing {
            fields.set("Timing-Allow-Origin", timing);
        }
    }

    /// What `Access-Control-Allow-Origin` says, if anything. The metadata comes first; where it allows nothing, patterns and
    /// `allow_origins` are asked only if `allow_origins` says more than `*`, which may be its default.
    fn allowed<'a>(&'a self, origin: Option<&'a [u8]>, metadata: Option<&'a Metadata>) -> Option<&'a [u8]> {
        let by_names = self.names.as_ref().map(|names| self.by_metadata(names, metadata, origin));
        let said = match by_names {
            Some(said) if fits(origin, said) || self.origins == Origins::Any => said,
            _ => match &self.patterns {
                Some(patterns) => by_patterns(patterns, origin),
                None => self.origins.said(origin),
            },
        };
        if fits(origin, said) { said } else { by_names.flatten() }
    }

    fn by_metadata<'a>(
        &self,
        names: &[String],
        metadata: Option<&'a Metadata>,
        origin: Option<&'a [u8]>,
    ) -> Option<&'a [u8]> {
        let known = metadata?.allow_origins.as_ref()?;
        let mut origins = names.iter().filter_map(|name| known.get(name));
        let is_allowed =
            origins.any(|origins| (self.takes_any || *origins != Origins::Any) && fits(origin, origins.said(origin)));
        if is_allowed { origin } else { None }
    }
}
