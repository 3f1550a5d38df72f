#![doc = include_str!("doc.md")]

mod host;
#[cfg(test)]
mod tests;

use crate::refusal;
use host::Hosts;
use model::differences::DifferenceId;
use plugin::{Access, BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::{borrow::Cow, sync::Arc};
use wire::Fields;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    bypass_missing: bool,
    whitelist: Option<Vec<String>>,
    blacklist: Option<Vec<String>>,
    message: String,
}

/// Lets requests in by the host in their `Referer`.
#[derive(Debug)]
pub struct RefererRestriction {
    hosts: Hosts,
    /// Whether the hosts are those that are let in.
    is_whitelist: bool,
    bypasses_missing: bool,
    /// Whether hosts are compared as the DNS does, and only where there is one.
    is_strict: bool,
    refusal: Reply,
}

impl Plugin for RefererRestriction {
    const NAME: &'static str = "referer-restriction";
    const PRIORITY: i32 = 2990;
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
        let is_strict = env.compat.is_safe(DifferenceId::RefererHost);
        let is_whitelist = config.whitelist.is_some();
        let texts = config.whitelist.or(config.blacklist).unwrap_or_default();
        Ok(Self {
            hosts: Hosts::new(&texts, is_strict),
            is_whitelist,
            bypasses_missing: config.bypass_missing,
            is_strict,
            refusal: refusal::message(403, &config.message),
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for RefererRestriction {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if self.passes(&cx.request.fields) { Step::NEXT } else { Step::respond(self.refusal.clone()) }
    }
}

impl RefererRestriction {
    fn passes(&self, fields: &Fields) -> bool {
        let mut referers = fields.get_all("referer");
        let host = match (referers.next(), referers.next()) {
            (Some(_), Some(_)) if self.is_strict => None,
            (Some(referer), _) if self.is_strict => host::strict(referer),
            (Some(referer), _) => host::literal(referer).map(Cow::Borrowed),
            (None, _) => None,
        };
        host.map_or(self.bypasses_missing, |host| self.hosts.contains(&host) == self.is_whitelist)
    }
}
