//! The servers of a run: the upstream and the gateways that are compared.

use super::{
    admin::{Admin, Client},
    cpu,
};
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The core of the measured gateway.
const GATEWAY_CORE: &str = "0";
/// The core of load, upstream and this program.
pub(super) const LOAD_CORE: &str = "1";

/// Open files of this process and of each server; idle-memory needs most of them.
pub(super) const OPEN_FILES: usize = 20_000;

/// How long a server may take to accept connections.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A directory that goes with the run.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("portcullis-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A new directory in it.
    pub(super) fn dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running server; it ends with this value.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    /// HTTP/1.1
    pub(super) port: u16,
    /// HTTP/2 with prior knowledge
    pub(super) h2_port: u16,
    /// From exec to the first accepted connection.
    pub(super) ready: Duration,
    /// Portcullis only.
    pub(super) admin: Option<Admin>,
}

impl Server {
    fn start(name: &str, core: &str, program: &Path, args: &[&str], dir: &Path, ports: (u16, u16)) -> Result<Self> {
        let log_path = dir.join("output.log");
        let log = File::create(&log_path)?;
        let mut command = Command::new("taskset");
        command.args(["-c", core]).arg(program).args(args).current_dir(dir);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = Instant::now();
        let child = command.spawn().context("cannot start taskset (Debian package util-linux)")?;
        let mut server =
            Self { child, log: log_path, port: ports.0, h2_port: ports.1, ready: Duration::ZERO, admin: None };
        server.wait_for_port(name, ports.0)?;
        server.ready = started.elapsed();
        Ok(server)
    }

    /// Waits until connections to a port are accepted.
    fn wait_for_port(&mut self, name: &str, port: u16) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{name} ended with {status}: {}", tail(&self.log));
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("{name} accepts no connection on port {port}: {}", tail(&self.log));
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What went wrong with it, and its last words if it ended.
    pub(super) fn explain(&self, error: &anyhow::Error) -> String {
        if cpu::is_running(self.pid()) {
            format!("{error:#}")
        } else {
            format!("{error:#}; it ended and said: {}", tail(&self.log))
        }
    }

    /// Waits until a request is answered with a status.
    pub(super) fn wait_for(&self, path: &str, header: Option<&str>, status: u16) -> Result<()> {
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < START_TIMEOUT {
            match Client::connect(self.port).and_then(|mut client| client.get(path, header)) {
                Ok(got) if got == status => return Ok(()),
                Ok(got) => last = format!("status {got}"),
                Err(error) => last = format!("{error:#}"),
            }
            thread::sleep(Duration::from_millis(2));
        }
        bail!("{path} is not answered with {status}: {last}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let family = cpu::family(self.pid()).unwrap_or_default();
        signal("-TERM", &[self.pid()]);
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(3) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        signal("-KILL", &family);
        let _ = self.child.wait();
    }
}

fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    let _ = Command::new("kill").arg(name).args(pids).stderr(Stdio::null()).status();
}

fn tail(log: &Path) -> String {
    let mut text = String::new();
    let _ = File::open(log).and_then(|mut file| file.read_to_string(&mut text));
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

fn free_ports() -> Result<(u16, u16)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

fn random_key() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// nginx drops root for `nobody`, who cannot read the scratch directory.
fn nginx_user() -> &'static str {
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if is_root { "user root;\n" } else { "" }
}

fn nginx(name: &str, core: &str, dir: &Path, ports: (u16, u16), http: &str) -> Result<Server> {
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", dir.display()))
        .collect();
    let config = format!(
        "{user}worker_processes 1;\nworker_rlimit_nofile {OPEN_FILES};\ndaemon off;\npid {dir}/nginx.pid;\nerror_log stderr error;\n\
         events {{ worker_connections 18000; }}\nhttp {{\n{temp}  access_log off;\n  keepalive_requests 100000000;\n  \
         keepalive_timeout 600s;\n{http}}}\n",
        user = nginx_user(),
        dir = dir.display(),
    );
    let path = dir.join("nginx.conf");
    fs::write(&path, config)?;
    let path = path.to_string_lossy();
    Server::start(name, core, Path::new("nginx"), &["-p", &dir.to_string_lossy(), "-c", &path], dir, ports)
}

/// The upstream: nginx with files of 1 KiB and 64 KiB, and `/post`. On its other port it listens on every loopback address.
pub(super) fn upstream(scratch: &Scratch) -> Result<Server> {
    let dir = scratch.dir("upstream")?;
    let root = dir.join("files");
    for place in [root.clone(), root.join("protected")] {
        fs::create_dir_all(&place)?;
        fs::write(place.join("1k"), vec![b'x'; 1 << 10])?;
        fs::write(place.join("64k"), vec![b'x'; 64 << 10])?;
    }
    let ports = free_ports()?;
    let http = format!(
        "  sendfile on;\n  tcp_nopush on;\n  open_file_cache max=100;\n  server {{\n    listen 127.0.0.1:{};\n    \
         listen 0.0.0.0:{};\n    allow 127.0.0.0/8;\n    deny all;\n    root {};\n    \
         location /post {{ return 200 \"ok\\n\"; }}\n    location /r/ {{ rewrite ^ /1k break; }}\n  }}\n",
        ports.0,
        ports.1,
        root.display()
    );
    nginx("the upstream", LOAD_CORE, &dir, ports, &http)
}

/// nginx as a bare proxy.
pub(super) fn nginx_proxy(scratch: &Scratch, upstream: u16) -> Result<Server> {
    let ports = free_ports()?;
    let http = format!(
        "  upstream backend {{ server 127.0.0.1:{upstream}; keepalive 320; keepalive_requests 100000000; }}\n  server {{\n    \
         listen 127.0.0.1:{};\n    listen 127.0.0.1:{} http2;\n    location / {{\n      proxy_pass http://backend;\n      \
         proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n    }}\n    \
         location = /refused {{ return 401; }}\n  }}\n",
        ports.0, ports.1
    );
    nginx("nginx", GATEWAY_CORE, &scratch.dir("nginx")?, ports, &http)
}

/// HAProxy as a bare proxy.
pub(super) fn haproxy(scratch: &Scratch, upstream: u16) -> Result<Server> {
    let ports = free_ports()?;
    let dir = scratch.dir("haproxy")?;
    let config = format!(
        "global\n  nbthread 1\n  no strict-limits\n  maxconn 12000\ndefaults\n  mode http\n  timeout connect 5s\n  \
         timeout client 600s\n  timeout server 600s\n  timeout http-keep-alive 600s\n  http-reuse always\n\
         frontend front\n  bind 127.0.0.1:{}\n  bind 127.0.0.1:{} proto h2\n  \
         http-request return status 401 if {{ path /refused }}\n  default_backend back\n\
         backend back\n  server one 127.0.0.1:{upstream}\n",
        ports.0, ports.1
    );
    let path = dir.join("haproxy.cfg");
    fs::write(&path, config)?;
    Server::start("HAProxy", GATEWAY_CORE, Path::new("haproxy"), &["-db", "-f", &path.to_string_lossy()], &dir, ports)
}

/// How Portcullis is set up.
#[derive(Clone, Copy, Default)]
pub(super) struct Setup<'a> {
    /// `apisix.router.http`.
    pub(super) router: Option<&'a str>,
    /// The text of `apisix.yaml`, which is followed then instead of an Admin API.
    pub(super) file: Option<&'a str>,
}

/// Portcullis; what it stored under the same `name` before is still there.
pub(super) fn portcullis(scratch: &Scratch, binary: &Path, name: &str, setup: Setup<'_>) -> Result<Server> {
    let (port, admin_port) = free_ports()?;
    let dir = scratch.dir(name)?;
    let key = random_key()?;
    let router = setup.router.map(|router| format!("  router: {{http: {router}}}\n")).unwrap_or_default();
    let deployment = match setup.file {
        Some(text) => {
            fs::write(dir.join("apisix.yaml"), text)?;
            "  role: data_plane\n  role_data_plane: {config_provider: yaml}\n".to_owned()
        }
        None => format!(
            "  admin:\n    admin_key: [{{name: admin, key: {key:?}, role: admin}}]\n    \
             admin_listen: {{ip: 127.0.0.1, port: {admin_port}}}\n"
        ),
    };
    let config = format!(
        "apisix:\n  node_listen: [{{ip: 127.0.0.1, port: {port}}}]\n  enable_control: false\n  ssl: {{enable: false}}\n{router}\
         deployment:\n{deployment}\
         nginx_config:\n  error_log_level: error\n  http:\n    enable_access_log: false\n    keepalive_timeout: 600s\n    \
         upstream: {{keepalive: 320, keepalive_requests: 100000000}}\n\
         plugin_attr:\n  prometheus: {{enable_export_server: false}}\n\
         portcullis:\n  workers: 1\n  data_dir: {}\n  limits: {{requests_per_connection: 0}}\n",
        dir.join("data").display()
    );
    let path = dir.join("config.yaml");
    fs::write(&path, config)?;
    let args = ["run", "-c", &path.to_string_lossy()];
    let mut server = Server::start("portcullis", GATEWAY_CORE, binary, &args, &dir, (port, port))?;
    if setup.file.is_none() {
        // It may listen a little later than the proxy.
        server.wait_for_port("portcullis's Admin API", admin_port)?;
        server.admin = Some(Admin { port: admin_port, key });
    }
    Ok(server)
}
