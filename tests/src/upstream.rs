//! An upstream whose every byte is scripted, and that records every byte it gets.

use crate::{Client, Message, wait_for};
use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

type Log = Arc<Mutex<Vec<u8>>>;

/// A listening upstream.
pub struct Upstream {
    pub addr: SocketAddr,
    connections: Arc<Mutex<Vec<Log>>>,
    requests: Arc<Mutex<Vec<Message>>>,
    is_over: Arc<AtomicBool>,
}

/// A connection that the gateway opened.
pub struct Incoming {
    pub client: Client,
    /// The number of the connection, from 0.
    pub index: usize,
    requests: Arc<Mutex<Vec<Message>>>,
}

impl Incoming {
    /// The next whole request; one that breaks off is none.
    pub fn request(&mut self) -> Option<Message> {
        let request = self.client.request().filter(|request| request.is_complete)?;
        self.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.client.send(bytes)
    }
}

impl Upstream {
    /// Runs `handler` in a thread of its own for each connection.
    pub fn start(handler: impl Fn(&mut Incoming) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let this = Self { addr, connections: Arc::default(), requests: Arc::default(), is_over: Arc::default() };
        let (connections, requests, is_over) = (this.connections.clone(), this.requests.clone(), this.is_over.clone());
        let handler = Arc::new(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let log = Log::default();
                let index = {
                    let mut connections = connections.lock().unwrap();
                    connections.push(log.clone());
                    connections.len() - 1
                };
                let (handler, requests) = (handler.clone(), requests.clone());
                std::thread::spawn(move || {
                    let mut client = Client::of(stream);
                    client.stream.set_read_timeout(None).unwrap();
                    client.log = Some(log);
                    handler(&mut Incoming { client, index, requests });
                });
            }
        });
        this
    }

    /// Answers every request with the same bytes.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |conn| {
            while conn.request().is_some() {
                if !conn.send(&bytes) {
                    return;
                }
            }
        })
    }

    /// Answers 200 with "hello".
    pub fn hello() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// The whole requests so far.
    pub fn requests(&self) -> Vec<Message> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits for the first `n` whole requests.
    pub fn wait_requests(&self, n: usize) -> Vec<Message> {
        wait_for("requests at the upstream", || Some(self.requests()).filter(|r| r.len() >= n))
    }

    /// All bytes so far, of all connections.
    pub fn received(&self) -> Vec<u8> {
        self.connections.lock().unwrap().iter().flat_map(|log| log.lock().unwrap().clone()).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let _ = std::net::TcpStream::connect(self.addr);
    }
}
