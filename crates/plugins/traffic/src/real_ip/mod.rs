#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use ipnet::IpNet;
use model::vars::{Lookup, Value, VarName};
use plugin::{BuildEnv, BuildError, Ctx, Finding, Hooks, Plugin, PluginClass, Posture, Rewrite, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use wire::{ClientAddr, Fields};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    source: String,
    trusted_addresses: Option<Vec<String>>,
    recursive: bool,
}

/// Takes the client's address from what the request says.
#[derive(Debug)]
pub struct RealIp {
    source: Source,
    trusted: Option<Vec<IpNet>>,
}

#[derive(Debug)]
enum Source {
    /// `X-Forwarded-For`: the last address, or the last that is not trusted.
    Chain {
        is_recursive: bool,
    },
    Variable(VarName),
}

impl Plugin for RealIp {
    const NAME: &'static str = "real-ip";
    const PRIORITY: i32 = 23_000;
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
        let trusted = config.trusted_addresses.map(|texts| texts.iter().map(|text| network(text)).collect());
        let source = match &*config.source {
            "http_x_forwarded_for" => Source::Chain { is_recursive: config.recursive },
            name => Source::Variable(VarName::parse(name)),
        };
        Ok(Self { source, trusted: trusted.transpose()? })
    }

    fn lint(config: &serde_json::Value) -> Vec<Finding> {
        let names_its_proxies = config.get("trusted_addresses").is_some_and(|trusted| !trusted.is_null());
        if names_its_proxies {
            return Vec::new();
        }
        let message = "every client may say which address it comes from, and so pass by limits and lists of addresses; name \
                       the proxies in front in trusted_addresses";
        vec![Finding::at("forgeable-address", "/trusted_addresses", message)]
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for RealIp {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if self.trusted.is_some() && !self.is_trusted(cx.client.ip()) {
            return Step::NEXT;
        }
        let said = match &self.source {
            Source::Chain { is_recursive } => self.of_chain(&cx.request.fields, *is_recursive),
            Source::Variable(name) => text(&(&*cx as &dyn Lookup).var(name)),
        };
        match said.as_deref().map(parse) {
            Some(Some(address)) => cx.client = ClientAddr(address),
            Some(None) => tracing::warn!("bad address"),
            None => tracing::warn!("missing real address"),
        }
        Step::NEXT
    }
}

impl RealIp {
    fn is_trusted(&self, ip: IpAddr) -> bool {
        self.trusted.iter().flatten().any(|net| net.contains(&ip))
    }

    /// What the last line says: what is further left was written by somebody further away.
    fn of_chain(&self, fields: &Fields, is_recursive: bool) -> Option<String> {
        let line = fields.get_all("x-forwarded-for").last()?;
        let mut said = line.rsplit(|&b| b == b',').map(|text| String::from_utf8_lossy(text.trim_ascii()).into_owned());
        let mut address = said.next()?;
        if is_recursive && self.trusted.is_some() {
            while address.parse::<IpAddr>().is_ok_and(|ip| self.is_trusted(ip.to_canonical())) {
                let Some(before) = said.next() else { break };
                address = before;
            }
        }
        Some(address)
    }
}

fn text(value: &Value<'_>) -> Option<String> {
    if value.is_absent() {
        return None;
    }
    let mut text = Vec::new();
    value.write_to(&mut text);
    String::from_utf8(text).ok()
}

/// An address with or without brackets and a port; the port is 0 when there is none.
fn parse(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip.to_canonical(), 0));
    }
    let address: SocketAddr = text.parse().ok()?;
    (address.port() != 0).then(|| SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn network(text: &str) -> Result<IpNet, BuildError> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map_err(|_| BuildError(format!("invalid ip address: {text}")))
}
