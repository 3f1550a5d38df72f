#![doc = include_str!("doc.md")]

mod cost;
mod decorations;
mod depth;
mod document;
mod introspection;
mod sent;
#[cfg(test)]
mod tests;
mod upstream_schema;

use self::{
    cost::{Charge, Known},
    decorations::Decorations,
    document::Document,
    introspection::{Introspection, Trusted},
    sent::Sent,
};
use crate::{
    forgeable,
    quota::{self, Limiter},
};
use model::differences::DifferenceId;
use plugin::{
    Access, BuildEnv, BuildError, CompileDecorations, Ctx, Finding, HeaderFilter, Hooks, Outcome, Plugin, PluginClass,
    PluginError, Posture, Reply, RunPolicy, Spec, Step, Verdict,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use wire::{BodyError, Method, ResponseHead, Text};

const COST: &str = "X-Graphql-Query-Cost";

/// Makes the next whole number of every cost but those of the strategy `depth`.
const A_LITTLE: f64 = 0.01;

/// The greatest integer that every counter can tell from its neighbours.
const MAX_COST: u64 = 9_007_199_254_740_991;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    quota: quota::Config,
    cost_strategy: Strategy,
    max_cost: f64,
    score_factor: f64,
    resolve_variables: bool,
    introspection_endpoint: Option<String>,
    introspection_headers: Option<HashMap<String, String>>,
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
    strategy: Strategy,
    resolves_variables: bool,
    introspection: Arc<Introspection>,
    /// Whether clients may choose with which path and host an upstream is asked for its schema.
    trusts_clients: bool,
}

/// What a request's query costs, kept until the response's head.
#[derive(Default)]
struct Cost(Option<u64>);

/// Why a query has no cost.
enum NoCost {
    /// What the client is told is wrong with it.
    Invalid(String),
    /// One of the decorations cannot be read.
    Undecorated(String),
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
    const DECORATIONS: Option<CompileDecorations> = Some(|written| Arc::new(Decorations::compile(written)));

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            rejected_code: config.quota.rejected_code(),
            limiter: Limiter::compile(Self::NAME, config.quota, env)?,
            max_cost: config.max_cost,
            score_factor: config.score_factor,
            strategy: config.cost_strategy,
            resolves_variables: config.resolve_variables,
            introspection: Arc::new(Introspection::compile(
                config.introspection_endpoint.as_deref(),
                &config.introspection_headers.unwrap_or_default(),
            )?),
            trusts_clients: !env.compat.is_safe(DifferenceId::IntrospectedPath),
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
        let sent = match cx.request.body.bytes(max).await {
            Ok(body) if !body.is_empty() => Sent::read(cx, &body),
            Err(BodyError::NoBudget) => return Ok(Reply::status(503).into()),
            _ => Err("Invalid graphql request: can't get graphql request body".to_owned()),
        };
        let raw = match sent {
            Ok(sent) => self.raw_cost(cx, &sent).await,
            Err(message) => Err(NoCost::Invalid(message)),
        };
        let raw = match raw {
            Ok(raw) => raw,
            Err(NoCost::Invalid(message)) => return Ok(Reply::json(400, &json!({ "message": message })).into()),
            Err(NoCost::Undecorated(reason)) => {
                tracing::error!(reason, "nobody knows what a query costs");
                return Ok(Reply::status(503).into());
            }
        };
        let cost = ((raw * self.score_factor).ceil() as u64).clamp(1, MAX_COST);
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

impl GraphqlLimitCount {
    /// What a query costs, before it is multiplied and rounded.
    async fn raw_cost(&self, cx: &Ctx, sent: &Sent) -> Result<f64, NoCost> {
        let invalid = |reason: &dyn std::fmt::Display| NoCost::Invalid(format!("Invalid graphql request: {reason}"));
        let document = Document::parse(&sent.query, sent.operation_name.as_deref()).map_err(|error| invalid(&error))?;
        let charge = match self.strategy {
            Strategy::Depth => return depth::of(&document).map(|depth| depth as f64).map_err(|error| invalid(&error)),
            Strategy::Complexity => Charge::EveryField,
            Strategy::NodeQuantifier => Charge::Quantified,
        };
        // Decorations are a service's; without one a query costs its fields.
        let service = cx.route.as_ref().and_then(|route| route.service_id.clone());
        let decorations = match &service {
            Some(service) => cx.directory().decorations(service),
            None => Ok(None),
        };
        let decorations = decorations.map_err(|error| NoCost::Undecorated(error.to_string()))?;
        let decorations = decorations.and_then(|compiled| compiled.downcast::<Decorations>().ok());
        let schema = match service.filter(|_| decorations.is_some()) {
            Some(service) => match self.introspection.schema(cx, &service, self.trusted(cx)).await {
                Ok(schema) => Some(schema),
                Err(reason) => {
                    tracing::debug!(reason, "a query has no cost");
                    return Err(invalid(&"failed to introspect the upstream graphql schema"));
                }
            },
            None => None,
        };
        let known = Known {
            decorations: decorations.as_deref(),
            schema: schema.as_deref(),
            variables: Some(&sent.variables).filter(|_| self.resolves_variables),
            uses_defaults: self.resolves_variables,
        };
        let cost = cost::of(&document, charge, known).map_err(|error| invalid(&error))?;
        // As in APISIX, whose published costs have it.
        Ok(cost + A_LITTLE)
    }

    /// What of a request the route and not the client has chosen.
    fn trusted(&self, cx: &Ctx) -> Trusted {
        let is_exact = |pattern: &Option<Arc<str>>, marks: &[char]| {
            self.trusts_clients || pattern.as_deref().is_some_and(|pattern| !pattern.contains(marks))
        };
        Trusted { path: is_exact(&cx.matched_uri, &['*', ':']), host: is_exact(&cx.matched_host, &['*']) }
    }
}

fn is_failure(taken: &Outcome) -> bool {
    match taken {
        Err(_) => true,
        Ok(Verdict::Respond(reply)) => reply.status == 500,
        Ok(Verdict::Next) => false,
    }
}
