#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::{Argument, Challenge, CredentialArg, CredentialHeader, conclude};
use model::{
    differences::{Compat, DifferenceId},
    secret::Secret,
};
use plugin::{
    AuthPlugin, BuildEnv, BuildError, Consumer, Ctx, Hooks, IndexKey, Plugin, PluginClass, Posture, Refusal, Rewrite,
    RunPolicy, Spec, Step, refuse,
};
use serde::Deserialize;
use std::{borrow::Cow, sync::Arc};

const MISSING: Refusal = refuse(401, "Missing API key in request");
const INVALID: Refusal = refuse(401, "Invalid API key in request");

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    header: String,
    query: String,
    realm: String,
    hide_credentials: bool,
    anonymous_consumer: Option<String>,
}

/// A consumer's or credential's configuration.
#[derive(Debug, Deserialize)]
pub struct Credential {
    key: Secret<String>,
}

/// Finds the consumer by a key.
#[derive(Debug)]
pub struct KeyAuth {
    header: CredentialHeader,
    query: CredentialArg,
    challenge: Challenge,
    hides_credentials: bool,
    anonymous: Option<String>,
}

impl Plugin for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 2500;
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
        let is_hidden_from_logs = env.compat.is_safe(DifferenceId::HiddenArgument);
        Ok(Self {
            header: CredentialHeader::new(config.header),
            query: CredentialArg::new(config.query, is_hidden_from_logs),
            challenge: Challenge::new("apikey", &config.realm),
            hides_credentials: config.hide_credentials,
            anonymous: config.anonymous_consumer,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl AuthPlugin for KeyAuth {
    const INDEX_ATTRIBUTE: &'static str = "key";
    type Credential = Credential;
    type Compiled = ();

    fn credential(credential: Credential, compat: Compat) -> Result<(IndexKey, ()), BuildError> {
        let key = credential.key.expose().as_bytes();
        if key.is_empty() && compat.is_safe(DifferenceId::EmptyCredential) {
            let reason = "the key is empty: every client that sends the header without a value would have it";
            return Err(BuildError(reason.to_owned()));
        }
        Ok((IndexKey(key.to_vec()), ()))
    }
}

impl Rewrite for KeyAuth {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let found = self.find(cx);
        let has_header = self.header.find(&cx.request).is_some();
        if self.hides_credentials {
            match &found {
                Ok(_) if has_header => self.header.hide(cx),
                Ok(_) => self.query.hide(cx),
                // A wrong key does not go upstream in the anonymous consumer's name.
                Err(_) => {
                    self.header.hide(cx);
                    self.query.hide(cx);
                }
            }
        }
        conclude(cx, found, self.anonymous.as_deref(), &self.challenge)
    }
}

impl KeyAuth {
    fn find(&self, cx: &Ctx) -> Result<Arc<Consumer>, Refusal> {
        let key = match self.header.find(&cx.request) {
            Some(key) => Cow::Borrowed(key),
            None => match self.query.find(&cx.request) {
                Argument::Value(key) => key,
                Argument::Unusable => return Err(INVALID),
                Argument::Absent => return Err(MISSING),
            },
        };
        cx.directory().find(Self::NAME, &key).map(|(consumer, _)| consumer).ok_or(INVALID)
    }
}
