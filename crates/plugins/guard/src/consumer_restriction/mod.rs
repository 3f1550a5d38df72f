#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::refusal;
use plugin::{Access, BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    #[serde(rename = "type")]
    subject: Subject,
    blacklist: Option<HashSet<String>>,
    whitelist: Option<HashSet<String>>,
    allowed_by_methods: Option<Vec<AllowedByMethods>>,
    rejected_code: u64,
    rejected_msg: Option<String>,
}

#[derive(Debug, Deserialize)]
struct AllowedByMethods {
    user: Option<String>,
    methods: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Subject {
    ConsumerName,
    ServiceId,
    RouteId,
    ConsumerGroupId,
}

/// Lets consumers in, or requests of routes and services.
#[derive(Debug)]
pub struct ConsumerRestriction {
    subject: Subject,
    denied: HashSet<String>,
    allowed: Option<HashSet<String>>,
    methods: HashMap<String, Vec<String>>,
    /// There is nobody to ask about.
    nobody: Reply,
    refusal: Reply,
}

impl Plugin for ConsumerRestriction {
    const NAME: &'static str = "consumer-restriction";
    const PRIORITY: i32 = 2400;
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
        let name = config.subject.as_str();
        let mut methods = HashMap::new();
        for entry in config.allowed_by_methods.into_iter().flatten() {
            if let Some(user) = entry.user {
                methods.entry(user).or_insert_with(|| entry.methods.unwrap_or_default());
            }
        }
        let message = config.rejected_msg.unwrap_or_else(|| format!("The {name} is forbidden."));
        Ok(Self {
            subject: config.subject,
            denied: config.blacklist.unwrap_or_default(),
            allowed: config.whitelist,
            methods,
            nobody: refusal::message(
                401,
                &format!("The request is rejected, please check the {name} for this request"),
            ),
            refusal: refusal::message(refusal::status(config.rejected_code)?, &message),
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for ConsumerRestriction {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let Some(value) = self.subject.of(cx) else { return Step::respond(self.nobody.clone()) };
        if self.passes(value, cx.request.method.as_str()) { Step::NEXT } else { Step::respond(self.refusal.clone()) }
    }
}

impl ConsumerRestriction {
    fn passes(&self, value: &str, method: &str) -> bool {
        if self.denied.contains(value) {
            return false;
        }
        if let Some(allowed) = &self.allowed {
            return allowed.contains(value);
        }
        self.methods.get(value).is_none_or(|methods| methods.iter().any(|allowed| allowed == method))
    }
}

impl Subject {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ConsumerName => "consumer_name",
            Self::ServiceId => "service_id",
            Self::RouteId => "route_id",
            Self::ConsumerGroupId => "consumer_group_id",
        }
    }

    fn of(self, cx: &Ctx) -> Option<&str> {
        match self {
            Self::ConsumerName => cx.consumer().map(|consumer| &*consumer.name),
            Self::ConsumerGroupId => cx.consumer()?.group_id.as_deref(),
            Self::RouteId => cx.route.as_deref().map(|route| &*route.id),
            Self::ServiceId => cx.route.as_deref()?.service_id.as_deref(),
        }
    }
}
