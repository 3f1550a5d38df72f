//! State that is kept in Redis, for all nodes that share it.
//!
//! There is one connection to each Redis, which every worker's requests share, and one thread that serves all of them: no
//! worker waits for anything but an answer. While a Redis is known to be away requests are answered at once, and one task tries
//! to reach it again.

mod fallback;
mod name;
mod plan;
mod script;
mod settings;

pub(crate) use self::{
    fallback::{Degradation, Fallback},
    name::{KeyName, Names},
    script::{Answer, Call, Script},
    settings::Policy,
};

use self::plan::{Connection, Plan, is_absence};
use parking_lot::Mutex;
use plugin::{BuildEnv, BuildError};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime, sync::watch, time};

/// The first pause between two tries to reach a Redis, and the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Places that could not be given back and are when Redis is there again; a Redis forgets those above by itself.
const MAX_OWED: usize = 1 << 16;

/// A Redis, and whether it is there.
pub(crate) struct Remote {
    plan: Arc<Plan>,
    thread: Arc<Thread>,
    status: watch::Sender<Status>,
    /// When it was last asked, in milliseconds after `began`.
    asked: AtomicU64,
    began: Instant,
    owed: Mutex<VecDeque<(&'static Script, Call)>>,
}

#[derive(Clone)]
enum Status {
    /// Nobody has asked for it, or not for a long time.
    Idle,
    Connecting,
    /// With the number of the connection.
    Up(Connection, u64),
    Away,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0} is away")]
    Away(String),
    #[error("{0} did not answer in time")]
    Late(String),
    #[error("{0} refused: {1}")]
    Refused(String, String),
    #[error("no thread for Redis: {0}")]
    NoThread(String),
}

/// The thread that speaks to every Redis; started when one is first needed.
#[derive(Default)]
struct Thread(OnceLock<Result<runtime::Runtime, String>>);

impl Remote {
    /// The Redis of a configuration; `None` when its state is local. Equal settings share one.
    pub(crate) fn of(policy: Policy, env: &BuildEnv<'_>) -> Result<Option<Arc<Self>>, BuildError> {
        let Some(plan) = Plan::compile(policy, env)? else { return Ok(None) };
        let thread = env.shared.kept(Thread::default);
        let made = || Self {
            plan: Arc::new(plan),
            thread,
            status: watch::Sender::new(Status::Idle),
            asked: AtomicU64::new(0),
            began: Instant::now(),
            owed: Mutex::default(),
        };
        Ok(Some(env.shared.keyed(&name::of_connection(policy, env.config), made)))
    }

    /// Whether requests need not be asked for at all.
    fn is_away(&self) -> bool {
        matches!(*self.status.borrow(), Status::Away)
    }

    /// Runs a script on calls as one step, up to the first that is refused. (In a cluster each call is a step.)
    pub(crate) async fn run(
        self: &Arc<Self>,
        script: &'static Script,
        calls: Vec<Call>,
    ) -> Result<Vec<Answer>, Failure> {
        self.run_until(script, calls, ()).await
    }

    /// The same, and drops `done` when Redis has answered or will not, whether somebody still waits for it or not.
    pub(crate) async fn run_until(
        self: &Arc<Self>,
        script: &'static Script,
        calls: Vec<Call>,
        done: impl Send + 'static,
    ) -> Result<Vec<Answer>, Failure> {
        if self.is_away() {
            return Err(Failure::Away(self.plan.name.clone()));
        }
        let this = self.clone();
        // As a task of its own it comes to an end also when the client goes away.
        let running = self.thread.handle()?.spawn(async move {
            let answers = this.run_here(script, &calls).await;
            drop(done);
            answers
        });
        running.await.unwrap_or_else(|error| Err(Failure::NoThread(error.to_string())))
    }

    /// Runs a task beside requests; `false` where there is no thread for it.
    pub(crate) fn beside(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        self.thread.handle().map(|handle| handle.spawn(task)).is_ok()
    }

    /// Gives something back, once it was `taken`, now or when Redis is there again.
    pub(crate) fn give_back(
        self: &Arc<Self>,
        script: &'static Script,
        call: Call,
        taken: impl Future<Output = ()> + Send + 'static,
    ) {
        let Ok(handle) = self.thread.handle() else { return };
        let this = self.clone();
        handle.spawn(async move {
            taken.await;
            this.give_back_here(script, call).await;
        });
    }

    async fn give_back_here(self: &Arc<Self>, script: &'static Script, call: Call) {
        let calls = [call];
        if self.is_away() || self.run_here(script, &calls).await.is_err() {
            let [call] = calls;
            let mut owed = self.owed.lock();
            if owed.len() < MAX_OWED {
                owed.push_back((script, call));
            }
        }
    }

    async fn run_here(self: &Arc<Self>, script: &Script, calls: &[Call]) -> Result<Vec<Answer>, Failure> {
        let name = || self.plan.name.clone();
        let (connection, number) = self.connection().await?;
        self.asked.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
        match time::timeout(self.plan.timeout, connection.run(script, calls)).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(error)) => {
                if is_absence(&error) {
                    self.lose(number, &error.to_string());
                }
                Err(Failure::Refused(name(), error.to_string()))
            }
            Err(_) => {
                self.lose(number, "no answer in time");
                Err(Failure::Late(name()))
            }
        }
    }

    /// The connection, which the first who asks has made.
    async fn connection(self: &Arc<Self>) -> Result<(Connection, u64), Failure> {
        let is_first = self.status.send_if_modified(|status| {
            let is_idle = matches!(status, Status::Idle);
            if is_idle {
                *status = Status::Connecting;
            }
            is_idle
        });
        if is_first {
            tokio::spawn(keeper(Arc::downgrade(self), self.plan.clone(), self.status.subscribe()));
        }
        let mut watched = self.status.subscribe();
        let known = watched.wait_for(|status| matches!(status, Status::Up(..) | Status::Away));
        match time::timeout(self.plan.connect_timeout, known).await {
            Ok(Ok(status)) => match &*status {
                Status::Up(connection, number) => Ok((connection.clone(), *number)),
                _ => Err(Failure::Away(self.plan.name.clone())),
            },
            _ => Err(Failure::Late(self.plan.name.clone())),
        }
    }

    /// Takes note that a connection is of no use; the first who says so is heard.
    fn lose(&self, number: u64, reason: &str) {
        let is_news = self.status.send_if_modified(|status| {
            let is_this = matches!(status, Status::Up(_, up) if *up == number);
            if is_this {
                *status = Status::Away;
            }
            is_this
        });
        if is_news {
            tracing::error!(redis = %self.plan.name, %reason, "Redis is away");
        }
    }

    /// How long nobody has asked.
    fn unused(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.asked.load(Ordering::Relaxed)))
    }

    /// Gives back what could not be while it was away.
    async fn settle(self: &Arc<Self>) {
        let owed = std::mem::take(&mut *self.owed.lock());
        for (script, call) in owed {
            self.give_back_here(script, call).await;
        }
    }
}

/// The task that keeps a connection up. Boxed, since it gives back what is owed, which asks for the connection.
fn keeper(
    remote: Weak<Remote>,
    plan: Arc<Plan>,
    status: watch::Receiver<Status>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(keep(remote, plan, status))
}

/// Keeps a connection up as long as somebody uses it.
async fn keep(remote: Weak<Remote>, plan: Arc<Plan>, mut status: watch::Receiver<Status>) {
    let (first_pause, last_pause) = PAUSES;
    let (mut pause, mut number) = (first_pause, 0);
    loop {
        let connected = plan.connect().await;
        let Some(this) = remote.upgrade() else { return };
        let is_back = this.is_away();
        match connected {
            Ok(connection) => {
                number += 1;
                this.status.send_replace(Status::Up(connection, number));
                if is_back {
                    tracing::info!(redis = %plan.name, "Redis is there again");
                }
                tokio::spawn(async move { this.settle().await });
                let since = Instant::now();
                if !stays_up(&remote, &plan, &mut status).await {
                    return;
                }
                // One that never stays is not asked all the time.
                if since.elapsed() > last_pause {
                    pause = first_pause;
                }
            }
            Err(error) => {
                if !is_back {
                    tracing::error!(redis = %plan.name, reason = %error, "Redis is away");
                }
                this.status.send_replace(Status::Away);
                drop(this);
            }
        }
        time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(last_pause);
    }
}

/// Waits until the connection is lost; `false` when nobody needs it any more.
async fn stays_up(remote: &Weak<Remote>, plan: &Plan, status: &mut watch::Receiver<Status>) -> bool {
    loop {
        match time::timeout(plan.idle, status.wait_for(|status| matches!(status, Status::Away))).await {
            Ok(Ok(_)) => return true,
            Ok(Err(_)) => return false,
            Err(_) => {}
        }
        let Some(this) = remote.upgrade() else { return false };
        let is_idle = this.status.send_if_modified(|status| {
            let is_idle = matches!(status, Status::Up(..)) && this.unused() >= plan.idle;
            if is_idle {
                *status = Status::Idle;
            }
            is_idle
        });
        if is_idle {
            return false;
        }
    }
}

impl Thread {
    fn handle(&self) -> Result<&runtime::Handle, Failure> {
        let start = || {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(1).thread_name("redis").enable_all().build().map_err(|error| error.to_string())
        };
        match self.0.get_or_init(start) {
            Ok(runtime) => Ok(runtime.handle()),
            Err(error) => Err(Failure::NoThread(error.clone())),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Waiting for its tasks is not possible where this may be dropped.
        if let Some(Ok(runtime)) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
