use super::*;
use crate::upstream::{CompiledUpstream, Shown, tests::NoRequest};
use model::documents;
use serde_json::json;
use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A name server that knows `10.1.2.3` for names that begin with `a`, and nothing else. Counts the questions for IPv4 addresses.
fn name_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    std::thread::spawn(move || {
        let mut buffer = [0u8; 512];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..len];
            let name_end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 1;
            let is_a = query[name_end..name_end + 2] == [0, 1];
            let is_known = query[13] == b'a';
            let mut reply = query[..2].to_vec();
            reply.extend([0x81, if is_known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(is_a && is_known), 0, 0, 0, 0]);
            reply.extend(&query[12..name_end + 4]);
            if is_a {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            if is_a && is_known {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
            }
            socket.send_to(&reply, from).unwrap();
        }
    });
    (addr, asked)
}

fn node(host: &str) -> Pick {
    let written = documents::Upstream::parse(&json!({ "nodes": { format!("{host}:81"): 1 } })).unwrap();
    let upstream =
        CompiledUpstream::compile(&written, "/upstreams/u", Shown::This(Arc::default()), &Arc::default()).unwrap();
    upstream.picks().next(&NoRequest).unwrap()
}

fn resolver(server: SocketAddr) -> Resolver {
    Resolver::new(DnsOptions { servers: vec![server], resolv_conf: None, valid: None, timeout: Duration::from_secs(5) })
}

#[tokio::test]
async fn many_at_once_ask_once_and_the_answer_is_kept() {
    let (server, asked) = name_server();
    let resolver = resolver(server);
    let node = node("a.example.com");
    for _ in 0..3 {
        let all = futures_util::future::join_all((0..20).map(|_| resolver.resolve(&node))).await;
        for addr in all {
            assert_eq!(addr.unwrap().to_string(), "10.1.2.3:81");
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_name_without_address_is_an_error_that_is_kept_for_a_moment() {
    let (server, asked) = name_server();
    let resolver = resolver(server);
    let node = node("b.example.com");
    assert!(resolver.resolve(&node).await.is_err());
    let before = asked.load(Ordering::Relaxed);
    assert!(resolver.resolve(&node).await.unwrap_err().to_string().contains("b.example.com"));
    assert_eq!(asked.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn who_goes_away_does_not_take_the_answer_from_the_others() {
    let (server, _) = name_server();
    let resolver = resolver(server);
    let node = node("a.example.org");
    {
        let mut first = std::pin::pin!(resolver.resolve(&node));
        std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_pending())).await;
    }
    assert!(resolver.resolve(&node).await.is_ok());
}

#[tokio::test]
async fn addresses_need_no_name_server() {
    let resolver = resolver(SocketAddr::from(([127, 0, 0, 1], 9)));
    assert_eq!(resolver.resolve(&node("192.0.2.1")).await.unwrap().to_string(), "192.0.2.1:81");
}

#[test]
fn name_servers_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    std::fs::write(&path, "# ours\nnameserver 10.0.0.53\nnameserver fd00::53\nsearch a.test\n").unwrap();
    let (config, _) = read_resolv_conf(&path).unwrap();
    let servers: Vec<String> = config.name_servers().iter().map(|server| server.ip.to_string()).collect();
    assert_eq!((servers, config.search().len()), (vec!["10.0.0.53".to_owned(), "fd00::53".to_owned()], 1));
    std::fs::write(&path, "search a.test\n").unwrap();
    for path in [path, dir.path().join("none")] {
        let why = read_resolv_conf(&path).unwrap_err();
        assert!(why.starts_with(path.to_str().unwrap()), "{why}");
    }
}
