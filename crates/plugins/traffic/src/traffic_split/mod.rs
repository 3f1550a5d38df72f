#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;
mod turns;

use model::{documents::Upstream, vars::Expr};
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, PluginError, Posture, Reply, RunPolicy, Spec, Step,
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use turns::Turns;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(default)]
    rules: Vec<RuleConfig>,
}

#[derive(Debug, Deserialize)]
struct RuleConfig {
    #[serde(default, rename = "match")]
    matches: Option<Vec<MatchConfig>>,
    weighted_upstreams: Vec<WeightedConfig>,
}

#[derive(Debug, Deserialize)]
struct MatchConfig {
    #[serde(default)]
    vars: Value,
}

#[derive(Debug, Deserialize)]
struct WeightedConfig {
    #[serde(default)]
    upstream_id: Option<Value>,
    #[serde(default)]
    upstream: Option<Value>,
    weight: f64,
}

/// Sends shares of a route's requests to other upstreams.
#[derive(Debug)]
pub struct TrafficSplit {
    rules: Vec<Rule>,
    /// The upstreams that are written here, by the numbers that [`Target::Own`] has.
    upstreams: Vec<Upstream>,
}

#[derive(Debug)]
struct Rule {
    /// One of them must hold; every request when there is no list.
    matches: Option<Vec<Expr>>,
    /// Ids that must exist, also when it is not their turn.
    ids: Vec<Arc<str>>,
    targets: Vec<Target>,
    turns: Turns,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// The route's own upstream.
    Route,
    /// The upstream with this id.
    Id(Arc<str>),
    /// One that is written here.
    Own(usize),
}

impl Plugin for TrafficSplit {
    const NAME: &'static str = "traffic-split";
    const PRIORITY: i32 = 966;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let mut upstreams = Vec::new();
        let mut rules = Vec::new();
        for (index, rule) in config.rules.into_iter().enumerate() {
            rules.push(Rule::compile(index, rule, &mut upstreams)?);
        }
        Ok(Self { rules, upstreams })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.upstreams.clone_from(&self.upstreams);
        hooks.access = Some(self);
    }
}

impl Rule {
    fn compile(index: usize, written: RuleConfig, upstreams: &mut Vec<Upstream>) -> Result<Self, BuildError> {
        let matches = written.matches.map(|matches| {
            let compile = |one: &MatchConfig| {
                Expr::compile(&one.vars).map_err(|e| format!("failed to validate the 'vars' expression: {e}"))
            };
            matches.iter().map(compile).collect::<Result<Vec<Expr>, String>>()
        });
        let mut targets: Vec<Target> = Vec::new();
        let mut weights: Vec<u64> = Vec::new();
        for (at, weighted) in written.weighted_upstreams.into_iter().enumerate() {
            let target = match (weighted.upstream_id.as_ref().and_then(id), &weighted.upstream) {
                (Some(id), _) => Target::Id(id.into()),
                (None, Some(upstream)) => {
                    upstreams.push(inline(upstream).map_err(|reason| {
                        let (rule, item) = (index + 1, at + 1);
                        format!(
                            "property \"rules\" validation failed: failed to validate item {rule}: property \
                             \"weighted_upstreams\" validation failed: failed to validate item {item}: property \
                             \"upstream\" validation failed: {reason}"
                        )
                    })?);
                    Target::Own(upstreams.len() - 1)
                }
                (None, None) => Target::Route,
            };
            let weight = weighted.weight as u64;
            // Written twice, the last weight counts.
            match targets.iter().position(|known| *known == target).and_then(|known| weights.get_mut(known)) {
                Some(known) => *known = weight,
                None => {
                    targets.push(target);
                    weights.push(weight);
                }
            }
        }
        let ids = targets.iter().filter_map(|target| match target {
            Target::Id(id) => Some(id.clone()),
            _ => None,
        });
        Ok(Self { matches: matches.transpose()?, ids: ids.collect(), turns: Turns::new(&weights), targets })
    }

    /// Whether the rule is for this request. An empty list decides nothing: what was before it stays.
    fn holds(&self, cx: &Ctx, before: bool) -> Result<bool, PluginError> {
        let Some(matches) = &self.matches else { return Ok(true) };
        let mut holds = before;
        for expression in matches {
            holds = expression.eval(cx).map_err(|fault| PluginError(format!("a rule's vars: {fault}")))?;
            if holds {
                break;
            }
        }
        Ok(holds)
    }
}

impl Access for TrafficSplit {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        Step::Ready(self.choose(cx).map(|reply| reply.map_or(plugin::Verdict::Next, Into::into)))
    }
}

impl TrafficSplit {
    /// Chooses the upstream of the first rule that holds.
    fn choose(&self, cx: &mut Ctx) -> Result<Option<Reply>, PluginError> {
        let mut holds = true;
        for rule in &self.rules {
            if let Some(id) = rule.ids.iter().find(|id| !cx.directory().has_upstream(id)) {
                tracing::error!(upstream = %id, "traffic-split refers to an upstream that does not exist");
                let text = format!("failed to fetch upstream info by upstream id: {id}");
                return Ok(Some(Reply::text(500, text)));
            }
            holds = rule.holds(cx, holds)?;
            if !holds {
                continue;
            }
            match rule.targets.get(rule.turns.next()) {
                Some(Target::Id(id)) => cx.choose_upstream_id(id.clone()),
                Some(Target::Own(index)) => cx.choose_own_upstream(*index),
                Some(Target::Route) | None => cx.choose_route_upstream(),
            }
            return Ok(None);
        }
        Ok(None)
    }
}

/// An upstream that is written in a rule.
fn inline(written: &Value) -> Result<Upstream, String> {
    let upstream = Upstream::parse(written).map_err(|error| error.to_string())?;
    if upstream.nodes.is_none() {
        return Err("property \"nodes\" is required".to_owned());
    }
    Ok(upstream)
}

fn id(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|id| id.to_string()))
}
