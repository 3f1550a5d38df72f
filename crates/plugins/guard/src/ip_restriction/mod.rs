#![doc = include_str!("doc.md")]

mod networks;
#[cfg(test)]
mod tests;

use crate::refusal;
use networks::Networks;
use plugin::{Access, BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::sync::Arc;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    whitelist: Option<Vec<String>>,
    blacklist: Option<Vec<String>>,
    message: String,
    response_code: u16,
}

/// Lets clients in by their addresses.
#[derive(Debug)]
pub struct IpRestriction {
    networks: Networks,
    /// Whether the networks are those that are let in.
    is_whitelist: bool,
    refusal: Reply,
}

impl Plugin for IpRestriction {
    const NAME: &'static str = "ip-restriction";
    const PRIORITY: i32 = 3000;
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
        let is_whitelist = config.whitelist.is_some();
        let texts = config.whitelist.or(config.blacklist).unwrap_or_default();
        let networks = Networks::parse(&texts).map_err(|text| BuildError(format!("invalid ip address: {text}")))?;
        Ok(Self { networks, is_whitelist, refusal: refusal::message(config.response_code, &config.message) })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for IpRestriction {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if self.networks.contains(cx.client.ip()) == self.is_whitelist {
            return Step::NEXT;
        }
        Step::respond(self.refusal.clone())
    }
}
