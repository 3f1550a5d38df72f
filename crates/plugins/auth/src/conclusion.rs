//! What every authentication plugin does once it knows, or does not know, the consumer.

use plugin::{Consumer, Ctx, Refusal, Reply, Step, refuse};
use std::sync::Arc;

const NO_ANONYMOUS: Refusal = refuse(401, "Invalid user authorization");

/// The `WWW-Authenticate` field of a refusal (RFC 9110, section 11.6.1).
#[derive(Debug)]
pub(crate) struct Challenge(String);

impl Challenge {
    /// A challenge with a realm, which the schema keeps free of quotes and backslashes.
    pub(crate) fn new(scheme: &str, realm: &str) -> Self {
        Self(format!("{scheme} realm=\"{realm}\""))
    }

    fn refuse(&self, refusal: &Refusal) -> Reply {
        refusal.reply().with("WWW-Authenticate", self.0.as_bytes())
    }
}

/// Goes on as the consumer that was found, else as the anonymous one, else refuses.
pub(crate) fn conclude<'a>(
    cx: &mut Ctx,
    found: Result<Arc<Consumer>, Refusal>,
    anonymous: Option<&str>,
    challenge: &Challenge,
) -> Step<'a> {
    let consumer = match (found, anonymous) {
        (Ok(consumer), _) => consumer,
        (Err(refusal), None) => return Step::respond(challenge.refuse(&refusal)),
        (Err(_), Some(name)) => match cx.directory().consumer(name) {
            Some(consumer) => consumer,
            None => {
                tracing::error!(consumer = name, "there is no such anonymous consumer");
                return Step::respond(challenge.refuse(&NO_ANONYMOUS));
            }
        },
    };
    cx.set_consumer(consumer);
    Step::NEXT
}
