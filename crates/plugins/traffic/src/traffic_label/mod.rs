#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::header::Header;
use model::vars::{Expr, Lookup};
use parking_lot::Mutex;
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, PluginError, Posture, RunPolicy, Spec, Step,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    rules: Vec<RuleConfig>,
}

#[derive(Debug, Deserialize)]
struct RuleConfig {
    r#match: Option<Value>,
    actions: Vec<Map<String, Value>>,
}

/// Labels requests by headers.
#[derive(Debug)]
pub struct TrafficLabel {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    condition: Option<Expr>,
    actions: Vec<Action>,
    /// How far each action is ahead or behind, so that weights are met exactly.
    turns: Mutex<Vec<i64>>,
}

/// One action; without headers the request goes on with the next rule.
#[derive(Debug)]
struct Action {
    headers: Option<Vec<Header>>,
    weight: i64,
}

impl Plugin for TrafficLabel {
    const NAME: &'static str = "traffic-label";
    const PRIORITY: i32 = 967;
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
        Ok(Self { rules: config.rules.iter().map(Rule::compile).collect::<Result<_, _>>()? })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for TrafficLabel {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        for rule in &self.rules {
            let holds = rule.condition.as_ref().map_or(Ok(true), |condition| condition.eval(&*cx as &dyn Lookup));
            match holds {
                Ok(false) => continue,
                Ok(true) => {}
                Err(fault) => return Step::Ready(Err(PluginError(fault.to_string()))),
            }
            if let Some(headers) = rule.next().and_then(|action| action.headers.as_deref()) {
                set(headers, cx);
                break;
            }
        }
        Step::NEXT
    }
}

impl Rule {
    fn compile(config: &RuleConfig) -> Result<Self, BuildError> {
        let condition = config.r#match.as_ref().map(|condition| {
            Expr::compile(condition).map_err(|error| {
                BuildError(format!("failed to validate the 'match' expression: {condition} err: {error}"))
            })
        });
        let actions: Vec<Action> = config.actions.iter().map(Action::compile).collect::<Result<_, _>>()?;
        let turns = Mutex::new(vec![0; actions.len()]);
        Ok(Self { condition: condition.transpose()?, actions, turns })
    }

    /// The action whose turn it is: smooth weighted round-robin, as nginx has it.
    fn next(&self) -> Option<&Action> {
        let mut turns = self.turns.lock();
        let mut total = 0i64;
        for (turn, action) in turns.iter_mut().zip(&self.actions) {
            *turn = turn.saturating_add(action.weight);
            total = total.saturating_add(action.weight);
        }
        // The first of those that are equal.
        let (at, turn) = turns.iter_mut().enumerate().rev().max_by_key(|(_, turn)| **turn)?;
        *turn = turn.saturating_sub(total);
        self.actions.get(at)
    }
}

impl Action {
    fn compile(config: &Map<String, Value>) -> Result<Self, BuildError> {
        let mut action = Self { headers: None, weight: 1 };
        for (name, value) in config {
            match name.as_str() {
                "weight" => action.weight = value.as_i64().unwrap_or(1),
                "set_headers" => {
                    let fields = value.as_object().into_iter().flatten();
                    let headers: Result<_, _> = fields.map(|(name, value)| Header::of_request(name, value)).collect();
                    action.headers = Some(headers.map_err(|error: BuildError| {
                        BuildError(format!("failed to validate the 'set_headers' action: {error}"))
                    })?);
                }
                name => return Err(BuildError(format!("not supported action: {name}"))),
            }
        }
        Ok(action)
    }
}

fn set(headers: &[Header], cx: &mut Ctx) {
    for header in headers {
        let value = header.render(&*cx as &dyn Lookup);
        if header.name.eq_ignore_ascii_case("host") {
            cx.upstream.host = String::from_utf8(value).ok().filter(|host| !host.is_empty());
        } else {
            cx.request.fields.set(&header.name, &value);
        }
    }
}
