use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};
use tokio::time::Sleep;

/// One lazily re-armed timer for a task that has many short deadlines.
///
/// Moving the deadline later costs nothing, not even a look at the clock: the timer fires at the old one, compares, and arms itself anew.
/// All calls must come from one task, since a timer that is armed and has not fired is not polled again.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
}

impl Timer {
    /// Ready when the deadline has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if let (Some(sleep), Some(armed)) = (&self.sleep, self.armed)
            && armed <= deadline
            && !sleep.is_elapsed()
        {
            return Poll::Pending;
        }
        // The real clock: within a turn of its task a timer would else see the time at which it was armed.
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        self.armed = Some(deadline);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(deadline.into());
                sleep
            }
            None => self.sleep.insert(Box::pin(tokio::time::sleep_until(deadline.into()))),
        };
        sleep.as_mut().poll(cx)
    }
}
