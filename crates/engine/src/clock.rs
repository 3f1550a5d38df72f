use pin_project_lite::pin_project;
use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::Outside) };
    static DATE: RefCell<Date> = const { RefCell::new(Date { text: [0; 29], until: None }) };
}

#[derive(Clone, Copy)]
enum Turn {
    /// No task with turns runs.
    Outside,
    /// Nobody has asked for the time in this turn.
    Unread,
    Read(Instant),
}

/// The time of the running task's turn: the clock is read once in a turn, when somebody asks first. What is timed by it has the
/// grain of a turn (microseconds, as a task that computes for longer holds its worker up). Outside of a connection's task it is the clock.
pub fn now() -> Instant {
    match TURN.get() {
        Turn::Read(now) => now,
        Turn::Outside => Instant::now(),
        Turn::Unread => {
            let now = Instant::now();
            TURN.set(Turn::Read(now));
            now
        }
    }
}

pin_project! {
    /// A task each of whose polls is one turn of [`now`].
    pub(crate) struct InTurns<F> {
        #[pin]
        task: F,
    }
}

impl<F> InTurns<F> {
    pub(crate) fn new(task: F) -> Self {
        Self { task }
    }
}

impl<F: Future> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                TURN.set(Turn::Outside);
            }
        }
        TURN.set(Turn::Unread);
        let _reset = Reset;
        self.project().task.poll(cx)
    }
}

struct Date {
    text: [u8; 29],
    /// When the text is out of date.
    until: Option<Instant>,
}

/// The current time as an HTTP date (RFC 9110, section 5.6.7); formatted once a second and thread.
pub fn http_date() -> [u8; 29] {
    DATE.with_borrow_mut(|date| {
        let monotonic = now();
        if date.until.is_none_or(|until| monotonic >= until) {
            let wall = SystemTime::now();
            if let Ok(text) = <[u8; 29]>::try_from(httpdate::fmt_http_date(wall).as_bytes()) {
                date.text = text;
            }
            let into_second = wall.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
            date.until = Some(monotonic + Duration::from_nanos(u64::from(1_000_000_000 - into_second)));
        }
        date.text
    })
}
