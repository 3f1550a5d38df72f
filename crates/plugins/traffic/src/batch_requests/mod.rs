#![doc = include_str!("doc.md")]

mod pipeline;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture, select};
use model::json;
use pipeline::{Item, Pipeline};
use plugin::{
    BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, PublicApi, Reply, RunPolicy, Spec, Step, Subanswer,
    Subrequest,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use wire::{BodyError, BodyLength, Method, status};

/// Bytes of all answers of a batch together.
const MAX_ANSWERS: usize = 16 << 20;
/// Time of a whole batch, whatever its requests may take each.
const MAX_TIME: Duration = Duration::from_secs(300);
const DEFAULT_URI: &str = "/apisix/batch-requests";

/// There is nothing to configure on a route.
#[derive(Debug, Deserialize)]
pub struct Config {}

/// Bounds of a batch.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Metadata {
    max_body_size: usize,
    max_pipeline_items: usize,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { max_body_size: 1 << 20, max_pipeline_items: 1000 }
    }
}

/// Answers several requests that come as one.
#[derive(Debug)]
pub struct BatchRequests;

impl Plugin for BatchRequests {
    const NAME: &'static str = "batch-requests";
    const PRIORITY: i32 = 4010;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: true, calls_out: false },
    };
    type Config = Config;
    type Metadata = Metadata;

    fn build(_config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }

    /// On a route it does nothing: all there is to it is the endpoint.
    fn attach(self: Arc<Self>, _hooks: &mut Hooks) {}

    fn public_apis(attr: &Value) -> Vec<PublicApi> {
        let uri = attr.get("uri").and_then(Value::as_str).unwrap_or(DEFAULT_URI);
        let handle: for<'a> fn(&'a mut Ctx) -> Step<'a> = |cx| {
            Step::Wait(Box::pin(async move {
                let (status, body) = answer(cx).await.unwrap_or_else(|refused| refused);
                Ok(Reply::json(status, &body).into())
            }))
        };
        vec![PublicApi { methods: &[Method::Post], uri: uri.to_owned(), handle }]
    }
}

type Answer = (u16, Value);

fn refused(status: u16, message: &str) -> Answer {
    (status, json!({ "error_msg": message }))
}

async fn answer(cx: &mut Ctx) -> Result<Answer, Answer> {
    if cx.downstream().is_subrequest() {
        return Err(refused(400, "request failed: a batch cannot be in a batch"));
    }
    let bounds = cx.metadata::<BatchRequests>().map(|metadata| *metadata).unwrap_or_default();
    let body = read(cx, bounds.max_body_size).await?;
    let written = json::parse(&body, json::Limits { bytes: bounds.max_body_size, ..json::Limits::default() }).map_err(
        |error| {
            let (text, complaint) = (String::from_utf8_lossy(&body), json::complaint(&body));
            refused(
                400,
                &format!("invalid request body: {text}, err: {}", complaint.unwrap_or_else(|| error.to_string())),
            )
        },
    )?;
    let pipeline = Pipeline::read(written).map_err(|message| refused(400, &message))?;
    let count = pipeline.items.len();
    if count > bounds.max_pipeline_items {
        let max = bounds.max_pipeline_items;
        return Err(refused(400, &format!("too many pipeline requests, {count} exceeds the maximum of {max}")));
    }
    let heads: Vec<Vec<u8>> = pipeline
        .items
        .iter()
        .map(|item| pipeline.head(item, cx))
        .collect::<Result<_, _>>()
        .map_err(|message| refused(400, &format!("request failed: {message}")))?;
    let until = Instant::now() + MAX_TIME;
    let mut left = MAX_ANSWERS;
    let mut answers = Vec::with_capacity(count);
    for (item, head) in pipeline.items.iter().zip(heads) {
        let time = pipeline.timeout.min(until.saturating_duration_since(Instant::now()));
        let entry = match one(cx, item, head, time, left).await {
            Some(answer) => {
                left = left.saturating_sub(answer.body.len());
                shown(&answer)
            }
            None => json!({ "status": 504, "reason": "upstream timeout" }),
        };
        answers.push(entry);
    }
    Ok((200, Value::Array(answers)))
}

async fn read(cx: &mut Ctx, max: usize) -> Result<Bytes, Answer> {
    let too_large =
        |size: &str| refused(413, &format!("request size {size}is greater than the maximum size {max} allowed"));
    if let BodyLength::Exact(size) = cx.request.body.length()
        && size > max as u64
    {
        return Err(too_large(&format!("{size} ")));
    }
    match cx.request.body.bytes(max).await {
        Ok(body) if body.is_empty() => {
            Err(refused(400, "no request body, you should give at least one pipeline setting"))
        }
        Ok(body) => Ok(body),
        Err(BodyError::TooLarge(_)) => Err(too_large("")),
        Err(error) => Err(refused(400, &error.to_string())),
    }
}

/// `None` when it took too long.
async fn one(cx: &Ctx, item: &Item, head: Vec<u8>, time: Duration, max_answer: usize) -> Option<Subanswer> {
    let Some(dispatcher) = cx.directory().dispatcher() else {
        return Some(Subanswer { status: 500, ..Subanswer::default() });
    };
    let request = Subrequest {
        head,
        body: Bytes::copy_from_slice(item.body.as_bytes()),
        client: cx.client,
        local: cx.local,
        serial: cx.connection,
        max_answer,
    };
    let answer: LocalBoxFuture<'_, Subanswer> = dispatcher.dispatch(request);
    match select(answer, pin!(cx.sleep(time))).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(_) => None,
    }
}

fn shown(answer: &Subanswer) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if answer.is_too_long {
        return json!({ "status": 502, "reason": "response too large" });
    }
    let mut headers = Map::new();
    for (name, value) in answer.fields.iter() {
        let value = Value::String(text(value));
        match headers.get_mut(&text(name)) {
            None => drop(headers.insert(text(name), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    let reason = answer.reason.as_deref().map_or_else(|| status::reason(answer.status).to_owned(), text);
    let mut entry = json!({ "status": answer.status, "reason": reason, "headers": headers });
    if !answer.body.is_empty()
        && let Value::Object(entry) = &mut entry
    {
        entry.insert("body".to_owned(), Value::String(text(&answer.body)));
    }
    entry
}
