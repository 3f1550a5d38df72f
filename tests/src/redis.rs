//! Redis as its own process: a server, a cluster, sentinels.

use crate::{free_port, wait_for};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// The password of every fixture that has one.
pub const PASSWORD: &str = "redis-password-of-the-tests";

/// A Redis; it is killed when dropped.
pub struct Redis {
    pub port: u16,
    dir: TempDir,
    options: Vec<String>,
    program: &'static str,
    child: Option<Child>,
    password: Option<&'static str>,
}

impl Redis {
    /// Without a password.
    pub fn start() -> Self {
        Self::start_with(None, &[])
    }

    /// With a password, and with more options.
    pub fn start_with(password: Option<&'static str>, options: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let port = free_port();
        let mut all: Vec<String> = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]
            .iter()
            .map(|option| (*option).to_owned())
            .chain([port.to_string(), "--dir".to_owned(), dir.path().display().to_string()])
            .collect();
        if let Some(password) = password {
            all.extend(["--requirepass", password, "--masterauth", password].map(str::to_owned));
        }
        all.extend(options.iter().map(|option| (*option).to_owned()));
        Self::spawn(Self { port, dir, options: all, program: "redis-server", child: None, password })
    }

    /// With TLS and nothing else, and the folder that has the authority of its certificate.
    pub fn with_tls() -> (Self, TempDir) {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertifiedIssuer::self_signed(params, authority_key).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(file("authority.pem"), authority.pem()).unwrap();
        std::fs::write(file("server.pem"), certificate.pem()).unwrap();
        std::fs::write(file("server.key"), key.serialize_pem()).unwrap();
        let port = free_port().to_string();
        let (certificate, key) = (file("server.pem"), file("server.key"));
        let options = [
            "--tls-port",
            &*port,
            "--tls-cert-file",
            &*certificate,
            "--tls-key-file",
            &*key,
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            &*certificate,
        ];
        let mut this = Self::start_with(None, &options);
        this.port = port.parse().unwrap();
        (this, folder)
    }

    /// A sentinel that watches a master.
    fn sentinel_of(master: &Self, quorum: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let port = free_port();
        let mut config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor mymaster 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n",
            dir.path().display(),
            master.port
        );
        if let Some(password) = master.password {
            config += &format!(
                "sentinel auth-pass mymaster {password}\nrequirepass {password}\nsentinel sentinel-pass {password}\n"
            );
        }
        let file = dir.path().join("sentinel.conf");
        std::fs::write(&file, config).unwrap();
        let options = vec![file.display().to_string(), "--sentinel".to_owned()];
        Self::spawn(Self { port, dir, options, program: "redis-server", child: None, password: master.password })
    }

    fn spawn(mut self) -> Self {
        self.run();
        self
    }

    /// Starts it (again) and waits until it answers.
    pub fn run(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new(self.program).args(&self.options).stdin(Stdio::null()).stdout(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("redis-server (Debian package redis-server): {error}"));
        self.child = Some(child);
        wait_for("Redis to answer", || self.try_ask(&["PING"]).filter(|answer| answer == "+PONG"));
    }

    pub fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The first line of the answer to a command, or the text that follows it.
    pub fn ask(&self, command: &[&str]) -> String {
        self.try_ask(command).unwrap_or_else(|| panic!("Redis does not answer {command:?}"))
    }

    fn try_ask(&self, command: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.addr(), Duration::from_secs(5)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut lines = BufReader::new(stream.try_clone().ok()?);
        let mut answer = |command: &[&str]| -> Option<String> {
            let mut text = format!("*{}\r\n", command.len());
            for word in command {
                text += &format!("${}\r\n{word}\r\n", word.len());
            }
            stream.write_all(text.as_bytes()).ok()?;
            let mut line = String::new();
            lines.read_line(&mut line).ok()?;
            let line = line.trim_end();
            let Some(length) = line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) else {
                return (!line.is_empty()).then(|| line.to_owned());
            };
            let mut body = vec![0; length + 2];
            lines.read_exact(&mut body).ok()?;
            body.truncate(length);
            String::from_utf8(body).ok()
        };
        if let Some(password) = self.password {
            answer(&["AUTH", password])?;
        }
        answer(command)
    }

    /// `kill -9`, and waits.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it without closing its connections, or lets it go on.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("a running Redis").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &*pid]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three masters that share the slots.
pub struct RedisCluster {
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    pub fn start() -> Self {
        let nodes: Vec<Redis> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                let options = ["--cluster-enabled", "yes", "--cluster-port", &*bus, "--cluster-node-timeout", "2000"];
                Redis::start_with(Some(PASSWORD), &options)
            })
            .collect();
        let addresses = nodes.iter().map(|node| node.addr().to_string());
        let made = Command::new("redis-cli")
            .args(["-a", PASSWORD, "--no-auth-warning", "--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .output()
            .expect("redis-cli (Debian package redis-tools)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        for node in &nodes {
            wait_for("the cluster to be whole", || {
                let info = node.ask(&["CLUSTER", "INFO"]);
                (info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")).then_some(())
            });
        }
        Self { nodes }
    }
}

/// A master, a replica, and three sentinels that watch them.
pub struct RedisSentinels {
    pub master: Redis,
    pub replica: Redis,
    pub sentinels: Vec<Redis>,
}

impl RedisSentinels {
    pub fn start() -> Self {
        let master = Redis::start_with(Some(PASSWORD), &[]);
        let replica = Redis::start_with(Some(PASSWORD), &["--replicaof", &format!("127.0.0.1 {}", master.port)]);
        let sentinels: Vec<Redis> = (0..3).map(|_| Redis::sentinel_of(&master, 2)).collect();
        wait_for("the replica to be in step", || {
            replica.ask(&["INFO", "replication"]).contains("master_link_status:up").then_some(())
        });
        for sentinel in &sentinels {
            wait_for("the sentinels to know each other and the replica", || {
                let info = sentinel.ask(&["INFO", "sentinel"]);
                (info.contains("slaves=1") && info.contains("sentinels=3")).then_some(())
            });
        }
        Self { master, replica, sentinels }
    }
}
