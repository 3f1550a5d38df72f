#![doc = include_str!("doc.md")]

mod authorization;
#[cfg(test)]
mod tests;

use crate::{Challenge, conclude};
use authorization::Reading;
use model::{
    differences::{Compat, DifferenceId},
    secret::Secret,
};
use plugin::{
    AuthPlugin, BuildEnv, BuildError, Consumer, Ctx, Hooks, IndexKey, Plugin, PluginClass, Posture, Refusal, Rewrite,
    RunPolicy, Spec, Step, refuse,
};
use serde::Deserialize;
use std::sync::Arc;

const MISSING: Refusal = refuse(401, "Missing authorization in request");
const MALFORMED: Refusal = refuse(401, "Invalid authorization in request");
const INVALID: Refusal = refuse(401, "Invalid user authorization");

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    hide_credentials: bool,
    realm: String,
    anonymous_consumer: Option<String>,
}

/// A consumer's or credential's configuration.
#[derive(Debug, Deserialize)]
pub struct Credential {
    username: String,
    password: Secret<String>,
}

/// Finds the consumer by name and password.
#[derive(Debug)]
pub struct BasicAuth {
    reading: Reading,
    challenge: Challenge,
    hides_credentials: bool,
    anonymous: Option<String>,
}

impl Plugin for BasicAuth {
    const NAME: &'static str = "basic-auth";
    const PRIORITY: i32 = 2520;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Auth,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let is_exact = env.compat.is_safe(DifferenceId::BasicCredentials);
        Ok(Self {
            reading: if is_exact { Reading::Rfc7617 } else { Reading::Apisix },
            challenge: Challenge::new("Basic", &config.realm),
            hides_credentials: config.hide_credentials,
            anonymous: config.anonymous_consumer,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl AuthPlugin for BasicAuth {
    const INDEX_ATTRIBUTE: &'static str = "username";
    type Credential = Credential;
    type Compiled = Secret<String>;

    fn credential(credential: Credential, compat: Compat) -> Result<(IndexKey, Self::Compiled), BuildError> {
        if credential.password.expose().is_empty() && compat.is_safe(DifferenceId::EmptyPassword) {
            let reason = "the password is empty: every client that knows the name would have it";
            return Err(BuildError(reason.to_owned()));
        }
        Ok((IndexKey(credential.username.into_bytes()), credential.password))
    }
}

impl Rewrite for BasicAuth {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let found = self.find(cx);
        if self.hides_credentials {
            cx.request.fields.remove("authorization");
        }
        conclude(cx, found, self.anonymous.as_deref(), &self.challenge)
    }
}

impl BasicAuth {
    fn find(&self, cx: &Ctx) -> Result<Arc<Consumer>, Refusal> {
        let field = cx.request.fields.get("authorization").ok_or(MISSING)?;
        let offered = self.reading.credentials(field).ok_or(MALFORMED)?;
        let (consumer, password) = cx.directory().find(Self::NAME, &offered.username).ok_or(INVALID)?;
        let password = password.downcast_ref::<Secret<String>>().ok_or(INVALID)?;
        if password.is_equal_to(offered.password.expose()) { Ok(consumer) } else { Err(INVALID) }
    }
}
