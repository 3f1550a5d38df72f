use crate::{
    Limits, Timer,
    h1::{is_forbidden_trailer, parse},
    pace::Pace,
};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};
use wire::{
    BodyError, BodyLength, BodySource, Downstream, Fields, Frame, Method, RequestHead, ResponseHead, SendError, Source,
    Version, downstream::Tunnel,
};

/// Bytes queued for a client before the upstream has to wait.
const QUEUE_MAX: usize = 128 << 10;

/// One request on an HTTP/2 connection.
pub(super) struct H2Stream {
    state: RefCell<State>,
}

struct State {
    recv: RecvStream,
    length: BodyLength,
    is_read: bool,
    /// Whether the client sends its body only when it is told to.
    wants_continue: bool,
    failed: Option<BodyError>,
    to_release: usize,
    body_bytes: u64,
    body_max: Option<u64>,
    pace: Pace,
    send: Send,
    queue: VecDeque<Bytes>,
    queued: usize,
    end: Option<HeaderMap>,
    is_ended: bool,
    last_write: Instant,
    sent_head: u64,
    sent_body: u64,
    received_head: u64,
    is_gone: bool,
    is_head: bool,
    left: Option<u64>,
    timer: Timer,
    limits: Rc<Limits>,
    requests: u64,
}

enum Send {
    Head(SendResponse<Bytes>),
    Body(SendStream<Bytes>),
    Over,
}

/// Turns a request into a head and its stream; what is malformed is answered at once.
pub(super) fn receive(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    limits: &Rc<Limits>,
    requests: u64,
) -> Result<(RequestHead, Rc<H2Stream>), (u16, &'static str)> {
    let (parts, recv) = request.into_parts();
    let (head, received_head) = match read_head(&parts, limits) {
        Ok(read) => read,
        Err((status, reason)) => {
            refuse(&mut respond, status);
            return Err((status, reason));
        }
    };
    let declared = parts.headers.get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let length = match declared {
        _ if recv.is_end_stream() => BodyLength::None,
        Some(0) => BodyLength::None,
        Some(n) => BodyLength::Exact(n),
        None => BodyLength::Unknown,
    };
    if let (BodyLength::Exact(n), Some(max)) = (length, limits.request_body)
        && n > max
    {
        refuse(&mut respond, 413);
        return Err((413, "body-too-large"));
    }
    let now = crate::now();
    let state = State {
        is_read: recv.is_end_stream(),
        wants_continue: !recv.is_end_stream() && head.fields.contains("expect"),
        recv,
        length,
        failed: None,
        to_release: 0,
        body_bytes: 0,
        body_max: limits.request_body,
        pace: Pace::new(now),
        send: Send::Head(respond),
        queue: VecDeque::new(),
        queued: 0,
        end: None,
        is_ended: false,
        last_write: now,
        sent_head: 0,
        sent_body: 0,
        received_head,
        is_gone: false,
        is_head: head.method == Method::Head,
        left: None,
        timer: Timer::default(),
        limits: limits.clone(),
        requests,
    };
    Ok((head, Rc::new(H2Stream { state: RefCell::new(state) })))
}

fn refuse(respond: &mut SendResponse<Bytes>, status: u16) {
    let page = wire::status::page(status).unwrap_or_default();
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(mut send) = respond.send_response(response, false) {
        let _ = send.send_data(Bytes::from(page), true);
    }
}

/// Checks what h2 leaves to us (RFC 9113, sections 8.2 and 8.3) and builds the head.
fn read_head(parts: &http::request::Parts, limits: &Limits) -> Result<(RequestHead, u64), (u16, &'static str)> {
    let mut head = RequestHead { version: Version::Http2, ..RequestHead::default() };
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).ok_or((400, "malformed-method"))?;
    if head.method == Method::Connect {
        return Err((501, "connect"));
    }
    if parts.headers.len() > limits.headers {
        return Err((431, "too-many-headers"));
    }
    let mut bytes = 0u64;
    let mut cookies: Vec<&[u8]> = Vec::new();
    let mut host = None;
    for (name, value) in &parts.headers {
        bytes += (name.as_str().len() + value.len() + 4) as u64;
        if matches!(name.as_str(), "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade") {
            return Err((400, "connection-field"));
        }
        if name == "te" && !value.as_bytes().eq_ignore_ascii_case(b"trailers") {
            return Err((400, "connection-field"));
        }
        if !Fields::is_value(value.as_bytes()) {
            return Err((400, "malformed-field-value"));
        }
        if name == "cookie" {
            cookies.push(value.as_bytes());
            continue;
        }
        if name == "host" && host.replace(value.as_bytes()).is_some() {
            return Err((400, "repeated-host"));
        }
        if name == "content-length" && !is_length(value.as_bytes()) {
            return Err((400, "malformed-content-length"));
        }
        head.fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
    if parts.headers.get_all("content-length").iter().count() > 1 {
        return Err((400, "repeated-content-length"));
    }
    // Cookie crumbs are one field for whom they are passed on to (RFC 9113, section 8.2.3).
    if !cookies.is_empty() {
        head.fields.push(b"cookie", &cookies.join(&b"; "[..]));
    }
    if bytes > limits.header_bytes as u64 {
        return Err((431, "headers-too-large"));
    }
    if head.fields.get_all("expect").any(|expect| !expect.eq_ignore_ascii_case(b"100-continue")) {
        return Err((417, "expectation"));
    }
    // h2 keeps the scheme only beside an authority, and takes any.
    if parts.uri.authority().is_some() && !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
        return Err((400, "malformed-scheme"));
    }
    let authority = parts.uri.authority().map(|a| a.as_str().as_bytes());
    let authority = match (authority, host) {
        (Some(a), Some(h)) if !a.eq_ignore_ascii_case(h) => return Err((400, "host-against-target")),
        (Some(a), _) => a,
        (None, Some(h)) => h,
        (None, None) => return Err((400, "missing-host")),
    };
    if authority.is_empty() || !parse::is_authority(authority) {
        return Err((400, "malformed-host"));
    }
    head.authority.extend_from_slice(authority);
    let target = parts.uri.path_and_query().map_or("/", |t| t.as_str());
    if target.len() > limits.request_line {
        return Err((414, "request-line-too-long"));
    }
    // The server as a whole, `OPTIONS *`, is nothing that a route could be for; nginx refuses it too.
    if !target.starts_with('/') || target.contains('#') {
        return Err((400, "malformed-target"));
    }
    head.target.extend_from_slice(target.as_bytes());
    Ok((head, bytes))
}

fn is_length(value: &[u8]) -> bool {
    let is_padded = value.len() > 1 && value.first() == Some(&b'0');
    !value.is_empty() && value.len() <= 18 && !is_padded && value.iter().all(u8::is_ascii_digit)
}

impl H2Stream {
    /// Sends what is left. If the request's rest was never read, h2 tells the client behind a whole answer that it is not
    /// wanted (RFC 9113, section 8.1), once the stream is dropped; a reset of ours would overtake the answer.
    pub(super) async fn finish(&self) {
        let _ = std::future::poll_fn(|cx| self.poll_flush(cx)).await;
        let state = &mut *self.state.borrow_mut();
        if !state.is_ended {
            state.reset(Reason::INTERNAL_ERROR);
        }
    }
}

impl State {
    fn reset(&mut self, reason: Reason) {
        match &mut self.send {
            Send::Head(respond) => respond.send_reset(reason),
            Send::Body(stream) => stream.send_reset(reason),
            Send::Over => {}
        }
        self.send = Send::Over;
        self.queue.clear();
        self.queued = 0;
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(error.clone()));
        }
        if self.is_read {
            return Poll::Ready(Ok(Frame::End));
        }
        // What was given out before has been taken: now the client may send as much again.
        let release = std::mem::take(&mut self.to_release);
        if release > 0 {
            let _ = self.recv.flow_control().release_capacity(release);
        }
        let error = match self.recv.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => {
                self.pace.came(data.len(), crate::now());
                self.to_release = data.len();
                self.body_bytes += data.len() as u64;
                match self.body_max {
                    Some(max) if self.body_bytes > max => BodyError::TooLarge(max),
                    _ => return Poll::Ready(Ok(Frame::Data(data))),
                }
            }
            Poll::Ready(Some(Err(_))) => {
                self.is_gone = true;
                BodyError::Gone
            }
            Poll::Ready(None) => match ready!(self.recv.poll_trailers(cx)) {
                Ok(Some(trailers)) => {
                    self.is_read = true;
                    let mut fields = Fields::new();
                    for (name, value) in &trailers {
                        if Fields::is_value(value.as_bytes()) && !is_forbidden_trailer(name.as_str().as_bytes()) {
                            fields.push(name.as_str().as_bytes(), value.as_bytes());
                        }
                    }
                    return Poll::Ready(Ok(Frame::Trailers(fields)));
                }
                Ok(None) => {
                    self.is_read = true;
                    return Poll::Ready(Ok(Frame::End));
                }
                Err(_) => BodyError::Gone,
            },
            Poll::Pending => {
                if std::mem::take(&mut self.wants_continue)
                    && let Send::Head(respond) = &mut self.send
                {
                    let _ = respond.send_informational(response(
                        &ResponseHead::new(100, Source::Gateway),
                        None,
                        false,
                        &mut 0,
                    ));
                }
                let deadline = self.pace.deadline(crate::now(), &self.limits);
                ready!(self.timer.poll(cx, deadline));
                BodyError::TimedOut
            }
        };
        self.failed = Some(error.clone());
        Poll::Ready(Err(error))
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.is_gone {
            return Poll::Ready(Err(SendError::Gone));
        }
        let Send::Body(stream) = &mut self.send else { return Poll::Ready(Ok(())) };
        while let Some(front) = self.queue.front_mut() {
            stream.reserve_capacity(front.len());
            let n = match stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(0))) => continue,
                Poll::Ready(Some(Ok(n))) => n.min(front.len()),
                Poll::Ready(_) => {
                    self.is_gone = true;
                    return Poll::Ready(Err(SendError::Gone));
                }
                Poll::Pending => {
                    if let Poll::Ready(Ok(_) | Err(_)) = stream.poll_reset(cx) {
                        self.is_gone = true;
                        return Poll::Ready(Err(SendError::Gone));
                    }
                    ready!(self.timer.poll(cx, self.last_write + self.limits.send_timeout));
                    self.is_gone = true;
                    return Poll::Ready(Err(SendError::TimedOut));
                }
            };
            let piece = front.split_to(n);
            if front.is_empty() {
                self.queue.pop_front();
            }
            self.queued -= n;
            self.sent_body += n as u64;
            self.last_write = crate::now();
            let is_last = self.queue.is_empty() && self.end.as_ref().is_some_and(HeaderMap::is_empty);
            if stream.send_data(piece, is_last).is_err() {
                self.is_gone = true;
                return Poll::Ready(Err(SendError::Gone));
            }
            if is_last {
                self.end = None;
                self.is_ended = true;
            }
        }
        if let Some(end) = self.end.take() {
            let sent = if end.is_empty() { stream.send_data(Bytes::new(), true) } else { stream.send_trailers(end) };
            self.is_ended = true;
            if sent.is_err() {
                self.is_gone = true;
                return Poll::Ready(Err(SendError::Gone));
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn response(head: &ResponseHead, length: Option<u64>, keeps_length: bool, size: &mut u64) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(head.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    for (name, value) in head.fields.iter() {
        let is_framing = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
            .iter()
            .any(|f| name.eq_ignore_ascii_case(f.as_bytes()))
            || (name.eq_ignore_ascii_case(b"content-length") && !keeps_length);
        if is_framing {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            *size += (name.as_str().len() + value.len() + 4) as u64;
            headers.append(name, value);
        }
    }
    if let Some(n) = length {
        headers.insert("content-length", HeaderValue::from(n));
    }
    response
}

impl BodySource for H2Stream {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
        self.state.borrow_mut().poll_body(cx)
    }

    fn length(&self) -> BodyLength {
        let state = self.state.borrow();
        if state.is_read { BodyLength::None } else { state.length }
    }

    fn limit(&self, max: u64) {
        let state = &mut *self.state.borrow_mut();
        state.body_max = Some(max);
    }
}

impl Downstream for H2Stream {
    fn send_interim(&self, head: &ResponseHead) {
        let state = &mut *self.state.borrow_mut();
        if let Send::Head(respond) = &mut state.send {
            state.wants_continue &= head.status != 100;
            let mut size = 0;
            let _ = respond.send_informational(response(head, None, false, &mut size));
        }
    }

    fn send_head(&self, head: &ResponseHead, body: BodyLength) {
        let state = &mut *self.state.borrow_mut();
        let Send::Head(respond) = &mut state.send else { return };
        let has_none = state.is_head || matches!(head.status, 204 | 304) || body == BodyLength::None;
        let length = match body {
            BodyLength::Exact(n) => Some(n),
            BodyLength::None if !state.is_head && !matches!(head.status, 204 | 304) => Some(0),
            _ => None,
        };
        let mut size = 0;
        let keeps_length = (state.is_head || head.status == 304) && length.is_none();
        let message = response(head, length, keeps_length, &mut size);
        state.sent_head = size;
        state.left = length.filter(|_| !has_none);
        state.last_write = crate::now();
        match respond.send_response(message, has_none) {
            Ok(stream) if !has_none => state.send = Send::Body(stream),
            Ok(_) => {
                state.send = Send::Over;
                state.is_ended = true;
            }
            Err(_) => {
                state.is_gone = true;
                state.send = Send::Over;
            }
        }
    }

    fn send_frame(&self, frame: Frame) {
        let state = &mut *self.state.borrow_mut();
        if !matches!(state.send, Send::Body(_)) || state.end.is_some() {
            return;
        }
        match frame {
            Frame::Data(data) => {
                if let Some(left) = &mut state.left {
                    match left.checked_sub(data.len() as u64) {
                        Some(rest) => *left = rest,
                        None => return state.reset(Reason::INTERNAL_ERROR),
                    }
                }
                if !data.is_empty() {
                    state.queued += data.len();
                    state.queue.push_back(data);
                }
            }
            Frame::End | Frame::Trailers(_) if state.left.is_some_and(|left| left > 0) => {
                state.reset(Reason::INTERNAL_ERROR)
            }
            Frame::End => state.end = Some(HeaderMap::new()),
            Frame::Trailers(fields) => {
                let mut trailers = HeaderMap::new();
                for (name, value) in fields.iter() {
                    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                        trailers.append(name, value);
                    }
                }
                state.end = Some(trailers);
            }
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let state = &mut *self.state.borrow_mut();
        if state.is_gone {
            return Poll::Ready(Err(SendError::Gone));
        }
        if state.queued < QUEUE_MAX {
            return Poll::Ready(Ok(()));
        }
        match state.poll_queue(cx) {
            Poll::Pending if state.queued < QUEUE_MAX => Poll::Ready(Ok(())),
            polled => polled,
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.state.borrow_mut().poll_queue(cx)
    }

    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &mut *self.state.borrow_mut();
        if state.is_gone {
            return Poll::Ready(());
        }
        let reset = match &mut state.send {
            Send::Head(respond) => respond.poll_reset(cx),
            Send::Body(stream) => stream.poll_reset(cx),
            Send::Over => return Poll::Pending,
        };
        ready!(reset).ok();
        state.is_gone = true;
        Poll::Ready(())
    }

    fn poll_deadline(&self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.state.borrow_mut().timer.poll(cx, deadline)
    }

    fn close_after(&self) {}

    fn abort(&self) {
        self.state.borrow_mut().reset(Reason::INTERNAL_ERROR);
    }

    fn bytes_sent(&self) -> (u64, u64) {
        let state = self.state.borrow();
        (state.sent_head + state.sent_body, state.sent_body)
    }

    fn bytes_received(&self) -> u64 {
        let state = self.state.borrow();
        state.received_head + state.body_bytes
    }

    fn connection_requests(&self) -> u64 {
        self.state.borrow().requests
    }

    fn tunnel(&self) -> Option<Box<dyn Tunnel>> {
        None
    }
}
