#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::compression::{Choice, Types, is_accepted, length, recode};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use plugin::{
    BuildEnv, BuildError, Ctx, Encoding, Frames, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture,
    RunPolicy, Spec,
};
use serde::Deserialize;
use std::{
    io::{self, Write},
    sync::Arc,
};
use wire::{Frame, Method, ResponseHead};

/// What is configured; `buffers` has no meaning here.
#[derive(Debug, Deserialize)]
pub struct Config {
    types: Types,
    min_length: u64,
    comp_level: u32,
    http_version: f64,
    vary: Option<bool>,
}

/// Compresses responses.
#[derive(Debug)]
pub struct Gzip {
    choice: Choice,
    level: u32,
}

/// One response's body.
#[derive(Debug, Default)]
enum Progress {
    /// It is not compressed.
    #[default]
    Passing,
    /// This plugin would compress it.
    Chosen,
    /// It is being compressed.
    Coding {
        encoder: Box<GzEncoder<Vec<u8>>>,
        /// Whether each piece goes out at once: a body without a length may be a stream that somebody waits for.
        flushes: bool,
    },
}

impl Plugin for Gzip {
    const NAME: &'static str = "gzip";
    const PRIORITY: i32 = 995;
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
        let choice = Choice::new(config.types, config.min_length, config.http_version, config.vary);
        Ok(Self { choice, level: config.comp_level })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.header_filter = Some(self.clone());
        hooks.encoding = Some(self);
    }
}

impl HeaderFilter for Gzip {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        if self.choice.is_for(head, cx.request.version) {
            *cx.state() = Progress::Chosen;
            self.choice.vary(&mut head.fields);
        }
        Ok(())
    }
}

impl Encoding for Gzip {
    /// What nginx asks after all plugins.
    fn begin(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        let is_coded = head.fields.contains("content-encoding");
        // Whoever comes through a proxy is not answered compressed: `gzip_proxied off`.
        let may_be = !cx.request.fields.contains("via") && is_accepted(&cx.request.fields, "gzip", false);
        let has_body = matches!(head.status, 200 | 403 | 404) && cx.request.method != Method::Head;
        let progress = cx.state::<Progress>();
        if !matches!(progress, Progress::Chosen) || is_coded || !may_be || !has_body {
            *progress = Progress::Passing;
            return Ok(());
        }
        let encoder = Box::new(GzEncoder::new(Vec::new(), Compression::new(self.level)));
        *progress = Progress::Coding { encoder, flushes: length(head).is_none() };
        recode(&mut head.fields, "gzip");
        Ok(())
    }

    fn encode(&self, cx: &mut Ctx, frame: Frame, out: &mut Frames) -> Result<(), PluginError> {
        cx.state::<Progress>().encode(frame, out).map_err(|error| PluginError(error.to_string()))
    }
}

impl Progress {
    fn encode(&mut self, frame: Frame, out: &mut Frames) -> io::Result<()> {
        let Self::Coding { encoder, flushes } = self else {
            out.push(frame);
            return Ok(());
        };
        let Frame::Data(data) = frame else {
            let Self::Coding { encoder, .. } = std::mem::take(self) else { return Ok(()) };
            push(encoder.finish()?, out);
            out.push(frame);
            return Ok(());
        };
        encoder.write_all(&data)?;
        if *flushes {
            encoder.flush()?;
        }
        push(std::mem::take(encoder.get_mut()), out);
        Ok(())
    }
}

fn push(coded: Vec<u8>, out: &mut Frames) {
    if !coded.is_empty() {
        out.push(Frame::Data(Bytes::from(coded)));
    }
}
