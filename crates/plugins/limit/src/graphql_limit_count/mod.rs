#![doc = include_str!("doc.md")]

mod depth;
#[cfg(test)]
mod tests;

use crate::{
    forgeable,
    quota::{self, Limiter},
};
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Finding, HeaderFilter, Hooks, Outcome, Plugin, PluginClass, PluginError,
    Posture, Reply, RunPolicy, Spec, Step, Verdict,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::{BodyError, Method, ResponseHead, Text};

const COST: &str = "X-Graphql-Query-Cost";

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    quota: quota::Config,
    cost_strategy: Strategy,
    max_cost: f64,
    score_factor: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    Depth,
    Complexity,
    NodeQuantifier,
}

/// Limits what GraphQL queries cost in a time.
#[allow(missing_debug_implementations)]
pub struct GraphqlLimitCount {
    limiter: Limiter,
    /// 0 is no limit.
    max_cost: f64,
    score_factor: f64,
    rejected_code: u16,
}

/// What a request's query costs, kept until the response's head.
#[derive(Default)]
struct Cost(Option<u64>);

/// A request as it is sent in JSON.
#[derive(Deserialize)]
struct Sent {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<Value>,
}

impl Plugin for GraphqlLimitCount {
    const NAME: &'static str = "graphql-limit-count";
    const PRIORITY: i32 = 1004;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: true, calls_out: true },
    };
    type Config = Config;
    type Metadata = quota::Metadata;

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        if config.cost_strategy != Strategy::Depth {
            let reason =
                "cost_strategy: only \"depth\" is available yet; decorations and the upstream's schema are not read";
            return Err(reason.to_owned().into());
        }
        Ok(Self {
            rejected_code: config.quota.rejected_code(),
            limiter: Limiter::compile(Self::NAME, config.quota, env)?,
            max_cost: config.max_cost,
            score_factor: config.score_factor,
        })
    }

    fn reword(config: &Value, violation: &str) -> Option<&'static str> {
        quota::reword(config, violation)
    }

    fn lint(config: &Value) -> Vec<Finding> {
        forgeable::findings(config)
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self.clone());
        if self.limiter.shows_quota {
            hooks.header_filter = Some(self);
        }
    }
}

impl Access for GraphqlLimitCount {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if cx.request.method != Method::Post {
            return Step::respond(Reply::status(405));
        }
        Step::Wait(Box::pin(self.limit(cx)))
    }
}

impl HeaderFilter for GraphqlLimitCount {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        let metadata = cx.metadata::<Self>();
        if let Some(cost) = cx.state::<Cost>().0 {
            head.fields.set(COST, &Text::decimal(cost));
        }
        self.limiter.show(cx, metadata.as_deref(), head);
        Ok(())
    }
}

impl GraphqlLimitCount {
    async fn limit(&self, cx: &mut Ctx) -> Outcome {
        let max = usize::try_from(cx.request.body.limits().graphql).unwrap_or(usize::MAX);
        let depth = match cx.request.body.bytes(max).await {
            Ok(body) if !body.is_empty() => depth_of(cx, &body),
            Err(BodyError::NoBudget) => return Ok(Reply::status(503).into()),
            _ => Err("Invalid graphql request: can't get graphql request body".to_owned()),
        };
        let depth = match depth {
            Ok(depth) => depth,
            Err(message) => return Ok(Reply::json(400, &json!({ "message": message })).into()),
        };
        // A float too large for an integer becomes the largest.
        let cost = ((depth as f64 * self.score_factor).ceil() as u64).max(1);
        cx.state::<Cost>().0 = Some(cost);
        let taken = match self.limiter.take(cx, cost) {
            Step::Ready(outcome) => outcome,
            Step::Wait(future) => future.await,
        };
        // What costs too much is charged, too, and told before the quota, but not instead of our own failure.
        if is_failure(&taken) && self.rejected_code != 500 || self.max_cost <= 0.0 || cost as f64 <= self.max_cost {
            return taken;
        }
        let message = format!("Invalid graphql request: query cost {cost} exceeds max_cost {}", self.max_cost);
        Ok(Reply::json(403, &json!({ "message": message })).into())
    }
}

fn is_failure(taken: &Outcome) -> bool {
    match taken {
        Err(_) => true,
        Ok(Verdict::Respond(reply)) => reply.status == 500,
        Ok(Verdict::Next) => false,
    }
}

/// How deep a request's query is, or what the client is told is wrong with it.
fn depth_of(cx: &Ctx, body: &[u8]) -> Result<usize, String> {
    let invalid = |reason: &str| Err(format!("invalid graphql request, {reason}"));
    let kind = cx.request.fields.get_str("content-type").unwrap_or_default();
    let (query, name) = if kind.starts_with("application/json") {
        match serde_json::from_slice(body) {
            Ok(Sent { query: Some(query), operation_name }) => (query, operation_name),
            Ok(Sent { query: None, .. }) => return invalid("json body[query] is nil"),
            Err(_) => return invalid("the body is no JSON of a request"),
        }
    } else if kind.starts_with("application/graphql") {
        match std::str::from_utf8(body) {
            Ok(query) => (query.to_owned(), None),
            Err(_) => return Err("Invalid graphql request: failed to parse graphql query".to_owned()),
        }
    } else {
        return invalid(&format!("error content-type: {kind}"));
    };
    let name = name.as_ref().and_then(Value::as_str);
    depth::of(&query, name).map_err(|error| format!("Invalid graphql request: {error}"))
}
