//! limit-req and limit-conn beside nginx's `limit_req` and `limit_conn`: the same clients at both, at the same time.
//!
//! Numbers are compared with each other and with what the limits say, so that a machine that is slow is slow for both.

use e2e::{Client, Gateway, Upstream, free_port, route_to, wait_for};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Barrier, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const REQUEST: &str = "GET /limited HTTP/1.1\r\nHost: a\r\n\r\n";

struct Nginx {
    child: Child,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Nginx {
    /// With these lines about zones, and these in its one server.
    fn start(upstream: SocketAddr, zones: &str, limits: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/{name};\n", dir.path().display()))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {}/pid;\nerror_log stderr crit;\nevents {{ worker_connections 1024; }}\n\
             http {{\naccess_log off;\n{temp}{zones}\nserver {{ listen {addr};\n{limits}\nlocation / {{ proxy_pass http://{upstream}; }} }}\n}}\n",
            dir.path().display()
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("nginx (Debian package nginx-light): {error}"));
        let this = Self { child, addr, _dir: dir };
        wait_for("nginx to listen", || TcpStream::connect(addr).ok().map(drop));
        this
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both servers with the same limit before one upstream.
struct Both {
    nginx: Nginx,
    gateway: Gateway,
}

impl Both {
    fn new(upstream: &Upstream, zones: &str, limits: &str, plugins: &Value) -> Self {
        let gateway = Gateway::start(json!({}));
        let mut route = route_to(upstream.addr);
        route["plugins"] = plugins.clone();
        gateway.put("routes/limited", &route);
        Self { nginx: Nginx::start(upstream.addr, zones, limits), gateway }
    }

    fn rate(upstream: &Upstream, rate: u32, burst: u32, delays: bool) -> Self {
        let nodelay = if delays { "" } else { " nodelay" };
        Self::new(
            upstream,
            &format!("limit_req_zone $server_addr zone=z:1m rate={rate}r/s;"),
            &format!("limit_req zone=z burst={burst}{nodelay};"),
            &json!({ "limit-req": { "rate": rate, "burst": burst, "key": "server_addr", "nodelay": !delays } }),
        )
    }

    /// The same by both at the same time, first nginx's.
    fn each<T: Send>(&self, work: impl Fn(&dyn Fn() -> Client) -> T + Sync) -> (T, T) {
        let nginx = || Client::connect(self.nginx.addr);
        thread::scope(|scope| {
            let there = scope.spawn(|| work(&nginx));
            let here = work(&|| self.gateway.client());
            (there.join().unwrap(), here)
        })
    }
}

/// What became of many requests that came at once: how many passed at once, how many had to wait, how many were refused.
#[derive(Debug, PartialEq)]
struct Burst {
    passed: usize,
    delayed: usize,
    refused: usize,
}

/// `wait` is the shortest that a request can be made to wait.
fn burst(connect: &dyn Fn() -> Client, requests: usize, wait: Duration) -> Burst {
    let start = Barrier::new(requests);
    let clients: Vec<Client> = (0..requests).map(|_| connect()).collect();
    let answers: Vec<(u16, Duration)> = thread::scope(|scope| {
        let running: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    let begun = Instant::now();
                    (client.ask(REQUEST).status(), begun.elapsed())
                })
            })
            .collect();
        running.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let of = |status: u16, is_delayed: bool| {
        answers.iter().filter(|(seen, took)| *seen == status && (*took >= wait / 2) == is_delayed).count()
    };
    Burst { passed: of(200, false), delayed: of(200, true), refused: of(503, false) + of(503, true) }
}

fn are_near(one: usize, other: usize, tolerance: usize) -> bool {
    one.abs_diff(other) <= tolerance
}

#[test]
fn of_many_requests_at_once_as_many_pass_wait_and_are_refused_as_by_nginx() {
    let upstream = Upstream::hello();
    // One that leaks slowly: no request's turn comes while they arrive.
    let wait = Duration::from_secs(1);
    for (delays, passed, delayed) in [(true, 1, 2), (false, 3, 0)] {
        let both = Both::rate(&upstream, 1, 2, delays);
        let (nginx, ours) = both.each(|connect| burst(connect, 12, wait));
        let expected = Burst { passed, delayed, refused: 9 };
        for (who, seen) in [("nginx", &nginx), ("Portcullis", &ours)] {
            let is_as_expected = are_near(seen.passed, expected.passed, 1)
                && are_near(seen.delayed, expected.delayed, 1)
                && are_near(seen.refused, expected.refused, 1);
            assert!(is_as_expected, "{who}, delays: {delays}: {seen:?} instead of {expected:?}");
        }
    }
}

#[test]
fn requests_in_a_row_are_as_fast_as_by_nginx() {
    let upstream = Upstream::hello();
    let both = Both::rate(&upstream, 20, 5, true);
    // Each comes when the one before is answered, and waits for its turn.
    let (nginx, ours) = both.each(|connect| {
        let mut client = connect();
        let begun = Instant::now();
        let passed = (0..20).filter(|_| client.ask(REQUEST).status() == 200).count();
        (passed, begun.elapsed())
    });
    assert_eq!((nginx.0, ours.0), (20, 20));
    let ratio = ours.1.as_secs_f64() / nginx.1.as_secs_f64();
    assert!((0.75..1.35).contains(&ratio), "nginx {:?}, Portcullis {:?}", nginx.1, ours.1);
}

#[test]
fn at_twice_the_rate_as_many_pass_as_by_nginx() {
    let upstream = Upstream::hello();
    let both = Both::rate(&upstream, 20, 4, false);
    let (nginx, ours) = both.each(|connect| {
        let mut client = connect();
        let begun = Instant::now();
        let passed = (0..60u32)
            .filter(|n| {
                // The pace of the load, which both see alike.
                thread::sleep((Duration::from_millis(25) * *n).saturating_sub(begun.elapsed()));
                client.ask(REQUEST).status() == 200
            })
            .count();
        (passed, begun.elapsed().as_secs_f64())
    });
    for (who, (passed, seconds)) in [("nginx", nginx), ("Portcullis", ours)] {
        // One, the burst, and what leaked meanwhile, but not more than there were.
        let expected = ((5.0 + 20.0 * seconds) as usize).min(60);
        assert!(are_near(passed, expected, 3), "{who}: {passed} instead of {expected}");
    }
}

#[test]
fn as_many_run_at_a_time_as_by_nginx() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let seen = gate.clone();
    let upstream = Upstream::start(move |incoming| {
        while incoming.request().is_some() {
            drop(seen.1.wait_while(seen.0.lock().unwrap(), |is_open| !*is_open).unwrap());
            incoming.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let both = Both::new(
        &upstream,
        "limit_conn_zone $server_addr zone=z:1m;",
        "limit_conn z 3;",
        &json!({ "limit-conn": {
            "conn": 3, "burst": 0, "default_conn_delay": 0.1, "only_use_default_delay": true, "key": "server_addr",
        } }),
    );
    let begin = |connect: &dyn Fn() -> Client| {
        let mut client = connect();
        client.send(REQUEST);
        client
    };
    let (nginx, ours) = both.each(|connect| (0..3).map(|_| begin(connect)).collect::<Vec<Client>>());
    upstream.wait_requests(6);
    let (there, here) = both.each(|connect| (0..4).map(|_| connect().ask(REQUEST).status()).collect::<Vec<u16>>());
    assert_eq!((there, here), (vec![503; 4], vec![503; 4]));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for mut client in nginx.into_iter().chain(ours) {
        assert_eq!(client.response().expect("an answer").status(), 200);
    }
    // Whoever has ended has left.
    let (there, here) = both.each(|connect| {
        wait_for("three places", || {
            let mut three: Vec<Client> = (0..3).map(|_| begin(connect)).collect();
            three.iter_mut().all(|client| client.response().is_some_and(|answer| answer.status() == 200)).then_some(())
        });
    });
    assert_eq!((there, here), ((), ()));
}
