//! Documents that are fetched: one copy for all that name the same, which lives as long as any of them.

use super::{
    OasValidator,
    address::Address,
    spec::{self, Spec, Wanted},
};
use bytes::Bytes;
use parking_lot::Mutex;
use plugin::{Clock, Ctx, Outbound, OutboundAnswer, OutboundError, OutboundTls, Shared, Trust};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore, oneshot};
use wire::{Fields, Method};

/// How long a document is good where no metadata says it.
const TTL: Duration = Duration::from_secs(3600);

/// After a failure nobody asks again for so long: where there is no copy, and where there is an old one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// A document's place, and the copy of it that is shared.
pub(super) struct Source {
    request: Outbound,
    shown: String,
    timeout: Duration,
    wanted: Wanted,
    copy: Arc<Copy>,
    compiling: Arc<Compiling>,
}

/// One document is compiled at a time, on a thread of its own: a large one takes a moment.
struct Compiling(Arc<Semaphore>);

/// What is known of a document.
#[derive(Default)]
struct Copy {
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Default)]
struct State {
    /// The last one that was good, and when it came.
    spec: Option<(Arc<Spec>, Duration)>,
    /// When the last try failed, if it did.
    failed: Option<Duration>,
    is_asked: bool,
}

/// What there is of a document.
pub(super) enum Found {
    Spec(Arc<Spec>),
    /// It is on its way.
    Soon,
    /// It could not be had a moment ago.
    Nothing,
}

impl Source {
    pub(super) fn new(
        address: &Address,
        fields: Fields,
        timeout: Duration,
        is_verified: bool,
        wanted: Wanted,
        shared: &Shared,
    ) -> Self {
        // What was had over http is not what a certificate vouches for.
        let mut key = format!("{}|{is_verified}|{wanted:?}|{}|{}", address.is_https, address.host, address.target);
        for (name, value) in fields.iter() {
            key.push_str(&format!("|{:?}={:?}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        }
        Self {
            request: Outbound {
                server: address.server.clone(),
                port: address.port,
                tls: address.is_https.then(|| OutboundTls {
                    name: address.server.clone().into_bytes(),
                    trust: if is_verified { Trust::Verified } else { Trust::Unverified },
                }),
                method: Method::Get,
                target: address.target.clone().into_bytes(),
                host: address.host.clone().into_bytes(),
                fields,
                body: Bytes::new(),
                connect: timeout,
                send: timeout,
                read: timeout,
                max_answer: spec::LONGEST,
            },
            shown: address.shown(),
            timeout,
            wanted,
            copy: shared.keyed(&key, Copy::default),
            compiling: shared.kept(|| Compiling(Arc::new(Semaphore::new(1)))),
        }
    }

    /// The copy that there is. One that is too old is asked for again meanwhile, and so is one that is not there.
    pub(super) fn find(&self, cx: &Ctx) -> Found {
        let clock = &cx.shared.clock;
        let now = clock.steady();
        let ttl = cx.metadata::<OasValidator>().map_or(TTL, |metadata| Duration::from_secs(metadata.spec_url_ttl));
        let has_passed = |since: Duration, time: Duration| now.saturating_sub(since) >= time;
        let mut state = self.copy.state.lock();
        let (is_due, pause) = match &state.spec {
            Some((_, at)) => (has_passed(*at, ttl), PAUSES.1),
            None => (true, PAUSES.0),
        };
        let may_ask = is_due && !state.is_asked && state.failed.is_none_or(|at| has_passed(at, pause));
        state.is_asked |= may_ask;
        let found = match &state.spec {
            Some((spec, _)) => Found::Spec(spec.clone()),
            None if state.is_asked => Found::Soon,
            None => Found::Nothing,
        };
        drop(state);
        if may_ask {
            self.ask(cx, Asking { copy: self.copy.clone(), clock: clock.clone(), shown: self.shown.clone() });
        }
        found
    }

    /// The copy, once it has come; `None` when it cannot be had.
    pub(super) async fn wait(&self, cx: &Ctx) -> Option<Arc<Spec>> {
        loop {
            let settled = self.copy.settled.notified();
            let mut settled = std::pin::pin!(settled);
            settled.as_mut().enable();
            match self.find(cx) {
                Found::Spec(spec) => return Some(spec),
                Found::Nothing => return None,
                Found::Soon => settled.await,
            }
        }
    }

    /// Asks beside the request that found it missing, whose client may go away.
    fn ask(&self, cx: &Ctx, asking: Asking) {
        let Some(courier) = cx.directory().courier() else { return };
        let answer = courier.clone().send(self.request.clone());
        let (timeout, wanted, compiling) = (self.timeout, self.wanted, self.compiling.0.clone());
        let is_asked = courier.detach(Box::pin(async move {
            let fetched = fetch(answer, timeout, wanted, &compiling).await;
            asking.end(fetched);
        }));
        if !is_asked {
            tracing::error!("too much goes on beside requests, a document of OpenAPI is not fetched");
        }
    }
}

/// Fetches and compiles a document.
async fn fetch(
    answer: impl Future<Output = Result<OutboundAnswer, OutboundError>>,
    timeout: Duration,
    wanted: Wanted,
    compiling: &Semaphore,
) -> Result<Spec, String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to fetch spec from URL: {error}");
    let answer = match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer.map_err(|error| failed(&error))?,
        Err(_) => return Err(failed(&"it did not come in time")),
    };
    if answer.status != 200 {
        return Err(format!("spec URL returned status {}", answer.status));
    }
    let _turn = compiling.acquire().await.map_err(|error| failed(&error))?;
    let (done, is_done) = oneshot::channel();
    std::thread::Builder::new()
        .name("openapi".to_owned())
        .spawn(move || drop(done.send(Spec::read(&answer.body, wanted))))
        .map_err(|error| failed(&error))?;
    // A panic of the compiler drops the other end.
    let compiled = is_done.await.map_err(|_| failed(&"the document could not be compiled"))?;
    compiled.map_err(|error| format!("spec fetched from URL: {error}"))
}

/// A document that is asked for; whoever drops it has failed.
struct Asking {
    copy: Arc<Copy>,
    clock: Clock,
    shown: String,
}

impl Asking {
    fn end(self, fetched: Result<Spec, String>) {
        match fetched {
            Ok(spec) => {
                tracing::info!(url = self.shown, "a document of OpenAPI was fetched");
                let mut state = self.copy.state.lock();
                (state.spec, state.failed) = (Some((Arc::new(spec), self.clock.steady())), None);
                state.is_asked = false;
            }
            Err(error) => {
                let has_old = self.copy.state.lock().spec.is_some();
                tracing::error!(url = self.shown, %error, has_old, "a document of OpenAPI cannot be had");
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.copy.state.lock();
        if std::mem::take(&mut state.is_asked) {
            state.failed = Some(self.clock.steady());
        }
        drop(state);
        self.copy.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_alike_is_shared() {
        let shared = Shared::default();
        let source = |url: &str, header: &str, is_verified: bool, answers: bool| {
            let fields = [("X-A", header)].into_iter().collect();
            let wanted = Wanted { answers, request_members: false };
            let address = Address::parse(url).unwrap();
            Source::new(&address, fields, Duration::from_secs(1), is_verified, wanted, &shared)
        };
        let first = source("https://a/x?y=1", "1", true, false);
        for (url, header, is_verified, answers, is_shared) in [
            ("https://a/x?y=1", "1", true, false, true),
            ("http://a/x?y=1", "1", true, false, false),
            ("https://a/x?y=2", "1", true, false, false),
            ("https://a:444/x?y=1", "1", true, false, false),
            ("https://a/x?y=1", "2", true, false, false),
            ("https://a/x?y=1", "1", false, false, false),
            ("https://a/x?y=1", "1", true, true, false),
        ] {
            let other = source(url, header, is_verified, answers);
            let shares = Arc::ptr_eq(&first.copy, &other.copy);
            assert_eq!(shares, is_shared, "{url} {header} {is_verified} {answers}");
        }
    }
}
