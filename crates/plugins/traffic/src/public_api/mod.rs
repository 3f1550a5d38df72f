#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use plugin::{Access, BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step};
use serde::Deserialize;
use std::{borrow::Cow, sync::Arc};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    uri: Option<String>,
}

/// Publishes another plugin's own endpoint on a route.
#[derive(Debug)]
pub struct PublicApi {
    uri: Option<String>,
}

impl Plugin for PublicApi {
    const NAME: &'static str = "public-api";
    const PRIORITY: i32 = 501;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self { uri: config.uri })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for PublicApi {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let api = cx.directory().public_api(&cx.request.method, &self.path(&cx.request.path));
        match api {
            Some(api) => (api.handle)(cx),
            None => Step::respond(Reply::status(404)),
        }
    }
}

impl PublicApi {
    /// The path under which the endpoint is looked for.
    fn path<'a>(&'a self, requested: &'a [u8]) -> Cow<'a, str> {
        match &self.uri {
            Some(uri) => Cow::Borrowed(uri),
            None => String::from_utf8_lossy(requested),
        }
    }
}
