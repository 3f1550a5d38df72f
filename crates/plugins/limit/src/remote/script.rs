use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, aio::ConnectionLike};
use smallvec::SmallVec;

/// Numbers in an answer to one call.
const NUMBERS: usize = 3;

/// A script that Redis runs as one step.
///
/// It is given one key for each call and the calls' arguments after each other, and gives three numbers for each call: whether it is
/// allowed, and two more. It ends with the first call that is not allowed.
pub(crate) struct Script {
    source: &'static str,
    hash: String,
}

/// One use of a script: a key, and numbers or texts about it.
pub(crate) struct Call {
    pub(crate) key: Vec<u8>,
    pub(crate) args: SmallVec<[String; 3]>,
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answer {
    pub(crate) is_allowed: bool,
    pub(crate) first: f64,
    pub(crate) second: f64,
}

impl Script {
    pub(crate) fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }

    /// Runs it by its hash, or by its text where Redis does not know it yet.
    pub(super) async fn run(
        &self,
        connection: &mut (impl ConnectionLike + Send),
        calls: &[Call],
    ) -> RedisResult<Vec<Answer>> {
        let value = match command("EVALSHA", &self.hash, calls).query_async::<redis::Value>(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.eval(calls).query_async::<redis::Value>(connection).await?
            }
            other => other?,
        };
        read(value, calls)
    }

    /// The command to run it by its text.
    pub(super) fn eval(&self, calls: &[Call]) -> redis::Cmd {
        command("EVAL", self.source, calls)
    }
}

/// What a script answered to calls.
pub(super) fn read(value: redis::Value, calls: &[Call]) -> RedisResult<Vec<Answer>> {
    let numbers = Vec::<f64>::from_redis_value(value)?;
    let (answers, rest) = numbers.as_chunks::<NUMBERS>();
    let is_whole = rest.is_empty()
        && (answers.len() == calls.len() || answers.last().is_some_and(|[allowed, ..]| *allowed == 0.0));
    if !is_whole || answers.len() > calls.len() {
        return Err(RedisError::from((ErrorKind::UnexpectedReturnType, "a script answered something else")));
    }
    let answer = |&[allowed, first, second]: &[f64; NUMBERS]| Answer { is_allowed: allowed != 0.0, first, second };
    Ok(answers.iter().map(answer).collect())
}

fn command(name: &str, script: &str, calls: &[Call]) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(calls.len());
    for call in calls {
        command.arg(&call.key);
    }
    for arg in calls.iter().flat_map(|call| &call.args) {
        command.arg(arg);
    }
    command
}
