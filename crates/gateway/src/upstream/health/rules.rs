use model::documents::{Active, CheckType, Checks, Passive};
use std::time::Duration;

/// Checks of one upstream at the same time, whatever it asks for.
const MAX_CONCURRENCY: usize = 64;
/// A step of a check may take so long at the most.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// Something that was seen of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// It answered with this status; 0 for an answer that has none.
    Status(u16),
    /// It let itself be connected to, and nothing more was asked.
    Connected,
    /// It could not be connected to, or closed without an answer.
    Tcp,
    /// It did not answer in time.
    Timeout,
}

/// What that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    HttpFailure,
    TcpFailure,
    Timeout,
}

/// How many in a row decide; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit(pub(super) u32);

/// Who has seen something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Active,
    Passive,
}

/// Everything of a request before the value of `Host`, and everything behind it.
type Request = (Box<[u8]>, Box<[u8]>);

/// Checks as compiled.
#[derive(Debug)]
pub(crate) struct Rules {
    written: Checks,
    pub(super) kind: CheckType,
    /// Whether certificates have to be good for a check over TLS.
    pub(super) verifies: bool,
    pub(super) timeout: Duration,
    pub(super) concurrency: usize,
    /// Between checks of usable targets, and of others.
    pub(super) intervals: [Option<Duration>; 2],
    pub(super) request: Request,
    active: Judgement,
    passive: Judgement,
    /// Whether the answers to requests count.
    pub(super) counts_answers: bool,
}

#[derive(Debug)]
struct Judgement {
    good: Box<[u16]>,
    bad: Box<[u16]>,
    successes: Limit,
    http: Limit,
    tcp: Limit,
    timeouts: Limit,
}

impl Judgement {
    fn of(&self, report: Report) -> Option<(Verdict, Limit)> {
        Some(match report {
            Report::Connected => (Verdict::Success, self.successes),
            Report::Status(status) if self.good.contains(&status) => (Verdict::Success, self.successes),
            Report::Status(status) if status == 0 || self.bad.contains(&status) => (Verdict::HttpFailure, self.http),
            Report::Status(_) => return None,
            Report::Tcp => (Verdict::TcpFailure, self.tcp),
            Report::Timeout => (Verdict::Timeout, self.timeouts),
        })
    }
}

impl Rules {
    /// Compiles checks.
    ///
    /// # Errors
    /// What of them cannot be done.
    pub(crate) fn compile(written: &Checks) -> Result<Self, String> {
        let active = &written.active;
        let seconds = |n: u32| (n > 0).then(|| Duration::from_secs(n.into()));
        let passive = written.passive.clone().unwrap_or_default();
        Ok(Self {
            kind: active.kind,
            verifies: active.https_verify_certificate,
            timeout: Duration::try_from_secs_f64(active.timeout)
                .ok()
                .filter(|timeout| !timeout.is_zero())
                .map_or(MAX_TIMEOUT, |timeout| timeout.min(MAX_TIMEOUT)),
            concurrency: usize::try_from(active.concurrency).unwrap_or(1).clamp(1, MAX_CONCURRENCY),
            intervals: [seconds(active.healthy.interval), seconds(active.unhealthy.interval)],
            request: request(active)?,
            active: Judgement {
                good: active.healthy.http_statuses.as_slice().into(),
                bad: active.unhealthy.http_statuses.as_slice().into(),
                successes: Limit(active.healthy.successes),
                http: Limit(active.unhealthy.http_failures),
                tcp: Limit(active.unhealthy.tcp_failures),
                timeouts: Limit(active.unhealthy.timeouts),
            },
            passive: judge_passively(&passive),
            counts_answers: written.passive.is_some(),
            written: written.clone(),
        })
    }

    /// Whether it was compiled from the same checks.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.written == other.written
    }

    pub(super) fn judge(&self, way: Way, report: Report) -> Option<(Verdict, Limit)> {
        match way {
            Way::Active => self.active.of(report),
            Way::Passive => self.passive.of(report),
        }
    }

    /// The host and the port that checks name instead of a node's own.
    pub(super) fn host_and_port(&self) -> (Option<&str>, Option<u16>) {
        (self.written.active.host.as_deref(), self.written.active.port)
    }
}

fn judge_passively(passive: &Passive) -> Judgement {
    Judgement {
        good: passive.healthy.http_statuses.as_slice().into(),
        bad: passive.unhealthy.http_statuses.as_slice().into(),
        successes: Limit(passive.healthy.successes),
        http: Limit(passive.unhealthy.http_failures),
        tcp: Limit(passive.unhealthy.tcp_failures),
        timeouts: Limit(passive.unhealthy.timeouts),
    }
}

fn request(active: &Active) -> Result<Request, String> {
    if !is_line(&active.http_path) || active.http_path.contains(' ') {
        return Err("checks.active.http_path has spaces or control characters; they must be percent-encoded".to_owned());
    }
    let mut before = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", active.http_method, active.http_path);
    for (index, header) in active.req_headers.iter().enumerate() {
        if !is_line(header) {
            return Err(format!("checks.active.req_headers[{index}] has control characters"));
        }
        if !header.is_empty() {
            before.push_str(header);
            before.push_str("\r\n");
        }
    }
    before.push_str("Host: ");
    let body = &active.http_req_body;
    let after = match body.is_empty() {
        true => "\r\n\r\n".to_owned(),
        false => format!("\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    };
    Ok((before.into_bytes().into(), after.into_bytes().into()))
}

/// Whether a text stays on its line.
fn is_line(text: &str) -> bool {
    !text.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f)
}
