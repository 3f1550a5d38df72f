#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use bytes::Bytes;
use model::settings;
use plugin::{
    BeforeProxy, BuildEnv, BuildError, Ctx, HeldBody, Hooks, Outbound, OutboundTls, Plugin, PluginClass, PluginError,
    Posture, Rewrite, RunPolicy, Shared, Spec, Step, Trust, UpstreamHead, Verdict,
};
use rand::RngExt;
use serde::Deserialize;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use wire::{BodyError, path::split_query};

/// Bytes of a body that is copied.
const BODY_MAX: u64 = 8 << 20;

/// Bytes of an answer that are read, so that its connection can be used again.
const ANSWER_MAX: usize = 64 << 10;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    host: String,
    path: Option<String>,
    path_concat_mode: Concat,
    sample_ratio: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Concat {
    Replace,
    Prefix,
}

/// Sends copies of requests to another server.
#[derive(Debug)]
pub struct ProxyMirror {
    server: String,
    port: u16,
    tls: Option<OutboundTls>,
    path: Option<(String, Concat)>,
    ratio: f64,
    timeouts: Timeouts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Timeouts {
    connect: Duration,
    send: Duration,
    read: Duration,
}

/// The path and query of the copy that is still to be sent.
#[derive(Default)]
struct Pending(Option<Vec<u8>>);

impl Plugin for ProxyMirror {
    const NAME: &'static str = "proxy-mirror";
    const PRIORITY: i32 = 1010;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: true, calls_out: true },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let (scheme, address) = config.host.split_once("://").unwrap_or_default();
        // Who is asked is who is configured, whatever the name that clients asked for.
        let (is_https, default_port) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => {
                let only = "only over http and https";
                return Err(BuildError(format!("copies cannot be sent over {scheme} by this version, {only}")));
            }
        };
        let (server, port) = split_port(address, default_port)?;
        Ok(Self {
            tls: is_https.then(|| OutboundTls { name: server.clone().into_bytes(), trust: Trust::AsUpstreams }),
            server,
            port,
            path: config.path.map(|path| (path, config.path_concat_mode)),
            ratio: config.sample_ratio,
            timeouts: Timeouts::read(env.attr)?,
        })
    }

    fn prepare(attr: &Value, _: &Arc<Shared>) -> Result<Vec<String>, BuildError> {
        Timeouts::read(attr).map(|_| Vec::new())
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self.clone());
        hooks.before_proxy = Some(self);
    }
}

impl Timeouts {
    fn read(attr: &Value) -> Result<Self, BuildError> {
        let written = |name: &str| match attr.pointer(&format!("/timeout/{name}")) {
            None | Some(Value::Null) => Ok(Duration::from_secs(60)),
            Some(value) => settings::duration(value)
                .ok_or_else(|| BuildError(format!("plugin_attr.proxy-mirror.timeout.{name} is no duration"))),
        };
        Ok(Self { connect: written("connect")?, send: written("send")?, read: written("read")? })
    }
}

/// A server without its brackets, and its port.
fn split_port(address: &str, default: u16) -> Result<(String, u16), BuildError> {
    let after_name = address.rfind(']').unwrap_or(0);
    let (name, port) = match address.get(after_name..).and_then(|rest| rest.find(':')).map(|at| at + after_name) {
        Some(at) => {
            let (name, port) = address.split_at(at);
            let port = port.trim_start_matches(':').parse().ok().filter(|port| *port > 0);
            (name, port.ok_or_else(|| BuildError(format!("the port of {address} is none")))?)
        }
        None => (address, default),
    };
    Ok((name.to_owned(), port))
}

impl Rewrite for ProxyMirror {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if self.ratio >= 1.0 || rand::rng().random::<f64>() < self.ratio {
            let target = cx.upstream.target.as_ref().unwrap_or(&cx.request.target);
            let target = self.target(target);
            cx.state::<Pending>().0 = Some(target);
        }
        Step::NEXT
    }
}

impl BeforeProxy for ProxyMirror {
    fn before_proxy<'a>(&'a self, cx: &'a mut Ctx, head: &'a mut UpstreamHead) -> Step<'a> {
        // Once, however many attempts there are.
        let Some(target) = cx.state::<Pending>().0.take() else { return Step::NEXT };
        if cx.request.body.is_known() {
            let body = cx.request.body.buffered().cloned().unwrap_or_default();
            self.send(cx, head, target, body);
            return Step::NEXT;
        }
        Step::Wait(Box::pin(async move {
            match cx.request.body.gather(BODY_MAX).await {
                Ok(true) => {
                    let body = cx.request.body.buffered().cloned().unwrap_or_default();
                    self.send(cx, head, target, body);
                }
                Ok(false) => tracing::warn!("a request was not copied: its body is longer than {BODY_MAX} bytes"),
                Err(BodyError::NoBudget) => tracing::warn!("a request was not copied: there is no room for its body"),
                Err(error) => return Err(PluginError(error.to_string())),
            }
            Ok(Verdict::Next)
        }))
    }
}

impl ProxyMirror {
    fn target(&self, original: &[u8]) -> Vec<u8> {
        let Some((path, mode)) = &self.path else { return original.to_vec() };
        let mut target = path.clone().into_bytes();
        match (mode, split_query(original)) {
            (Concat::Prefix, _) => target.extend_from_slice(original),
            (Concat::Replace, (_, Some(query))) => {
                target.push(b'?');
                target.extend_from_slice(query);
            }
            (Concat::Replace, (_, None)) => {}
        }
        target
    }

    fn send(&self, cx: &Ctx, head: &UpstreamHead, target: Vec<u8>, body: Bytes) {
        let Some(courier) = cx.directory().courier() else { return };
        // The copy outlives the request, and so does its place in the budget.
        let mut held = HeldBody::new(cx.request.body.limits(), BODY_MAX);
        if held.count(body.len() as u64).is_err() {
            return tracing::warn!("a request was not copied: there is no room for its body");
        }
        let Timeouts { connect, send, read } = self.timeouts;
        let request = Outbound {
            server: self.server.clone(),
            port: self.port,
            tls: self.tls.clone(),
            method: head.method.clone(),
            target,
            host: head.host.clone(),
            fields: head.fields.clone(),
            body,
            connect,
            send,
            read,
            max_answer: ANSWER_MAX,
        };
        let asked = courier.clone().send(request);
        let is_sent = courier.detach(Box::pin(async move {
            if let Err(error) = asked.await {
                tracing::info!(%error, "the answer to a copy was not read");
            }
            drop(held);
        }));
        if !is_sent {
            tracing::warn!("a request was not copied: too many copies are on their way");
        }
    }
}
