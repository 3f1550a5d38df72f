#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::header::Header;
use bytes::Bytes;
use model::vars::{Expr, Lookup, Template};
use plugin::{
    BuildEnv, BuildError, Ctx, Hooks, Outcome, Plugin, PluginClass, PluginError, Posture, Reply, ReplyBody, Rewrite,
    RunPolicy, Spec, Step, Verdict,
};
use rand::RngExt;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    abort: Option<AbortConfig>,
    delay: Option<DelayConfig>,
}

#[derive(Debug, Deserialize)]
struct AbortConfig {
    http_status: u64,
    body: Option<String>,
    headers: Option<Map<String, Value>>,
    percentage: Option<u8>,
    vars: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct DelayConfig {
    duration: f64,
    percentage: Option<u8>,
    vars: Option<Vec<Value>>,
}

/// Makes requests wait or fail.
#[derive(Debug)]
pub struct FaultInjection {
    abort: Option<(Occasion, Abort)>,
    delay: Option<(Occasion, Duration)>,
}

#[derive(Debug)]
struct Abort {
    status: u16,
    body: Option<Template>,
    headers: Vec<Header>,
}

/// When a fault happens.
#[derive(Debug)]
struct Occasion {
    percentage: Option<u8>,
    /// One has to hold; a list without any never does.
    conditions: Option<Vec<Expr>>,
}

impl Plugin for FaultInjection {
    const NAME: &'static str = "fault-injection";
    const PRIORITY: i32 = 11_000;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let abort = match config.abort {
            Some(abort) => Some((Occasion::compile(abort.percentage, abort.vars.as_deref())?, Abort::compile(&abort)?)),
            None => None,
        };
        let delay = match config.delay {
            Some(delay) => {
                let duration = Duration::try_from_secs_f64(delay.duration)
                    .map_err(|error| BuildError(format!("delay.duration: {error}")))?;
                Some((Occasion::compile(delay.percentage, delay.vars.as_deref())?, duration))
            }
            None => None,
        };
        Ok(Self { abort, delay })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for FaultInjection {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let delay = match self.delay.as_ref().map(|(occasion, time)| (occasion.comes(cx), time)) {
            Some((Err(error), _)) => return Step::Ready(Err(error)),
            Some((Ok(true), time)) => Some(*time),
            _ => None,
        };
        match delay {
            Some(time) => Step::Wait(Box::pin(async move {
                cx.sleep(time).await;
                self.abort(cx)
            })),
            None => Step::Ready(self.abort(cx)),
        }
    }
}

impl FaultInjection {
    fn abort(&self, cx: &Ctx) -> Outcome {
        match &self.abort {
            Some((occasion, abort)) if occasion.comes(cx)? => Ok(abort.reply(cx).into()),
            _ => Ok(Verdict::Next),
        }
    }
}

impl Abort {
    fn compile(config: &AbortConfig) -> Result<Self, BuildError> {
        let status = u16::try_from(config.http_status).ok().filter(|status| *status <= 999);
        let headers = config.headers.iter().flatten();
        Ok(Self {
            status: status
                .ok_or_else(|| BuildError(format!("abort.http_status {} is no status", config.http_status)))?,
            body: config.body.as_deref().map(Template::compile),
            headers: headers.map(|(name, value)| Header::of_response(name, value)).collect::<Result<_, _>>()?,
        })
    }

    fn reply(&self, lookup: &dyn Lookup) -> Reply {
        let mut reply = Reply::status(self.status);
        for header in &self.headers {
            let value = header.render(lookup);
            if !value.is_empty() {
                reply.fields.set(&header.name, &value);
            }
        }
        if let Some(body) = &self.body {
            let mut text = Vec::new();
            body.render(lookup, &mut text);
            reply.body = ReplyBody::Bytes(Bytes::from(text));
        }
        reply
    }
}

impl Occasion {
    fn compile(percentage: Option<u8>, vars: Option<&[Value]>) -> Result<Self, BuildError> {
        let conditions = vars.map(|vars| vars.iter().map(Expr::compile).collect::<Result<_, _>>()).transpose();
        Ok(Self { percentage, conditions: conditions.map_err(|error| BuildError(error.to_string()))? })
    }

    fn comes(&self, lookup: &dyn Lookup) -> Result<bool, PluginError> {
        if self.percentage.is_some_and(|percentage| rand::rng().random_range(1..=100) > percentage) {
            return Ok(false);
        }
        let Some(conditions) = &self.conditions else { return Ok(true) };
        for condition in conditions {
            if condition.eval(lookup).map_err(|fault| PluginError(fault.to_string()))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
