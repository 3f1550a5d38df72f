#![doc = include_str!("doc.md")]

mod document;
mod mask;
mod pairs;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use document::Place;
use mask::Mask;
use model::differences::DifferenceId;
use plugin::{BuildEnv, BuildError, Ctx, Hooks, Log, Plugin, PluginClass, Posture, Request, RunPolicy, Spec};
use serde::Deserialize;
use std::sync::Arc;
use wire::path::split_query;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    request: Option<Vec<ItemConfig>>,
    max_body_size: usize,
}

#[derive(Debug, Deserialize)]
struct ItemConfig {
    #[serde(rename = "type")]
    place: PlaceConfig,
    body_format: Option<Format>,
    name: String,
    action: Kind,
    regex: Option<String>,
    value: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlaceConfig {
    Query,
    Header,
    Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Json,
    Urlencoded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Regex,
    Replace,
    Remove,
}

/// Masks what logs show of requests.
#[derive(Debug)]
pub struct DataMask {
    query: Vec<(String, Mask)>,
    headers: Vec<(String, Mask)>,
    form: Vec<(String, Mask)>,
    json: Vec<(Place, Mask)>,
    max: usize,
    /// Whether a body that cannot be masked is not shown.
    hides_unmasked: bool,
}

impl Plugin for DataMask {
    const NAME: &'static str = "data-mask";
    const PRIORITY: i32 = 1500;
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
        let mut plugin = Self {
            query: Vec::new(),
            headers: Vec::new(),
            form: Vec::new(),
            json: Vec::new(),
            max: config.max_body_size,
            hides_unmasked: env.compat.is_safe(DifferenceId::UnmaskedBody),
        };
        for item in config.request.unwrap_or_default() {
            let mask = Mask::compile(&item)?;
            match (item.place, item.body_format) {
                (PlaceConfig::Query, _) => plugin.query.push((item.name, mask)),
                (PlaceConfig::Header, _) => plugin.headers.push((item.name, mask)),
                (PlaceConfig::Body, Some(Format::Json)) => plugin.json.push((Place::compile(&item.name)?, mask)),
                (PlaceConfig::Body, _) => plugin.form.push((item.name, mask)),
            }
        }
        Ok(plugin)
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.log = Some(self);
    }
}

impl Log for DataMask {
    fn log(&self, cx: &mut Ctx) {
        self.mask_query(cx);
        for (name, mask) in &self.headers {
            mask_header(&mut cx.request, name, mask);
        }
        self.mask_body(&mut cx.request);
    }
}

impl DataMask {
    /// In the request, and in what was sent upstream.
    fn mask_query(&self, cx: &mut Ctx) {
        if self.query.is_empty() {
            return;
        }
        let masked = |target: &[u8]| {
            let (path, query) = split_query(target);
            pairs::masked(query?, &self.query).map(|query| {
                let mut target = path.to_vec();
                if !query.is_empty() {
                    target.push(b'?');
                    target.extend_from_slice(&query);
                }
                (target, query)
            })
        };
        if let Some((target, query)) = masked(&cx.request.target) {
            cx.request.target = target;
            cx.request.query = Some(query).filter(|query| !query.is_empty());
        }
        if let Some((target, _)) = cx.upstream.target.as_deref().and_then(masked) {
            cx.upstream.target = Some(target);
        }
    }

    fn mask_body(&self, request: &mut Request) {
        if self.form.is_empty() && self.json.is_empty() {
            return;
        }
        let Some(body) = request.body.buffered().filter(|body| !body.is_empty()).cloned() else { return };
        let mut masked = None;
        if !self.form.is_empty() {
            masked = pairs::masked(&body, &self.form);
        }
        if !self.json.is_empty() {
            let text = masked.as_deref().unwrap_or(&body);
            masked = match document::masked(text, &self.json, self.max) {
                Ok(document) => document.or(masked),
                Err(reason) if self.hides_unmasked => {
                    tracing::warn!(reason, "a request body is not shown, for it cannot be masked");
                    Some(Vec::new())
                }
                Err(reason) => {
                    tracing::warn!(reason, "a request body is not masked");
                    masked
                }
            };
        }
        if let Some(masked) = masked {
            request.body.replace(Bytes::from(masked));
        }
    }
}

fn mask_header(request: &mut Request, name: &str, mask: &Mask) {
    let values: Vec<Vec<u8>> = request.fields.get_all(name).map(<[u8]>::to_vec).collect();
    if values.is_empty() {
        return;
    }
    request.fields.remove(name);
    let masked = values.iter().filter_map(|value| mask.apply(value));
    // What replaces the value comes once.
    let most = if matches!(mask, Mask::Replace(_)) { 1 } else { usize::MAX };
    for value in masked.take(most) {
        request.fields.push(name.as_bytes(), &value);
    }
}
