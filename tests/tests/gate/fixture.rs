use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

pub(crate) const KEY: &str = "test-admin-key-0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway of its own: own folder, own ports, ended with the test.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
}

pub(crate) fn binary() -> PathBuf {
    let mut path = std::env::current_exe().expect("the test's own path");
    path.pop();
    path.pop();
    let path = path.join("portcullis");
    if !path.exists() {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let built = Command::new(cargo).args(["build", "-p", "portcullis"]).status().expect("cargo runs");
        assert!(built.success(), "portcullis builds");
    }
    path
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not happen in time");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn write_config(dir: &Path, proxy: u16, admin: u16, extra: &str) {
    let config = format!(
        "apisix:\n  node_listen:\n    - ip: 127.0.0.1\n      port: {proxy}\n  enable_control: false\n\
         deployment:\n  admin:\n    admin_key:\n      - name: admin\n        key: {KEY}\n        role: admin\n    \
         admin_listen:\n      ip: 127.0.0.1\n      port: {admin}\n\
         plugin_attr:\n  prometheus:\n    enable_export_server: false\n\
         nginx_config:\n  worker_processes: 2\n  error_log_level: warn\n  error_log: {dir}/error.log\n  http:\n    access_log: {dir}/access.log\n\
         portcullis:\n  data_dir: {dir}/data\n{extra}",
        dir = dir.display()
    );
    fs::write(dir.join("config.yaml"), config).expect("the configuration is written");
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    pub(crate) fn start_with(extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (proxy, admin) = (free_port(), free_port());
        write_config(dir.path(), proxy, admin, extra);
        let child = launch(dir.path());
        let gateway = Self {
            child,
            dir,
            proxy: SocketAddr::from(([127, 0, 0, 1], proxy)),
            admin: SocketAddr::from(([127, 0, 0, 1], admin)),
        };
        gateway.wait_until_ready();
        gateway
    }

    fn wait_until_ready(&self) {
        wait_for("the start of the gateway", || {
            TcpStream::connect(self.proxy).and(TcpStream::connect(self.admin)).ok().map(drop)
        });
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid()]).status().expect("kill runs");
        assert!(sent.success());
    }

    pub(crate) fn wait_for_end(&mut self) -> Option<i32> {
        wait_for("the end of the gateway", || self.child.try_wait().expect("a child")).code()
    }

    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
        self.child = launch(self.dir.path());
        self.wait_until_ready();
    }

    /// Sends bytes, half-closes nothing, and reads until the gateway closes or is silent for a while.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        exchange(self.proxy, request)
    }

    pub(crate) fn get(&self, path: &str, fields: &str) -> Answer {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n").as_bytes())
    }

    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = format!(
            "{method} /apisix/admin{path} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = exchange(self.admin, request.as_bytes());
        (answer.status(), answer.body())
    }

    pub(crate) fn put(&self, path: &str, value: &Value) {
        let (status, body) = self.admin("PUT", path, &value.to_string());
        assert!(status == 200 || status == 201, "{path}: {status} {body}");
    }

    /// A route for everything to an upstream.
    pub(crate) fn route_to(&self, upstream: SocketAddr) {
        let nodes = serde_json::json!({ upstream.to_string(): 1 });
        self.put("/routes/1", &serde_json::json!({ "uri": "/*", "upstream": { "nodes": nodes } }));
    }
}

fn launch(dir: &Path) -> Child {
    Command::new(binary())
        .args(["run", "-c"])
        .arg(dir.join("config.yaml"))
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the gateway starts")
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came back, and whether the connection was closed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_closed: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn status(&self) -> u16 {
        self.text().split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn body(&self) -> String {
        self.text().split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let text = self.text();
        let head = text.split_once("\r\n\r\n")?.0.to_owned();
        head.lines().find_map(|line| {
            let (have, value) = line.split_once(": ")?;
            have.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }
}

pub(crate) fn exchange(addr: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    // The gateway may refuse before everything is sent.
    let _ = stream.write_all(request);
    read_all(&mut stream)
}

pub(crate) fn read_all(stream: &mut TcpStream) -> Answer {
    stream.set_read_timeout(Some(Duration::from_millis(700))).expect("a timeout");
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Answer { bytes, is_closed: true },
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return Answer { bytes, is_closed: true };
            }
            Err(_) => return Answer { bytes, is_closed: false },
        }
    }
}

/// An upstream of raw bytes: records what it gets, answers what it is told.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    pub(crate) got: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Upstream {
    /// Each request head (and what came with it) is answered with `answer(request)`.
    pub(crate) fn start(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let got: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (record, answer) = (got.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (record, answer) = (record.clone(), answer.clone());
                thread::spawn(move || converse(stream, &record, &*answer));
            }
        });
        Self { addr, got }
    }

    pub(crate) fn ok() -> Self {
        Self::start(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n".to_vec())
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.got.lock().expect("a lock").iter().map(|r| String::from_utf8_lossy(r).into_owned()).collect()
    }
}

fn converse(mut stream: TcpStream, record: &Mutex<Vec<Vec<u8>>>, answer: &dyn Fn(&[u8]) -> Vec<u8>) {
    let mut pending = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        while let Some(end) = complete(&pending) {
            let request: Vec<u8> = pending.drain(..end).collect();
            record.lock().expect("a lock").push(request.clone());
            let reply = answer(&request);
            let closes = reply.is_empty() || String::from_utf8_lossy(&reply).contains("Connection: close");
            if stream.write_all(&reply).is_err() || closes {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => pending.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
}

/// Where the first request ends, by its length or its last chunk.
fn complete(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        let end = bytes[head..].windows(5).position(|w| w == b"0\r\n\r\n")?;
        return Some(head + end + 5);
    }
    let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}
