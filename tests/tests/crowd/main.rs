//! Ten thousand clients at once that take their time, and one more that must not notice.
//!
//! A program of its own, so that neither its load nor its descriptors are the other tests'. `CROWD` is the number of clients.
// A test says what is wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{Gateway, PATIENCE, route_to};
use serde_json::json;
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

/// How long the crowd is held.
const HELD: Duration = Duration::from_secs(6);
/// Clients that have one address.
const PER_ADDRESS: usize = 500;
/// What the other client's slowest request may take.
const LATENCY_MAX: Duration = Duration::from_secs(2);

/// One crowd at a time: each wants all descriptors, and the memory that is measured is that of a quiet machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many clients there can be, with so many descriptors for each of them in a process.
fn crowd(descriptors: usize) -> usize {
    let wanted = std::env::var("CROWD").map_or(10_000, |number| number.parse().expect("CROWD is a number"));
    let needed = u64::try_from(wanted * descriptors + 1000).unwrap();
    // The gateway inherits it, and raises what it may on its own.
    let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).unwrap();
    if hard < needed {
        // Only a privileged user may; what then is allowed is looked at below.
        let _ = rlimit::setrlimit(rlimit::Resource::NOFILE, needed, needed);
    }
    let limit = rlimit::increase_nofile_limit(needed).unwrap();
    let possible = (usize::try_from(limit).unwrap() - 300) / descriptors;
    if possible < wanted {
        eprintln!("the limit of {limit} descriptors lets {possible} clients of {wanted} take part");
    }
    wanted.min(possible)
}

fn start(upstream: SocketAddr) -> Gateway {
    // Nobody is cut for being slow: what is measured is what the gateway can hold, not how fast it gets rid of it.
    let gateway = Gateway::start(json!({
        "portcullis": { "limits": { "min_rate": 0, "head_timeout": "120s", "body_timeout": "120s" } },
        "nginx_config": { "http": { "send_timeout": "120s", "client_body_timeout": "120s" } },
    }));
    gateway.put("routes/all", &route_to(upstream));
    gateway
}

/// The number of an address in the loopback network.
fn source(i: usize) -> SocketAddr {
    let address = u32::from(Ipv4Addr::new(127, 0, 1, 1)) + u32::try_from(i / PER_ADDRESS).unwrap();
    SocketAddr::from((Ipv4Addr::from(address), 0))
}

/// Connects them all, and lets each say how it begins.
async fn gather(
    gateway: SocketAddr,
    number: usize,
    receive_buffer: Option<u32>,
    begin: fn(usize) -> String,
) -> Vec<TcpStream> {
    let mut clients = Vec::with_capacity(number);
    while clients.len() < number {
        // No more at once than a backlog holds.
        let batch = (clients.len()..number.min(clients.len() + 500)).map(|i| {
            tokio::spawn(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(source(i)).unwrap();
                if let Some(bytes) = receive_buffer {
                    socket.set_recv_buffer_size(bytes).unwrap();
                }
                let mut stream = socket.connect(gateway).await.unwrap();
                stream.write_all(begin(i).as_bytes()).await.unwrap();
                stream
            })
        });
        for client in batch.collect::<Vec<_>>() {
            clients.push(client.await.unwrap());
        }
    }
    clients
}

/// Answers one request after the other on a connection, as fast as it can, until told to stop; says how many and the slowest.
async fn keep_asking(gateway: SocketAddr, until: tokio::sync::watch::Receiver<bool>) -> (usize, Duration) {
    let (mut asked, mut slowest) = (0, Duration::ZERO);
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = Vec::new();
    while !*until.borrow() {
        let begun = Instant::now();
        stream.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        answer.clear();
        while !answer.ends_with(b"\r\n\r\nhello") {
            let n =
                tokio::time::timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer in time").unwrap();
            assert!(n > 0, "the connection ended");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        slowest = slowest.max(begun.elapsed());
        asked += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (asked, slowest)
}

/// Moves the crowd on by one byte a second, while the other client asks and asks.
async fn hold(gateway: &Gateway, clients: &[TcpStream], step: impl Fn(&TcpStream) -> std::io::Result<usize>) -> u64 {
    let (stop, until) = tokio::sync::watch::channel(false);
    let other = tokio::spawn(keep_asking(gateway.proxy, until));
    let end = Instant::now() + HELD;
    let mut rss = 0;
    let mut moved = 0;
    while Instant::now() < end {
        let next = Instant::now() + Duration::from_secs(1);
        for client in clients {
            match step(client) {
                Ok(0) => panic!("a slow client was cut"),
                Ok(n) => moved += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("a slow client was cut: {error}"),
            }
        }
        rss = rss.max(gateway.rss());
        tokio::time::sleep_until(next.into()).await;
    }
    stop.send(true).unwrap();
    let (asked, slowest) = other.await.unwrap();
    assert!(moved >= clients.len() * 2, "the crowd moved by {moved} bytes only");
    assert!(asked > 100, "only {asked} requests were answered beside the crowd");
    assert!(slowest < LATENCY_MAX, "a request took {slowest:?} beside the crowd");
    let kernel = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    eprintln!("{}", kernel.lines().find(|line| line.starts_with("TCP")).unwrap_or_default());
    eprintln!("{} clients: {asked} requests of another one, the slowest in {slowest:?}", clients.len());
    rss
}

/// Whether the gateway gave so little memory to each of a crowd, over what it may have for all of them.
#[track_caller]
fn check_memory(desc: &str, before: u64, after: u64, number: usize, bytes_each: u64, bytes_in_all: u64) {
    let (grown, number) = (after.saturating_sub(before) * 1024, u64::try_from(number).unwrap());
    eprintln!("{desc}: {before} KiB before, {after} KiB with {number} of them, {} bytes each", grown / number);
    assert!(grown <= bytes_in_all + number * bytes_each, "{desc}: {grown} bytes more for {number}");
}

/// Answers `/small` with "hello", and everything else without end.
async fn upstream() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    // What waits in the upstream is not what is measured.
    socket.set_send_buffer_size(16 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener: TcpListener = socket.listen(4096).unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                loop {
                    head.clear();
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    if head.starts_with(b"GET /small") {
                        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.is_err() {
                            return;
                        }
                        continue;
                    }
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.is_err() {
                        return;
                    }
                    static PIECE: [u8; 16 << 10] = [b'x'; 16 << 10];
                    while stream.write_all(&PIECE).await.is_ok() {}
                    return;
                }
            });
        }
    });
    addr
}

async fn warm_up(gateway: &Gateway) -> u64 {
    let (stop, until) = tokio::sync::watch::channel(false);
    let asking = tokio::spawn(keep_asking(gateway.proxy, until));
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.send(true).unwrap();
    asking.await.unwrap();
    gateway.rss()
}

#[test]
fn ten_thousand_clients_that_send_a_byte_a_second() {
    let _alone = alone();
    let number = crowd(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let gateway = start(upstream().await);
        let before = warm_up(&gateway).await;
        let clients = gather(gateway.proxy, number, None, |i| {
            if i % 2 == 0 {
                "GET / HTTP/1.1\r\nHost: a\r\nX: ".to_owned()
            } else {
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n".to_owned()
            }
        })
        .await;
        let after = hold(&gateway, &clients, |client| client.try_write(b"x")).await;
        check_memory("slow senders", before, after, number, 16 << 10, 4 << 20);
    });
}

#[test]
fn ten_thousand_clients_that_read_a_byte_a_second() {
    let _alone = alone();
    // The gateway has a connection to the upstream for each of them, and so has the upstream here.
    let number = crowd(2);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let gateway = start(upstream().await);
        let before = warm_up(&gateway).await;
        let begin = |_| "GET /big HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
        let clients = gather(gateway.proxy, number, Some(4096), begin).await;
        // All of them are answered, and hold what the gateway has for them.
        for client in &clients {
            tokio::time::timeout(PATIENCE, client.readable()).await.expect("an answer in time").unwrap();
        }
        let after = hold(&gateway, &clients, |client| client.try_read(&mut [0])).await;
        // In each of the two workers, queues are generous up to 32 MiB; their pieces may hold twice as much.
        check_memory("slow readers", before, after, number, 96 << 10, 128 << 20);
    });
}
