#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;
mod token;

use crate::refusal;
use model::{differences::DifferenceId, secret::Secret};
use plugin::{
    Access, BuildEnv, BuildError, Ctx, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture, Request,
    RunPolicy, Spec, Step,
};
use rand::RngExt;
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use wire::{Fields, Method, ResponseHead};

const NO_HEADER: &str = "no csrf token in headers";
const NO_COOKIE: &str = "no csrf cookie";
const MISMATCH: &str = "csrf token mismatch";
const INVALID: &str = "Failed to verify the csrf token signature";

/// The last second that a date can be written for: the end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    key: Secret<String>,
    expires: i64,
    name: String,
}

/// Asks pages to show a token that only they can read.
#[derive(Debug)]
pub struct Csrf {
    key: Secret<String>,
    expires: i64,
    name: String,
}

impl Plugin for Csrf {
    const NAME: &'static str = "csrf";
    const PRIORITY: i32 = 2980;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        if config.key.expose().is_empty() && env.compat.is_safe(DifferenceId::EmptyCsrfKey) {
            return Err("the key is empty: everybody could sign tokens".to_owned().into());
        }
        if !Fields::is_name(config.name.as_bytes()) {
            return Err(BuildError(format!("{:?} cannot be the name of a cookie and of a header", config.name)));
        }
        Ok(Self { key: config.key, expires: config.expires, name: config.name })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self.clone());
        hooks.header_filter = Some(self);
    }
}

impl Access for Csrf {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if matches!(cx.request.method, Method::Get | Method::Head | Method::Options) {
            return Step::NEXT;
        }
        match self.check(&cx.request, cx.shared.clock.now().as_secs()) {
            Ok(()) => Step::NEXT,
            Err(message) => Step::respond(refusal::error_msg(401, message)),
        }
    }
}

impl HeaderFilter for Csrf {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        let now = cx.shared.clock.now().as_secs();
        let token = token::issue(rand::rng().random(), now, &self.key);
        let expires = cookie_time((now as i64).saturating_add(self.expires));
        let cookie = format!("{}={token};path=/;SameSite=Lax;Expires={expires}", self.name);
        head.fields.push(b"Set-Cookie", cookie.as_bytes());
        Ok(())
    }
}

impl Csrf {
    fn check(&self, request: &Request, now: u64) -> Result<(), &'static str> {
        let shown = request.fields.get(&self.name).filter(|token| !token.is_empty()).ok_or(NO_HEADER)?;
        let kept = request.cookie(self.name.as_bytes()).ok_or(NO_COOKIE)?;
        if !Secret::new(kept.to_vec()).is_equal_to(shown) {
            return Err(MISMATCH);
        }
        if token::is_valid(kept, now, self.expires, &self.key) { Ok(()) } else { Err(INVALID) }
    }
}

/// A date as nginx writes it in cookies: with dashes, and two digits of the year up to 2037.
fn cookie_time(seconds: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.clamp(0, LAST_SECOND).unsigned_abs());
    let date = httpdate::fmt_http_date(time);
    let mut words = date.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (weekday, day, month, year, clock) = (next(), next(), next(), next(), next());
    let year = if year > "2037" { year } else { year.get(2..).unwrap_or_default() };
    format!("{weekday} {day}-{month}-{year} {clock} GMT")
}
