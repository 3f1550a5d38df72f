//! Asks upstreams for their GraphQL schema, and remembers what they say.

use super::upstream_schema::{QUESTION, UpstreamSchema};
use bytes::Bytes;
use parking_lot::Mutex;
use plugin::{BuildError, Courier, Ctx, Outbound, OutboundTls, ServiceNode, Trust};
use serde_json::json;
use std::{collections::HashMap, rc::Rc, sync::Arc, time::Duration};
use wire::{Fields, Method};

/// Times for connecting, between two writes and between two reads, as APISIX's.
const TIMEOUTS: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(2), Duration::from_secs(5)];

/// Time for all of it: an answer that trickles is none.
const WHOLE: Duration = Duration::from_secs(10);

/// Bytes of an answer. The schemas of the largest public services have about two million.
const MAX_ANSWER: usize = 8 << 20;

/// An upstream that gave no schema is not asked again for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// A schema is asked for again after so long, beside the requests that go on with what is known.
const FRESH: Duration = Duration::from_secs(600);

/// What a plugin instance knows of upstreams' schemas, by service.
pub(super) struct Introspection {
    endpoint: Option<Endpoint>,
    fields: Fields,
    host: Option<Vec<u8>>,
    services: Mutex<HashMap<Arc<str>, Arc<Known>>>,
}

/// Whether the route has chosen these, and not the client: what is asked with them counts for everybody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trusted {
    pub(super) path: bool,
    pub(super) host: bool,
}

/// A URL that is asked.
struct Endpoint {
    is_https: bool,
    node: ServiceNode,
    target: Vec<u8>,
}

#[derive(Default)]
struct Known {
    /// Held by the one that asks.
    asking: tokio::sync::Mutex<()>,
    last: Mutex<Last>,
}

/// What was last said.
#[derive(Clone, Default)]
struct Last {
    schema: Option<Arc<UpstreamSchema>>,
    /// When there was an answer, or none; on the clock that does not go back.
    at: Duration,
    /// Why there was none.
    failure: Option<String>,
}

/// What is to be done with what is known.
enum Next {
    Use(Arc<UpstreamSchema>),
    /// And ask again beside.
    UseAndRenew(Arc<UpstreamSchema>),
    Ask,
    GiveUp(String),
}

impl Last {
    fn next(&self, now: Duration) -> Next {
        let age = now.saturating_sub(self.at);
        match (&self.schema, &self.failure) {
            (Some(schema), None) if age < FRESH => Next::Use(schema.clone()),
            (Some(schema), Some(_)) if age < PAUSE => Next::Use(schema.clone()),
            (Some(schema), _) => Next::UseAndRenew(schema.clone()),
            (None, Some(failure)) if age < PAUSE => Next::GiveUp(failure.clone()),
            (None, _) => Next::Ask,
        }
    }
}

impl Introspection {
    /// `endpoint` is a URL instead of the service's own place; `headers` go with the question.
    pub(super) fn compile(endpoint: Option<&str>, headers: &HashMap<String, String>) -> Result<Self, BuildError> {
        let mut fields = Fields::new();
        fields.set("Content-Type", b"application/json");
        let mut host = None;
        for (name, value) in headers {
            if !Fields::is_name(name.as_bytes()) || !Fields::is_value(value.as_bytes()) {
                return Err(format!("introspection_headers: \"{}\" cannot be sent", name.escape_debug()).into());
            }
            if OF_CONNECTION.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                return Err(format!("introspection_headers: {name} is not for configurations to set").into());
            }
            if name.eq_ignore_ascii_case("host") {
                host = Some(value.as_bytes().to_vec());
            } else {
                fields.set(name, value.as_bytes());
            }
        }
        let endpoint = endpoint.map(Endpoint::parse).transpose()?;
        Ok(Self { endpoint, fields, host, services: Mutex::default() })
    }

    /// The schema of a service's upstream. Of all requests that need it at one time one asks.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn schema(
        self: &Arc<Self>,
        cx: &Ctx,
        service: &Arc<str>,
        trusted: Trusted,
    ) -> Result<Arc<UpstreamSchema>, String> {
        let known = self.services.lock().entry(service.clone()).or_default().clone();
        let now = || cx.shared.clock.steady();
        // Bound, so that no lock is held while one waits.
        let next = known.last.lock().next(now());
        match next {
            Next::Use(schema) => return Ok(schema),
            Next::GiveUp(failure) => return Err(failure),
            Next::UseAndRenew(schema) => {
                self.renew(cx, known, service, trusted);
                return Ok(schema);
            }
            Next::Ask => {}
        }
        let _asking = known.asking.lock().await;
        // Another one may have asked meanwhile.
        let next = known.last.lock().next(now());
        match next {
            Next::Use(schema) | Next::UseAndRenew(schema) => return Ok(schema),
            Next::GiveUp(failure) => return Err(failure),
            Next::Ask => {}
        }
        let answer = match self.prepare(cx, trusted) {
            Ok((courier, question)) => ask(courier, question).await,
            Err(failure) => Err(failure),
        };
        known.note(service, answer.clone(), now());
        answer
    }

    /// Asks again beside the request, unless that goes on already.
    fn renew(self: &Arc<Self>, cx: &Ctx, known: Arc<Known>, service: &Arc<str>, trusted: Trusted) {
        if known.asking.try_lock().is_err() {
            return;
        }
        let Ok((courier, question)) = self.prepare(cx, trusted) else { return };
        let (shared, service) = (cx.shared.clone(), service.clone());
        // Where so much goes on already, the next request tries it.
        courier.clone().detach(Box::pin(async move {
            let Ok(_asking) = known.asking.try_lock() else { return };
            let answer = ask(courier, question).await;
            known.note(&service, answer, shared.clock.steady());
        }));
    }

    fn prepare(&self, cx: &Ctx, trusted: Trusted) -> Result<(Rc<dyn Courier>, Outbound), String> {
        let courier = cx.directory().courier().ok_or("there is no network")?;
        let (node, target) = match &self.endpoint {
            Some(endpoint) => (endpoint.node.clone(), endpoint.target.clone()),
            None if !trusted.path => {
                return Err("the client chooses the path here, set introspection_endpoint".to_owned());
            }
            None => {
                let route = cx.route.as_deref().ok_or("there is no route")?;
                // Without one the node is asked by its own name, unless its upstream has another for it.
                let authority: &[u8] = if trusted.host { &cx.request.authority } else { b"" };
                let node = cx.directory().service_node(route, authority);
                let target = cx.upstream.target.as_ref().unwrap_or(&cx.request.target);
                let path = wire::path::split_query(target).0.to_vec();
                (node.ok_or("the route has no upstream nodes, set introspection_endpoint")?, path)
            }
        };
        let [connect, send, read] = TIMEOUTS;
        let tls = match (&self.endpoint, node.tls) {
            (Some(endpoint), _) => endpoint.tls(),
            (None, tls) => tls.map(|tls| OutboundTls { name: node.host.clone(), trust: Trust::AsUpstream(tls) }),
        };
        let question = Outbound {
            server: node.server,
            port: node.port,
            tls,
            method: Method::Post,
            target,
            host: self.host.clone().unwrap_or(node.host),
            fields: self.fields.clone(),
            body: Bytes::from(json!({ "query": QUESTION }).to_string()),
            connect,
            send,
            read,
            max_answer: MAX_ANSWER,
        };
        Ok((courier, question))
    }
}

impl Known {
    fn note(&self, service: &str, answer: Result<Arc<UpstreamSchema>, String>, now: Duration) {
        let mut last = self.last.lock();
        last.at = now;
        match answer {
            Ok(schema) => (last.schema, last.failure) = (Some(schema), None),
            Err(reason) => {
                let has_old = last.schema.is_some();
                tracing::error!(%service, reason, has_old, "an upstream did not tell its GraphQL schema");
                last.failure = Some(reason);
            }
        }
    }
}

async fn ask(courier: Rc<dyn Courier>, question: Outbound) -> Result<Arc<UpstreamSchema>, String> {
    let place = format!("{}:{}", question.server, question.port);
    let answer = match tokio::time::timeout(WHOLE, courier.send(question)).await {
        Ok(answer) => answer.map_err(|error| format!("{place}: {error}"))?,
        Err(_) => return Err(format!("{place}: the answer takes too long")),
    };
    if answer.status != 200 {
        return Err(format!("{place}: unexpected status {}", answer.status));
    }
    UpstreamSchema::read(&answer.body).map(Arc::new).map_err(|reason| format!("{place}: {reason}"))
}

/// Fields that say how the message is framed, or what is done with the connection.
const OF_CONNECTION: [&str; 8] =
    ["connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

impl Endpoint {
    fn tls(&self) -> Option<OutboundTls> {
        self.is_https.then(|| OutboundTls { name: self.node.host.clone(), trust: Trust::AsUpstreams })
    }

    fn parse(url: &str) -> Result<Self, BuildError> {
        let refuse = |reason: &str| Err(BuildError(format!("introspection_endpoint: {reason}")));
        let (is_https, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return refuse("it is neither http:// nor https://"),
        };
        if rest.bytes().any(|byte| byte <= b' ' || byte >= 0x7f || byte == b'#') {
            return refuse("it has characters that a URL has not");
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let after_name = authority.rfind(']').map_or(0, |at| at + 1);
        let (name, port) = match authority.get(after_name..).and_then(|rest| rest.find(':')) {
            Some(at) => authority.split_at(after_name + at),
            None if is_https => (authority, ":443"),
            None => (authority, ":80"),
        };
        let port = port.trim_start_matches(':').parse::<u16>().ok().filter(|port| *port > 0);
        let server = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match port {
            Some(port) if !server.is_empty() && !authority.contains('@') => Ok(Self {
                is_https,
                node: ServiceNode { server: server.to_owned(), port, host: authority.as_bytes().to_vec(), tls: None },
                target: if target.starts_with('/') { target.into() } else { format!("/{target}").into() },
            }),
            _ => refuse("it has no host and port that can be reached"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_kept_and_asked_for_again_now_and_then() {
        let schema = r#"{"data":{"__schema":{"types":[]}}}"#;
        let schema = || UpstreamSchema::read(schema.as_bytes()).map(Arc::new);
        let failed = || Err("it is away".to_owned());
        let known = Known::default();
        let next = |seconds: u64| match known.last.lock().next(Duration::from_secs(seconds)) {
            Next::Use(_) => "use",
            Next::UseAndRenew(_) => "use and renew",
            Next::Ask => "ask",
            Next::GiveUp(_) => "give up",
        };
        assert_eq!(next(0), "ask");
        known.note("s", failed(), Duration::from_secs(100));
        assert_eq!((next(100), next(109), next(110)), ("give up", "give up", "ask"));
        known.note("s", schema(), Duration::from_secs(110));
        assert_eq!((next(110), next(709), next(710)), ("use", "use", "use and renew"));
        // What was known is better than nothing, as long as the upstream says nothing else.
        known.note("s", failed(), Duration::from_secs(710));
        assert_eq!((next(710), next(719), next(720)), ("use", "use", "use and renew"));
        known.note("s", schema(), Duration::from_secs(720));
        assert_eq!((next(720), next(1319), next(1320)), ("use", "use", "use and renew"));
    }
}
