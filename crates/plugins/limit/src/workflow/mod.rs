#![doc = include_str!("doc.md")]

mod action;
#[cfg(test)]
mod tests;

use self::action::Action;
use crate::forgeable;
use model::vars::Expr;
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Finding, HeaderFilter, Hooks, Log, Plugin, PluginClass, PluginError, Posture,
    RunPolicy, Spec, Step,
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use wire::ResponseHead;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    rules: Vec<RuleConfig>,
}

#[derive(Debug, Deserialize)]
struct RuleConfig {
    case: Option<Value>,
    actions: Vec<Vec<Value>>,
}

/// Does with each request what the first rule that fits says.
#[allow(missing_debug_implementations)]
pub struct Workflow {
    rules: Vec<Rule>,
}

struct Rule {
    case: Option<Expr>,
    action: Action,
}

/// Which rule's action is a request's.
#[derive(Default)]
struct Chosen(Option<usize>);

impl Plugin for Workflow {
    const NAME: &'static str = "workflow";
    const PRIORITY: i32 = 1006;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: true },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let rule = |(index, rule): (usize, RuleConfig)| {
            let case = rule.case.as_ref().map(Expr::compile).transpose();
            Ok(Rule {
                case: case.map_err(|error| format!("failed to validate the 'case' expression: {error}"))?,
                action: Action::first_of(&rule.actions, index + 1, env)?,
            })
        };
        Ok(Self { rules: config.rules.into_iter().enumerate().map(rule).collect::<Result<_, BuildError>>()? })
    }

    fn lint(config: &Value) -> Vec<Finding> {
        let mut found = Vec::new();
        let rules = config.get("rules").and_then(Value::as_array).into_iter().flatten();
        for (index, rule) in rules.enumerate() {
            // The first action is done.
            let Some(action) = rule.pointer("/actions/0/1") else { continue };
            for mut finding in forgeable::findings(action) {
                finding.path = format!("/rules/{index}/actions/0/1{}", finding.path);
                found.push(finding);
            }
        }
        found
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        let has = |phase: fn(&Hooks) -> bool| self.rules.iter().filter_map(|rule| rule.action.hooks()).any(phase);
        if has(|hooks| hooks.header_filter.is_some()) {
            hooks.header_filter = Some(self.clone());
        }
        if has(|hooks| hooks.log.is_some()) {
            hooks.log = Some(self.clone());
        }
        hooks.access = Some(self);
    }
}

impl Access for Workflow {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        for (index, rule) in self.rules.iter().enumerate() {
            match rule.case.as_ref().map_or(Ok(true), |case| case.eval(cx)) {
                Ok(false) => {}
                Ok(true) => {
                    cx.state::<Chosen>().0 = Some(index);
                    return rule.action.run(cx);
                }
                // The next rules may be for everybody else.
                Err(fault) => return Step::Ready(Err(PluginError(format!("case of rule {}: {fault}", index + 1)))),
            }
        }
        Step::NEXT
    }
}

impl HeaderFilter for Workflow {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        match self.chosen(cx).and_then(|hooks| hooks.header_filter.as_ref()) {
            Some(filter) => filter.header_filter(cx, head),
            None => Ok(()),
        }
    }
}

impl Log for Workflow {
    fn log(&self, cx: &mut Ctx) {
        if let Some(log) = self.chosen(cx).and_then(|hooks| hooks.log.as_ref()) {
            log.log(cx);
        }
    }
}

impl Workflow {
    /// The phases of the request's action.
    fn chosen(&self, cx: &mut Ctx) -> Option<&Hooks> {
        cx.state::<Chosen>().0.and_then(|index| self.rules.get(index))?.action.hooks()
    }
}
