#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use plugin::{
    BuildEnv, BuildError, Ctx, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture, Rewrite, RunPolicy,
    Spec, Step,
};
use rand::{Rng as _, RngExt as _};
use serde::Deserialize;
use std::{cell::OnceCell, sync::Arc};
use svix_ksuid::{Ksuid, KsuidLike as _};
use wire::{Fields, ResponseHead};

/// Longest id that `range_id` may ask for; it has to fit into every server's header buffer.
const MAX_LENGTH: usize = 1024;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    header_name: String,
    include_in_response: bool,
    algorithm: Algorithm,
    range_id: RangeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    Uuid,
    Nanoid,
    RangeId,
    Ksuid,
    #[serde(rename = "uuidv7")]
    UuidV7,
}

#[derive(Debug, Deserialize)]
struct RangeId {
    length: usize,
    char_set: String,
}

/// Gives each request an id.
#[derive(Debug)]
pub struct RequestId {
    config: Config,
}

/// The request's id, from the rewrite phase to the response's head.
#[derive(Default)]
struct Chosen(Option<Vec<u8>>);

impl Plugin for RequestId {
    const NAME: &'static str = "request-id";
    const PRIORITY: i32 = 12015;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        if !Fields::is_name(config.header_name.as_bytes()) {
            return Err(format!("header_name \"{}\" is not a header's name", config.header_name.escape_debug()).into());
        }
        let range = &config.range_id;
        if range.length > MAX_LENGTH {
            return Err(format!("range_id.length is above {MAX_LENGTH}").into());
        }
        if !range.char_set.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("range_id.char_set has a character that cannot stand in a header".to_owned().into());
        }
        Ok(Self { config })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self.clone());
        if self.config.include_in_response {
            hooks.header_filter = Some(self);
        }
    }
}

impl Rewrite for RequestId {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        let name = &self.config.header_name;
        let id = match cx.request.fields.get(name) {
            Some(sent) if !sent.is_empty() => sent.to_vec(),
            _ => {
                let made = self.generate().into_bytes();
                cx.request.fields.set(name, &made);
                made
            }
        };
        cx.request_id = OnceCell::from(String::from_utf8_lossy(&id).into_owned());
        if self.config.include_in_response {
            cx.state::<Chosen>().0 = Some(id);
        }
        Step::NEXT
    }
}

impl HeaderFilter for RequestId {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        let name = &self.config.header_name;
        if head.fields.get(name).is_none_or(<[u8]>::is_empty)
            && let Some(id) = &cx.state::<Chosen>().0
        {
            head.fields.set(name, id);
        }
        Ok(())
    }
}

impl RequestId {
    fn generate(&self) -> String {
        match self.config.algorithm {
            Algorithm::Uuid => uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string(),
            Algorithm::UuidV7 => uuid::Uuid::now_v7().to_string(),
            Algorithm::Ksuid => Ksuid::new::<std::time::SystemTime>(None, None).to_string(),
            Algorithm::Nanoid => nanoid(),
            Algorithm::RangeId => {
                let (range, mut random) = (&self.config.range_id, rand::rng());
                let characters = range.char_set.as_bytes();
                (0..range.length)
                    .filter_map(|_| characters.get(random.random_range(0..characters.len())).copied().map(char::from))
                    .collect()
            }
        }
    }
}

/// The standard nanoid: 21 characters of an alphabet of 64, so that six random bits choose one without bias.
fn nanoid() -> String {
    const ALPHABET: &[u8; 64] = b"-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut bytes = [0; 21];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().filter_map(|b| ALPHABET.get(usize::from(b & 63)).copied().map(char::from)).collect()
}
