#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use crate::compression::{Choice, Types, is_accepted, recode};
use ::brotli::{
    CompressorWriter,
    enc::{BrotliEncoderParams, backward_references::BrotliEncoderMode},
};
use bytes::Bytes;
use plugin::{
    BodyFilter, BuildEnv, BuildError, Ctx, Frames, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture,
    RunPolicy, Spec,
};
use serde::Deserialize;
use std::{
    io::{self, Write},
    sync::Arc,
};
use wire::{Frame, ResponseHead};

/// How much is compressed at once.
const BUFFER: usize = 4096;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    types: Types,
    min_length: u64,
    mode: u8,
    comp_level: i32,
    lgwin: i32,
    lgblock: i32,
    http_version: f64,
    vary: Option<bool>,
}

/// Compresses responses.
#[allow(missing_debug_implementations)] // the library's parameters have none
pub struct Brotli {
    choice: Choice,
    params: BrotliEncoderParams,
}

/// One response's body; without an encoder it is passed on.
#[derive(Default)]
struct Progress(Option<Box<CompressorWriter<Vec<u8>>>>);

impl Plugin for Brotli {
    const NAME: &'static str = "brotli";
    const PRIORITY: i32 = 996;
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
        let params = BrotliEncoderParams {
            mode: match config.mode {
                1 => BrotliEncoderMode::BROTLI_MODE_TEXT,
                2 => BrotliEncoderMode::BROTLI_MODE_FONT,
                _ => BrotliEncoderMode::BROTLI_MODE_GENERIC,
            },
            quality: config.comp_level,
            lgwin: config.lgwin,
            lgblock: config.lgblock,
            ..BrotliEncoderParams::default()
        };
        Ok(Self { choice: Choice::new(config.types, config.min_length, config.http_version, config.vary), params })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.header_filter = Some(self.clone());
        hooks.body_filter = Some(self);
    }
}

impl HeaderFilter for Brotli {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        let is_wanted = is_accepted(&cx.request.fields, "br", true)
            && !head.fields.contains("content-encoding")
            && self.choice.is_for(head, cx.request.version);
        if is_wanted {
            self.choice.vary(&mut head.fields);
            recode(&mut head.fields, "br");
            cx.state::<Progress>().0 = Some(self.encoder());
        }
        Ok(())
    }
}

impl BodyFilter for Brotli {
    fn body_filter(&self, cx: &mut Ctx, frame: Frame, out: &mut Frames) -> Result<(), PluginError> {
        cx.state::<Progress>().encode(frame, out).map_err(|error| PluginError(error.to_string()))
    }
}

impl Brotli {
    fn encoder(&self) -> Box<CompressorWriter<Vec<u8>>> {
        Box::new(CompressorWriter::with_params(Vec::new(), BUFFER, &self.params))
    }
}

impl Progress {
    /// Every piece goes out at once.
    fn encode(&mut self, frame: Frame, out: &mut Frames) -> io::Result<()> {
        match (&mut self.0, frame) {
            (Some(encoder), Frame::Data(data)) => {
                encoder.write_all(&data)?;
                encoder.flush()?;
                push(std::mem::take(encoder.get_mut()), out);
            }
            (encoder, frame) => {
                if let Some(encoder) = encoder.take() {
                    push(encoder.into_inner(), out);
                }
                out.push(frame);
            }
        }
        Ok(())
    }
}

fn push(coded: Vec<u8>, out: &mut Frames) {
    if !coded.is_empty() {
        out.push(Frame::Data(Bytes::from(coded)));
    }
}
