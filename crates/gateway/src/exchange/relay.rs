//! Moves both bodies of one attempt, in both directions at once, within one task.

use crate::upstream::dns::Unresolved;
use engine::{
    Limits, Timer,
    h1::client::{Client, UpstreamError},
};
use plugin::RequestBody;
use std::{
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use wire::{BodyError, Downstream, Frame, ResponseHead};

/// How long an upstream may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// To accept a connection.
    pub(crate) connect: Duration,
    /// Between two writes of the request.
    pub(crate) send: Duration,
    /// Between two reads of the answer.
    pub(crate) read: Duration,
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// The upstream failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It took too long.
    #[error("the upstream did not {0} in time")]
    TimedOut(&'static str),
    /// The node's name has no address.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// The client's body could not be read.
    #[error("the request body: {0}")]
    RequestBody(BodyError),
    /// The client went away.
    #[error("the client went away")]
    ClientGone,
}

/// One attempt's two directions.
pub(crate) struct Relay<'a> {
    pub(crate) client: Box<Client>,
    pub(crate) downstream: &'a Rc<dyn Downstream>,
    pub(crate) limits: &'a Limits,
    pub(crate) timeouts: Timeouts,
    upload: Upload,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Upload {
    /// Frames are still to come.
    Running,
    /// The next frame has to come from the client.
    Waiting,
    /// All was queued.
    Done,
    /// The upstream takes no more; its answer may still come.
    Stopped,
}

impl<'a> Relay<'a> {
    /// With a request whose head was queued on `client`.
    pub(crate) fn new(
        client: Box<Client>,
        downstream: &'a Rc<dyn Downstream>,
        limits: &'a Limits,
        timeouts: Timeouts,
    ) -> Self {
        Self { client, downstream, limits, timeouts, upload: Upload::Running }
    }

    /// Sends the request and waits for the final head; interim ones are passed on.
    pub(crate) async fn head(&mut self, body: &mut RequestBody) -> Result<ResponseHead, AttemptError> {
        std::future::poll_fn(|cx| self.poll_head(cx, body)).await
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, body: &mut RequestBody) -> Poll<Result<ResponseHead, AttemptError>> {
        self.poll_upload(cx, body)?;
        loop {
            match self.client.poll_head(cx, self.limits) {
                Poll::Ready(Ok(head)) if head.status < 200 && head.status != 101 => {
                    self.downstream.send_interim(&head);
                    if let Poll::Ready(Err(_)) = self.downstream.poll_flush(cx) {
                        return Poll::Ready(Err(AttemptError::ClientGone));
                    }
                }
                Poll::Ready(result) => return Poll::Ready(result.map_err(Into::into)),
                Poll::Pending => break,
            }
        }
        self.poll_stalled(cx)
    }

    /// Pulls the next frame of the answer, while the request goes on.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut RequestBody,
    ) -> Poll<Result<Frame, AttemptError>> {
        // A client that stops sending does not spoil an answer that is already on its way.
        if self.poll_upload(cx, body).is_err() {
            self.upload = Upload::Stopped;
        }
        match self.client.poll_frame(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(Into::into)),
            Poll::Pending => self.poll_stalled(cx),
        }
    }

    /// Moves the request body until one side has to wait.
    fn poll_upload(&mut self, cx: &mut Context<'_>, body: &mut RequestBody) -> Result<(), AttemptError> {
        loop {
            while matches!(self.upload, Upload::Running | Upload::Waiting) && self.client.has_room() {
                match body.poll_frame(cx) {
                    Poll::Ready(Ok(frame)) => {
                        let is_end = matches!(frame, Frame::End | Frame::Trailers(_));
                        if !self.client.send_frame(frame) {
                            return Err(AttemptError::RequestBody(BodyError::Malformed("length-mismatch")));
                        }
                        self.upload = if is_end { Upload::Done } else { Upload::Running };
                    }
                    Poll::Ready(Err(error)) => return Err(AttemptError::RequestBody(error)),
                    Poll::Pending => {
                        self.upload = Upload::Waiting;
                        break;
                    }
                }
            }
            if self.upload == Upload::Stopped {
                return Ok(());
            }
            let was_full = !self.client.has_room();
            match self.client.poll_flush(cx) {
                Poll::Ready(Ok(())) if was_full => {}
                Poll::Ready(Ok(())) | Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "the upstream takes no more of the request");
                    self.upload = Upload::Stopped;
                    return Ok(());
                }
            }
        }
    }

    /// Nothing moves from the upstream: has somebody waited too long, or has the client gone?
    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, AttemptError>> {
        if self.downstream.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(AttemptError::ClientGone));
        }
        let (wait, what) = match self.upload {
            // It is the client that is waited for; its own deadlines run.
            Upload::Waiting => return Poll::Pending,
            Upload::Running => (self.timeouts.send, "take the request"),
            Upload::Done | Upload::Stopped => (self.timeouts.read, "answer"),
        };
        match self.downstream.poll_deadline(cx, self.client.last_progress + wait) {
            Poll::Ready(()) => Poll::Ready(Err(AttemptError::TimedOut(what))),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Waits for a future no longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let deadline = engine::now() + limit;
    let mut timer = Timer::default();
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.poll(cx, deadline).map(|()| None),
    })
    .await
}
