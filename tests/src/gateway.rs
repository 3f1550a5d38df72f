//! The gateway as its own process.

use crate::{Client, Message, PATIENCE, wait_for};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};
use tempfile::TempDir;

/// The admin key of every fixture.
pub const KEY: &str = "e2e-admin-key-0123456789abcdef";

/// A running gateway; it is killed when dropped.
pub struct Gateway {
    pub dir: TempDir,
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    child: Option<Child>,
    environment: Vec<(String, String)>,
    has_admin: bool,
}

/// The program, next to the test's executable; built when it is missing.
pub fn binary() -> PathBuf {
    static BUILD: Once = Once::new();
    let me = std::env::current_exe().unwrap();
    let path = me.parent().and_then(Path::parent).unwrap().join("portcullis");
    BUILD.call_once(|| {
        if !path.exists() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let built = Command::new(cargo).args(["build", "-p", "portcullis"]).status().unwrap();
            assert!(built.success(), "portcullis cannot be built");
        }
    });
    path
}

/// A free port that no other fixture of this process gets. Outside of the range that the kernel gives
/// to outgoing connections, so that it stays free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (std::process::id().wrapping_mul(97).wrapping_add(n)) % 20_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A route for every path, to one node.
pub fn route_to(addr: SocketAddr) -> Value {
    json!({ "uri": "/*", "upstream": { "type": "roundrobin", "nodes": { addr.to_string(): 1 } } })
}

impl Gateway {
    /// Starts with the fixture's settings; `extra` is merged over them.
    pub fn start(extra: Value) -> Self {
        Self::start_in(&[], extra)
    }

    /// The same in an environment that has these variables, too.
    pub fn start_in(environment: &[(&str, &str)], extra: Value) -> Self {
        Self::start_with(environment, &[], extra)
    }

    /// The same with these files next to `config.yaml`.
    pub fn start_with(environment: &[(&str, &str)], files: &[(&str, &str)], extra: Value) -> Self {
        let dir = TempDir::new().unwrap();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (proxy, admin) = (local(free_port()), local(free_port()));
        let mut config = json!({
            "apisix": {
                "node_listen": [{ "ip": "127.0.0.1", "port": proxy.port() }],
                "enable_control": false,
            },
            "deployment": { "admin": {
                "admin_listen": { "ip": "127.0.0.1", "port": admin.port() },
                "admin_key": [{ "name": "admin", "key": KEY, "role": "admin" }],
            } },
            "nginx_config": { "error_log": dir.path().join("error.log"), "http": { "access_log": dir.path().join("access.log") } },
            "plugin_attr": { "prometheus": { "enable_export_server": false } },
            "portcullis": { "data_dir": dir.path().join("data"), "workers": 2 },
        });
        merge(&mut config, extra);
        std::fs::write(dir.path().join("config.yaml"), config.to_string()).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let has_admin = config["deployment"]["role"] != "data_plane" && config["apisix"]["enable_admin"] != false;
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut this = Self { dir, proxy, admin, child: None, environment, has_admin };
        this.run();
        this
    }

    /// With a single worker, so that connections to upstreams are kept in one place.
    pub fn with_one_worker() -> Self {
        Self::start(json!({ "portcullis": { "workers": 1 } }))
    }

    /// With one upstream behind every path.
    pub fn before(upstream: &crate::Upstream) -> Self {
        let this = Self::start(json!({}));
        this.put("routes/all", &route_to(upstream.addr));
        this
    }

    /// The process's own end of `run`, without waiting for it to be ready.
    pub fn spawn(&self) -> Child {
        let out = |name: &str| {
            std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join(name)).unwrap()
        };
        Command::new(binary())
            .args(["run", "-c", "config.yaml"])
            .current_dir(self.dir.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out("stdout"))
            .stderr(out("stderr"))
            .spawn()
            .unwrap()
    }

    /// Starts the process (again) and waits until it listens.
    pub fn run(&mut self) {
        if let Err(status) = self.try_run() {
            panic!("the gateway ended: {status}: {}", self.file("stderr"));
        }
    }

    /// Starts the process (again) and waits until it listens or has ended.
    ///
    /// # Errors
    /// How it ended.
    pub fn try_run(&mut self) -> Result<(), ExitStatus> {
        let mut child = self.spawn();
        for addr in [Some(self.proxy), self.has_admin.then_some(self.admin)].into_iter().flatten() {
            let ended = wait_for("the gateway to listen or to end", || {
                if let Some(status) = child.try_wait().unwrap() {
                    return Some(Some(status));
                }
                TcpStream::connect(addr).is_ok().then_some(None)
            });
            if let Some(status) = ended {
                return Err(status);
            }
        }
        self.child = Some(child);
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running gateway").id()
    }

    /// Sends a signal by its name, once the process catches it: it listens before it does.
    pub fn signal(&self, name: &str) {
        let number = match name {
            "HUP" => 1,
            "INT" => 2,
            "QUIT" => 3,
            "USR1" => 10,
            _ => 15,
        };
        wait_for("the process to catch the signal", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            let caught = u64::from_str_radix(line.trim(), 16).unwrap();
            (caught >> (number - 1) & 1 == 1).then_some(())
        });
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running gateway");
        wait_for("the process to end", || child.try_wait().unwrap())
    }

    /// `kill -9`, and waits.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A file in the gateway's folder, as text.
    pub fn file(&self, name: &str) -> String {
        let bytes = std::fs::read(self.dir.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A connection to the proxy.
    pub fn client(&self) -> Client {
        Client::connect(self.proxy)
    }

    /// One request on a connection of its own.
    pub fn get(&self, path: &str) -> Message {
        self.client().ask(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"))
    }

    /// One call of the Admin API with a body as it is.
    pub fn admin_raw(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let mut client = Client::connect(self.admin);
        client.send(format!(
            "{method} /apisix/admin/{path} HTTP/1.1\r\nHost: admin\r\nX-API-KEY: {KEY}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        ));
        client.send(body);
        let answer = client.response().expect("an answer of the Admin API");
        (answer.status(), answer.text())
    }

    /// One call of the Admin API.
    pub fn admin(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.admin_raw(method, path, body.as_bytes());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Stores a document, and waits until the proxy knows it: writes are applied before they are acknowledged or soon after.
    pub fn put(&self, path: &str, body: &Value) {
        let (status, answer) = self.admin("PUT", path, body);
        assert!(matches!(status, 200 | 201), "PUT {path}: {status} {answer}");
        if path.starts_with("routes/") {
            // A worker takes the newest snapshot with each request: nothing to wait for after the acknowledgement.
            let until = Instant::now() + PATIENCE;
            while self.admin("GET", path, &Value::Null).0 != 200 {
                assert!(Instant::now() < until, "{path} was acknowledged and is not there");
            }
        }
    }

    /// Resident memory in KiB.
    pub fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.file("error.log");
            eprintln!("--- stderr\n{}--- error.log\n{log}", self.file("stderr"));
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
