use crate::{Limits, Listener, Service, clock::InTurns, h1};
use parking_lot::Mutex;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};
use tokio::{net::TcpListener, task::spawn_local};
use wire::{ConnectionFacts, PeerAddr};

/// Connections of all workers together.
#[derive(Debug, Default)]
pub struct Census {
    /// Accepted since the start.
    pub accepted: AtomicU64,
    /// Open now.
    pub active: AtomicU64,
    /// Turned away because a limit was reached.
    pub refused: AtomicU64,
    /// Open connections of each client's address; kept only if they are limited.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

/// Tells one worker's idle connections that the gateway is going to end.
#[derive(Debug, Default)]
pub struct Drain {
    begun: Cell<bool>,
    wakers: RefCell<HashMap<u64, Waker>>,
    open: Cell<usize>,
}

impl Drain {
    /// Idle connections close; busy ones close after their answer.
    pub fn begin(&self) {
        self.begun.set(true);
        for (_, waker) in self.wakers.take() {
            waker.wake();
        }
    }

    /// Connections of this worker that are open.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Whether draining has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Whether draining has begun; else the task is woken when it does.
    pub(crate) fn poll_begun(&self, id: u64, cx: &Context<'_>) -> bool {
        if self.begun.get() {
            return true;
        }
        self.wakers.borrow_mut().entry(id).or_insert_with(|| cx.waker().clone());
        false
    }

    pub(crate) fn forget(&self, id: u64) -> Option<Waker> {
        self.wakers.borrow_mut().remove(&id)
    }
}

struct Worker<S> {
    service: Rc<S>,
    limits: Rc<Limits>,
    drain: Rc<Drain>,
    census: Arc<Census>,
    next_id: Cell<u64>,
}

/// Accepts connections on the calling thread's local runtime until draining begins.
///
/// # Errors
/// When a listener cannot be registered with the runtime.
pub fn serve<S: Service>(
    listeners: Vec<Listener>,
    service: Rc<S>,
    limits: Rc<Limits>,
    drain: Rc<Drain>,
    census: Arc<Census>,
) -> io::Result<()> {
    let worker = Rc::new(Worker { service, limits, drain, census, next_id: Cell::new(0) });
    for listener in listeners {
        let listener = TcpListener::from_std(listener)?;
        spawn_local(worker.clone().accept(listener));
    }
    Ok(())
}

/// Goes on with something on the calling worker beside its connections. It ends with the worker.
pub fn spawn_beside(work: impl Future<Output = ()> + 'static) {
    spawn_local(InTurns::new(work));
}

impl<S: Service> Worker<S> {
    async fn accept(self: Rc<Self>, listener: TcpListener) {
        let listener_id = self.id();
        loop {
            let accepted = std::future::poll_fn(|cx| {
                if self.drain.poll_begun(listener_id, cx) {
                    return std::task::Poll::Ready(None);
                }
                listener.poll_accept(cx).map(Some)
            })
            .await;
            match accepted {
                None => return,
                Some(Ok((io, peer))) => {
                    let peer = PeerAddr::new(peer);
                    let serial = self.census.accepted.fetch_add(1, Ordering::Relaxed) + 1;
                    let Some(place) = self.place(peer.0.ip()) else {
                        self.census.refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let (Ok(local), Ok(())) = (io.local_addr(), io.set_nodelay(true)) else { continue };
                    let facts = ConnectionFacts { peer, local, serial };
                    let (service, limits, drain) = (self.service.clone(), self.limits.clone(), self.drain.clone());
                    let id = self.id();
                    spawn_local(InTurns::new(async move {
                        h1::server::run(io, facts, service, limits, drain, id).await;
                        drop(place);
                    }));
                }
                // Out of descriptors, most likely: the backlog keeps the others until some are free again.
                Some(Err(error)) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// A place for one more connection of this client, if the limits leave one.
    fn place(self: &Rc<Self>, client: IpAddr) -> Option<Place<S>> {
        let (census, limits) = (&self.census, &self.limits);
        let active = census.active.fetch_add(1, Ordering::Relaxed);
        if active >= limits.connections as u64 || !census.admits(client, limits.connections_per_client) {
            census.active.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.drain.open.set(self.drain.open.get() + 1);
        Some(Place { worker: self.clone(), client, id: self.next_id.get() })
    }
}

impl Census {
    fn admits(&self, client: IpAddr, max: usize) -> bool {
        if max == usize::MAX {
            return true;
        }
        let mut clients = self.clients.lock();
        match clients.get_mut(&client) {
            Some(open) if *open >= max => return false,
            Some(open) => *open += 1,
            None if max == 0 => return false,
            None => drop(clients.insert(client, 1)),
        }
        true
    }

    fn forget(&self, client: IpAddr, max: usize) {
        if max == usize::MAX {
            return;
        }
        let mut clients = self.clients.lock();
        if let Some(open) = clients.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&client);
            }
        }
    }
}

/// Counts one connection for as long as it is open.
struct Place<S> {
    worker: Rc<Worker<S>>,
    client: IpAddr,
    id: u64,
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.drain.open.set(worker.drain.open.get().saturating_sub(1));
        worker.drain.forget(self.id);
        worker.census.active.fetch_sub(1, Ordering::Relaxed);
        worker.census.forget(self.client, worker.limits.connections_per_client);
    }
}
