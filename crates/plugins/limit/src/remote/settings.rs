use super::plan::{Plan, Target};
use plugin::{BuildEnv, BuildError};
use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, TlsMode,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use serde::Deserialize;
use std::{path::PathBuf, time::Duration};

/// Where state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// In this process.
    Local,
    /// In a Redis.
    Redis,
    /// In a Redis cluster.
    RedisCluster,
    /// In the Redis that sentinels name.
    RedisSentinel,
}

#[derive(Deserialize)]
struct Server {
    redis_host: String,
    redis_port: u64,
    redis_username: Option<String>,
    redis_password: Option<String>,
    redis_database: i64,
    redis_timeout: u64,
    redis_ssl: bool,
    redis_ssl_verify: bool,
    redis_keepalive_timeout: u64,
}

#[derive(Deserialize)]
struct Cluster {
    redis_cluster_nodes: Vec<String>,
    redis_password: Option<String>,
    redis_timeout: u64,
    redis_cluster_ssl: bool,
    redis_cluster_ssl_verify: bool,
    redis_keepalive_timeout: u64,
}

#[derive(Deserialize)]
struct Sentinels {
    redis_sentinels: Vec<Sentinel>,
    redis_master_name: String,
    redis_role: Role,
    redis_connect_timeout: u64,
    redis_read_timeout: u64,
    redis_keepalive_timeout: u64,
    redis_database: i64,
    redis_username: Option<String>,
    redis_password: Option<String>,
    sentinel_username: Option<String>,
    sentinel_password: Option<String>,
}

#[derive(Deserialize)]
struct Sentinel {
    host: String,
    port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Master,
    Slave,
}

impl Plan {
    /// How the Redis of a configuration is reached; `None` when there is none.
    pub(super) fn compile(policy: Policy, env: &BuildEnv<'_>) -> Result<Option<Self>, BuildError> {
        Ok(match policy {
            Policy::Local => None,
            Policy::Redis => Some(read::<Server>(env)?.plan()?),
            Policy::RedisCluster => Some(read::<Cluster>(env)?.plan()?),
            Policy::RedisSentinel => Some(read::<Sentinels>(env)?.plan()?),
        })
    }
}

fn read<T: for<'de> Deserialize<'de>>(env: &BuildEnv<'_>) -> Result<T, BuildError> {
    T::deserialize(env.config).map_err(|error| BuildError(format!("{}: {error}", plugin::MISFIT)))
}

impl Server {
    fn plan(self) -> Result<Plan, BuildError> {
        let addr = match self.redis_host.strip_prefix("unix:") {
            Some(path) => ConnectionAddr::Unix(PathBuf::from(path)),
            None => address(&self.redis_host, port(self.redis_port)?, self.redis_ssl.then_some(self.redis_ssl_verify)),
        };
        let mut login = login(self.redis_username.as_deref(), self.redis_password.as_deref());
        login = login.set_db(self.redis_database);
        Ok(Plan {
            name: format!("Redis {addr}"),
            target: Target::Server(Box::new(info(addr, login)?)),
            connect_timeout: Duration::from_millis(self.redis_timeout),
            timeout: Duration::from_millis(self.redis_timeout),
            idle: Duration::from_millis(self.redis_keepalive_timeout),
        })
    }
}

impl Cluster {
    fn plan(self) -> Result<Plan, BuildError> {
        let tls = self.redis_cluster_ssl.then_some(self.redis_cluster_ssl_verify);
        let nodes = self.redis_cluster_nodes.iter().map(|node| {
            let (host, port) = host_and_port(node)?;
            info(address(host, port, tls), login(None, self.redis_password.as_deref()))
        });
        Ok(Plan {
            name: format!("the Redis cluster at {}", self.redis_cluster_nodes.join(", ")),
            target: Target::Cluster {
                nodes: nodes.collect::<Result<_, _>>()?,
                tls: tls.map(|verify| if verify { TlsMode::Secure } else { TlsMode::Insecure }),
                timeout: Duration::from_millis(self.redis_timeout),
            },
            // Nodes are asked one after the other.
            connect_timeout: Duration::from_millis(self.redis_timeout).saturating_mul(2),
            timeout: Duration::from_millis(self.redis_timeout),
            idle: Duration::from_millis(self.redis_keepalive_timeout),
        })
    }
}

impl Sentinels {
    fn plan(self) -> Result<Plan, BuildError> {
        let addresses: Vec<ConnectionAddr> =
            self.redis_sentinels.iter().map(|sentinel| address(&sentinel.host, sentinel.port, None)).collect();
        let role = match self.redis_role {
            Role::Master => SentinelServerType::Master,
            Role::Slave => SentinelServerType::Replica,
        };
        let name = format!("the Redis {} of {}", self.redis_master_name, {
            let named: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            named.join(", ")
        });
        let builder = move || {
            let mut builder = SentinelClientBuilder::new(addresses.clone(), &self.redis_master_name, role.clone())?
                .set_client_to_redis_db(self.redis_database);
            // As APISIX: a user without a password does not log in.
            if let Some(password) = self.redis_password.as_deref().filter(|password| !password.is_empty()) {
                builder = builder.set_client_to_redis_password(password);
                if let Some(username) = &self.redis_username {
                    builder = builder.set_client_to_redis_username(username);
                }
            }
            if let Some(password) = self.sentinel_password.as_deref().filter(|password| !password.is_empty()) {
                builder = builder.set_client_to_sentinel_password(password);
                if let Some(username) = &self.sentinel_username {
                    builder = builder.set_client_to_sentinel_username(username);
                }
            }
            builder.build()
        };
        builder().map_err(|error| BuildError(format!("redis_sentinels: {error}")))?;
        Ok(Plan {
            name,
            target: Target::Sentinels(Box::new(builder)),
            // First a sentinel, then the server that it names.
            connect_timeout: Duration::from_millis(self.redis_connect_timeout).saturating_mul(2),
            timeout: Duration::from_millis(self.redis_read_timeout),
            idle: Duration::from_millis(self.redis_keepalive_timeout),
        })
    }
}

/// `tls` is whether certificates are verified, where there is TLS.
fn address(host: &str, port: u16, tls: Option<bool>) -> ConnectionAddr {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
    match tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(verify) => ConnectionAddr::TcpTls { host, port, insecure: !verify, tls_params: None },
    }
}

/// As APISIX: a user without a password does not log in.
fn login(username: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    let login = RedisConnectionInfo::default().set_skip_set_lib_name();
    match (password.filter(|password| !password.is_empty()), username) {
        (None, _) => login,
        (Some(password), None) => login.set_password(password),
        (Some(password), Some(username)) => login.set_username(username).set_password(password),
    }
}

fn info(addr: ConnectionAddr, login: RedisConnectionInfo) -> Result<ConnectionInfo, BuildError> {
    let info = addr.into_connection_info().map_err(|error| BuildError(format!("the address of Redis: {error}")))?;
    Ok(info.set_redis_settings(login))
}

fn port(number: u64) -> Result<u16, BuildError> {
    u16::try_from(number).map_err(|_| BuildError(format!("redis_port {number} is no port; the last one is 65535")))
}

/// `host:port` or `host`, as APISIX reads it.
fn host_and_port(node: &str) -> Result<(&str, u16), BuildError> {
    let (host, port) = match node.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (node, None),
    };
    let port = port.map_or(Ok(6379), |port| {
        port.parse().map_err(|_| BuildError(format!("redis_cluster_nodes: {node:?} is not host:port")))
    });
    Ok((host, port?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_hosts_and_ports() {
        for (node, expected) in [
            ("127.0.0.1:5000", Some(("127.0.0.1", 5000))),
            ("[::1]:5000", Some(("[::1]", 5000))),
            ("::1", Some(("::1", 6379))),
            ("redis.example", Some(("redis.example", 6379))),
            ("redis.example:", None),
            ("redis.example:70000", None),
        ] {
            assert_eq!(host_and_port(node).ok(), expected, "{node}");
        }
    }
}
