use super::script::{self, Answer, Call, Script};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind, TlsMode,
    aio::MultiplexedConnection, cluster::ClusterClient, cluster_async::ClusterConnection,
    cluster_routing::SingleNodeRoutingInfo, sentinel::SentinelClient,
};
use std::time::Duration;

/// Tries of the cluster's client to find the node that has a key.
const REDIRECTIONS: u32 = 4;

/// How a Redis is reached.
pub(super) struct Plan {
    /// What it is called in the log.
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) connect_timeout: Duration,
    /// How long an answer may take.
    pub(super) timeout: Duration,
    /// After which time an unused connection is given up.
    pub(super) idle: Duration,
}

pub(super) enum Target {
    Server(Box<ConnectionInfo>),
    Cluster {
        nodes: Vec<ConnectionInfo>,
        tls: Option<TlsMode>,
        timeout: Duration,
    },
    /// Makes the client that asks them; one for each try, since it is not shared.
    Sentinels(Box<dyn Fn() -> RedisResult<SentinelClient> + Send + Sync>),
}

/// A connection that all requests share; they are pipelined.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(Box<ClusterConnection>),
}

impl Plan {
    /// Connects, logs in, and waits for a first answer: a server that hangs accepts connections.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.connect_timeout)).set_response_timeout(None);
        let connecting = async {
            let connection = match &self.target {
                Target::Server(info) => {
                    let client = Client::open((**info).clone())?;
                    Connection::Server(client.get_multiplexed_async_connection_with_config(&config).await?)
                }
                Target::Cluster { nodes, tls, timeout } => {
                    let mut builder = ClusterClient::builder(nodes.iter().cloned())
                        .retries(REDIRECTIONS)
                        .min_retry_wait(5)
                        .max_retry_wait(50)
                        .connection_timeout(*timeout)
                        .response_timeout(*timeout);
                    if let Some(tls) = tls {
                        builder = builder.tls(*tls);
                    }
                    Connection::Cluster(Box::new(builder.build()?.get_async_connection().await?))
                }
                Target::Sentinels(client) => {
                    Connection::Server(client()?.get_async_connection_with_config(&config).await?)
                }
            };
            connection.greet().await?;
            Ok(connection)
        };
        match tokio::time::timeout(self.connect_timeout, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }
}

impl Connection {
    /// Waits for an answer. One that says no is one, too: a user may be forbidden to ask.
    async fn greet(&self) -> RedisResult<()> {
        let ping = redis::cmd("PING");
        let answer = match self.clone() {
            Self::Server(mut connection) => ping.query_async::<redis::Value>(&mut connection).await,
            Self::Cluster(mut connection) => ping.query_async::<redis::Value>(&mut *connection).await,
        };
        match answer {
            Err(error) if error.kind() != ErrorKind::Server(ServerErrorKind::NoPerm) => Err(error),
            _ => Ok(()),
        }
    }

    /// Runs a script on all calls at once, or, where they may be on different nodes, on one after the other. It ends
    /// with the first call that is refused.
    pub(super) async fn run(self, script: &Script, calls: &[Call]) -> RedisResult<Vec<Answer>> {
        match self {
            Self::Server(mut connection) => script.run(&mut connection, calls).await,
            Self::Cluster(mut connection) => {
                let mut answers = Vec::with_capacity(calls.len());
                for call in calls {
                    let call = std::slice::from_ref(call);
                    let answer = match script.run(&mut *connection, call).await {
                        Err(error) if error.redirect_node().is_some() => {
                            follow(&mut connection, &error, script, call).await
                        }
                        other => other,
                    };
                    answers.extend(answer?);
                    if answers.last().is_some_and(|answer| !answer.is_allowed) {
                        break;
                    }
                }
                Ok(answers)
            }
        }
    }
}

/// Runs a script on the node that another has named. While a slot moves, the client's own `ASKING` may be taken by
/// somebody else's command on the same connection; here both go in one piece.
async fn follow(
    connection: &mut ClusterConnection,
    redirection: &RedisError,
    script: &Script,
    calls: &[Call],
) -> RedisResult<Vec<Answer>> {
    let node = redirection.redirect_node().and_then(|(node, _)| node.rsplit_once(':'));
    let Some((host, Ok(port))) = node.map(|(host, port)| (host.to_owned(), port.parse())) else {
        return Err(redirection.clone());
    };
    let mut both = redis::Pipeline::new();
    both.cmd("ASKING").add_command(script.eval(calls));
    let node = SingleNodeRoutingInfo::ByAddress { host, port };
    match connection.route_pipeline(both, 0, 2, node).await?.pop() {
        Some(answer) => script::read(answer, calls),
        None => Err(redirection.clone()),
    }
}

/// Whether an error says that there is no Redis to speak to, rather than something about one request.
pub(super) fn is_absence(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::Moved
        ),
        ErrorKind::Io
        | ErrorKind::Parse
        | ErrorKind::AuthenticationFailed
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel => true,
        _ => error.is_unrecoverable_error(),
    }
}
