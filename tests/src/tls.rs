//! Certificates, and servers that speak TLS: nginx, and OpenSSL's own.

use crate::{free_port, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};
use tempfile::TempDir;

/// A certificate and its private key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and addresses; the first is its subject, too.
    pub fn sign(&self, names: &[&str]) -> Pair {
        self.sign_params(&params(names, names.first().copied().unwrap_or_default()))
    }

    /// One whose time is over.
    pub fn sign_expired(&self, names: &[&str]) -> Pair {
        let mut params = params(names, "expired");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign_params(&params)
    }

    fn sign_params(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair { cert: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// A certificate that nobody else has signed.
pub fn self_signed(names: &[&str]) -> Pair {
    let key = KeyPair::generate().unwrap();
    Pair { cert: params(names, "self-signed").self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn params(names: &[&str], subject: &str) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

/// A running nginx with servers on ports of their own; it is killed when dropped.
pub struct Nginx {
    dir: TempDir,
    servers: String,
    ports: Vec<u16>,
    child: Option<Child>,
}

impl Nginx {
    /// With no server yet.
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), servers: String::new(), ports: Vec::new(), child: None }
    }

    /// Where a file with this text is.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A server that shows a certificate. Its answers tell what it knows of connection and client; `directives` are its own.
    pub fn server(&mut self, pair: &Pair, directives: &str) -> SocketAddr {
        let port = free_port();
        let cert = self.file(&format!("{port}.pem"), &pair.cert);
        let key = self.file(&format!("{port}.key"), &pair.key);
        self.servers += &format!(
            "server {{
                listen 127.0.0.1:{port} ssl;
                ssl_certificate {cert};
                ssl_certificate_key {key};
                ssl_session_cache shared:sessions{port}:1m;
                add_header X-Name $ssl_server_name always;
                add_header X-Client $ssl_client_s_dn always;
                add_header X-Connection $connection always;
                add_header X-Resumed $ssl_session_reused always;
                add_header X-Alpn $ssl_alpn_protocol always;
                {directives}
                location / {{ default_type text/plain; return 200 hello; }}
            }}\n",
            cert = cert.display(),
            key = key.display(),
        );
        self.ports.push(port);
        ([127, 0, 0, 1], port).into()
    }

    /// The directives that demand a certificate of this authority.
    pub fn demanding(&self, authority: &Authority) -> String {
        let file = self.file("clients.pem", &authority.pem());
        format!("ssl_verify_client on; ssl_client_certificate {};", file.display())
    }

    /// Starts it and waits until it listens.
    pub fn run(&mut self) {
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log info;
            events {{ worker_connections 512; }}
            http {{
                access_log off; client_max_body_size 64m; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
                fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
                {servers}
            }}",
            dir = self.dir.path().display(),
            servers = self.servers,
        );
        let file = self.file("nginx.conf", &config);
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file).arg("-p").arg(self.dir.path()).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("nginx (Debian package nginx-light): {error}")));
        for port in &self.ports {
            wait_for("nginx to listen", || TcpStream::connect(("127.0.0.1", *port)).ok());
        }
    }
}

impl Default for Nginx {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default();
            eprintln!("--- nginx\n{log}");
        }
        kill(&mut self.child);
    }
}

/// `openssl s_server`, which sends what it is told on its one connection; it is killed when dropped.
pub struct OpensslServer {
    pub addr: SocketAddr,
    pub input: Option<ChildStdin>,
    child: Option<Child>,
    _dir: TempDir,
}

impl OpensslServer {
    pub fn start(pair: &Pair, options: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let (cert, key) = (file("cert.pem", &pair.cert), file("key.pem", &pair.key));
        let port = free_port();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        command.arg("-cert").arg(cert).arg("-key").arg(key).args(options);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("openssl (Debian package openssl): {error}"));
        let input = child.stdin.take();
        wait_for("openssl to listen", || is_listening(port).then_some(()));
        Self { addr: ([127, 0, 0, 1], port).into(), input, child: Some(child), _dir: dir }
    }

    /// `kill -9`: whatever is open ends without a word.
    pub fn kill(&mut self) {
        kill(&mut self.child);
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether somebody listens, found out without taking a connection from it.
fn is_listening(port: u16) -> bool {
    let table = std::fs::read_to_string(Path::new("/proc/net/tcp")).unwrap();
    let (local, listening) = (format!("0100007F:{port:04X}"), "0A");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&*local) && fields.nth(1) == Some(listening)
    })
}

fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}
