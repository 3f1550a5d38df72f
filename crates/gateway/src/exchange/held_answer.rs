//! Answers of upstreams that plugins have to see before anything of them is sent.

use super::{
    Exchange,
    relay::{AttemptError, Relay},
    response,
};
use crate::chain::run;
use bytes::Bytes;
use plugin::{HeldBody, Reply, Response};
use smallvec::SmallVec;
use std::future::poll_fn;
use wire::{BodyError, BodyLength, Frame, ResponseHead, Source};

/// What is sent before the frames that are still with the upstream.
#[derive(Default)]
pub(super) struct Start {
    frames: SmallVec<[Frame; 3]>,
    /// The length of the whole body, where anything of it was read.
    pub(super) length: Option<BodyLength>,
    /// Counts them as memory.
    _held: Option<HeldBody>,
}

impl Iterator for Start {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        if self.frames.is_empty() { None } else { Some(self.frames.remove(0)) }
    }
}

/// What is answered instead.
pub(super) enum Instead {
    /// A plugin's reply.
    Reply(Reply),
    /// The plugin failed.
    Failed,
    /// The upstream broke off, or took too long.
    Broken(AttemptError),
}

impl Exchange<'_> {
    /// Holds an answer back until plugins have seen it, where any has to.
    pub(super) async fn hold(&mut self, relay: &mut Relay<'_>, head: &mut ResponseHead) -> Result<Start, Instead> {
        let global = self.held.0.global();
        let wanted = run::wants_answer(global, &self.chain, &mut self.cx, head).map_err(|error| {
            tracing::error!(%error, "a plugin failed on an answer's head");
            Instead::Failed
        })?;
        let Some(max) = wanted else { return Ok(Start::default()) };
        let announced = relay.client.length();
        let mut held = HeldBody::new(&self.edge.bodies, max);
        let read = self.read_answer(relay, &mut held).await.map_err(Instead::Broken)?;
        let Read { missing, beyond, end } = read;
        let taken = std::mem::replace(head, ResponseHead::new(head.status, Source::Upstream));
        let mut response = Response::new(taken, held, missing);
        let shared = &self.edge.shared;
        let replied = run::whole_response(global, &self.chain, &mut self.cx, &mut response, shared).await;
        let (changed, body, is_other, held) = response.into_parts();
        *head = changed;
        if let Some(reply) = replied {
            return Err(Instead::Reply(reply));
        }
        let is_known = is_other || matches!(end, Some(Frame::End));
        let length = if is_known { BodyLength::Exact(body.len() as u64) } else { announced };
        let frames = [(!body.is_empty()).then_some(Frame::Data(body))];
        let rest = if is_other { [None, Some(Frame::End)] } else { [beyond.map(Frame::Data), end] };
        Ok(Start {
            frames: frames.into_iter().chain(rest).flatten().collect(),
            length: Some(length),
            _held: Some(held),
        })
    }

    async fn read_answer(&mut self, relay: &mut Relay<'_>, held: &mut HeldBody) -> Result<Read, AttemptError> {
        let mut read = Read { missing: None, beyond: None, end: None };
        match relay.client.length() {
            BodyLength::None | BodyLength::Exact(0) => return Ok(read),
            BodyLength::Exact(n) if n > held.room() => {
                read.missing = Some(BodyError::TooLarge(held.room()));
                return Ok(read);
            }
            BodyLength::Unknown if held.room() == 0 => {
                read.missing = Some(BodyError::TooLarge(0));
                return Ok(read);
            }
            _ => {}
        }
        loop {
            match poll_fn(|cx| relay.poll_frame(cx, &mut self.cx.request.body)).await? {
                Frame::Data(data) => {
                    self.count_body(data.len());
                    if let Err(error) = held.push(&data) {
                        (read.missing, read.beyond) = (Some(error), Some(data));
                        return Ok(read);
                    }
                }
                end @ (Frame::Trailers(_) | Frame::End) => {
                    read.end = Some(end);
                    return Ok(read);
                }
            }
        }
    }

    /// Notes bytes of the upstream's body.
    pub(super) fn count_body(&mut self, bytes: usize) {
        if let Some(count) = &mut self.cx.response.upstream_body_bytes {
            *count += bytes as u64;
        }
    }

    /// Answers in the place of an answer that is not passed on.
    pub(super) async fn answer_instead(&mut self, instead: Instead) {
        match instead {
            Instead::Reply(reply) => self.reply(reply, Source::Plugin).await,
            Instead::Failed => self.break_down().await,
            Instead::Broken(AttemptError::ClientGone) => {
                self.cx.response.status = 499;
                self.downstream.abort();
            }
            Instead::Broken(error) => {
                tracing::warn!(%error, "the upstream's answer broke off before anything of it was sent");
                self.reply(Reply::status(response::status_of(&error)), Source::Gateway).await;
            }
        }
    }
}

/// How far an answer's body was read.
struct Read {
    /// Why not all of it is held.
    missing: Option<BodyError>,
    /// What was read and is not held.
    beyond: Option<Bytes>,
    /// Its end, where that was seen.
    end: Option<Frame>,
}
