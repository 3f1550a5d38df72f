#![doc = include_str!("doc.md")]

mod list;
mod networks;
#[cfg(test)]
mod tests;

use crate::refusal;
use networks::Networks;
use plugin::{
    Access, BuildEnv, BuildError, Ctx, FollowedFile, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step,
    Verdict,
};
use serde::Deserialize;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    whitelist: Option<Vec<String>>,
    blacklist: Option<Vec<String>>,
    allowlist_file: Option<String>,
    denylist_file: Option<String>,
    message: String,
    response_code: u16,
}

/// Lets clients in by their addresses.
#[allow(missing_debug_implementations)]
pub struct IpRestriction {
    list: List,
    /// Whether the networks are those that are let in.
    is_whitelist: bool,
    refusal: Reply,
}

/// Where networks are written.
enum List {
    Here(Networks),
    File(Arc<FollowedFile<Networks>>),
}

/// A request waits so often, and so long each time, for a file that was not looked at yet.
const PATIENCE: (usize, Duration) = (500, Duration::from_millis(10));

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

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let is_whitelist = config.whitelist.is_some() || config.allowlist_file.is_some();
        let list = match (config.whitelist.or(config.blacklist), config.allowlist_file.or(config.denylist_file)) {
            (Some(texts), _) => {
                let invalid = |text: &str| BuildError(format!("invalid ip address: {text}"));
                List::Here(Networks::parse(&texts).map_err(invalid)?)
            }
            (None, Some(path)) => List::File(env.shared.follow(&path)?),
            (None, None) => return Err("there is no list".to_owned().into()),
        };
        Ok(Self { list, is_whitelist, refusal: refusal::message(config.response_code, &config.message) })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for IpRestriction {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        match &self.list {
            List::Here(networks) => Step::Ready(Ok(self.judge(networks, cx.client.ip()))),
            List::File(file) => match file.content() {
                Some(networks) => Step::Ready(Ok(self.judge(&networks, cx.client.ip()))),
                None => Step::Wait(Box::pin(async move { Ok(self.judge_when_read(file, cx).await) })),
            },
        }
    }
}

impl IpRestriction {
    fn judge(&self, networks: &Networks, client: IpAddr) -> Verdict {
        if networks.contains(client) == self.is_whitelist { Verdict::Next } else { self.refusal.clone().into() }
    }

    /// A file is read soon after its path is configured. While nothing of it can be used, nobody is let in.
    async fn judge_when_read(&self, file: &FollowedFile<Networks>, cx: &Ctx) -> Verdict {
        let (turns, pause) = PATIENCE;
        for _ in 0..turns {
            if file.is_looked_at() {
                break;
            }
            cx.sleep(pause).await;
        }
        match file.content() {
            Some(networks) => self.judge(&networks, cx.client.ip()),
            // The log says why, once.
            None => Reply::status(503).into(),
        }
    }
}
