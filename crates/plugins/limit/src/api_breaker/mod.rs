#![doc = include_str!("doc.md")]

mod breaker;
#[cfg(test)]
mod tests;

use self::breaker::{Breakers, Rule};
use crate::Scope;
use model::vars::Template;
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Hooks, Log, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step,
};
use serde::Deserialize;
use std::{collections::HashSet, sync::Arc};
use wire::Fields;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    break_response_code: u16,
    break_response_body: Option<String>,
    break_response_headers: Option<Vec<HeaderConfig>>,
    max_breaker_sec: u64,
    unhealthy: Unhealthy,
    healthy: Healthy,
}

#[derive(Debug, Deserialize)]
struct HeaderConfig {
    key: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct Unhealthy {
    http_statuses: HashSet<u16>,
    failures: u64,
}

#[derive(Debug, Deserialize)]
struct Healthy {
    http_statuses: HashSet<u16>,
    successes: u64,
}

/// Keeps requests from an upstream that fails.
#[allow(missing_debug_implementations)]
pub struct ApiBreaker {
    breakers: Arc<Breakers>,
    scope: Scope,
    rule: Rule,
    unhealthy: HashSet<u16>,
    healthy: HashSet<u16>,
    answer: Reply,
    /// Names and values that are made for each request.
    headers: Vec<(String, Template)>,
}

impl Plugin for ApiBreaker {
    const NAME: &'static str = "api-breaker";
    const PRIORITY: i32 = 1005;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let breakers = env.shared.kept(Breakers::default);
        // What is known of an upstream stays known whatever is changed.
        let scope = breakers.scope(&[Self::NAME, env.owner]);
        let code = config.break_response_code;
        // As APISIX: headers are part of an answer that has a body.
        let headers = match &config.break_response_body {
            Some(_) => config.break_response_headers.unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(Self {
            breakers,
            scope,
            rule: Rule {
                failures: config.unhealthy.failures,
                successes: config.healthy.successes,
                longest: config.max_breaker_sec,
            },
            unhealthy: config.unhealthy.http_statuses,
            healthy: config.healthy.http_statuses,
            answer: match config.break_response_body {
                Some(body) => Reply::text(code, body),
                None => Reply::status(code),
            },
            headers: headers.into_iter().map(HeaderConfig::compile).collect::<Result<_, _>>()?,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self.clone());
        hooks.log = Some(self);
    }
}

impl Access for ApiBreaker {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let now = cx.shared.clock.steady().as_micros() as u64;
        if self.breakers.is_open(&self.key(cx), self.rule, now).is_none() {
            return Step::NEXT;
        }
        let mut reply = self.answer.clone();
        for (name, value) in &self.headers {
            let mut text = Vec::new();
            value.render(cx, &mut text);
            // A variable may have been chosen by the client.
            if Fields::is_value(&text) {
                reply = reply.with(name, &text);
            }
        }
        Step::respond(reply)
    }
}

impl Log for ApiBreaker {
    fn log(&self, cx: &mut Ctx) {
        let Some(status) = cx.response.upstream_status else { return };
        let now = cx.shared.clock.steady().as_micros() as u64;
        if self.unhealthy.contains(&status) {
            self.breakers.fail(&self.key(cx), self.rule, now);
        } else if self.healthy.contains(&status) {
            self.breakers.succeed(&self.key(cx), self.rule, now);
        }
    }
}

impl ApiBreaker {
    /// Whose failures are counted together.
    fn key<'a>(&self, cx: &'a Ctx) -> (Scope, &'a str, &'a [u8]) {
        (self.scope, &cx.request.host, &cx.request.path)
    }
}

impl HeaderConfig {
    fn compile(self) -> Result<(String, Template), BuildError> {
        let Self { key, value } = self;
        let is_framing = ["content-length", "transfer-encoding"].iter().any(|name| key.eq_ignore_ascii_case(name));
        if !Fields::is_name(key.as_bytes()) || is_framing {
            return Err(format!("break_response_headers: \"{}\" cannot be set", key.escape_debug()).into());
        }
        Ok((key, Template::compile(&value)))
    }
}
