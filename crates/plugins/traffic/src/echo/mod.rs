#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use bytes::Bytes;
use model::vars::number::write_number;
use plugin::{
    BodyFilter, BuildEnv, BuildError, Ctx, Frames, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture,
    RunPolicy, Spec,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use wire::{Fields, Frame, ResponseHead};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    before_body: Option<String>,
    body: Option<String>,
    after_body: Option<String>,
    headers: Option<Map<String, Value>>,
}

/// Puts text around, or in the place of, a response's body; a help for tests.
#[derive(Debug)]
pub struct Echo {
    before: Option<Bytes>,
    body: Option<Bytes>,
    after: Option<Bytes>,
    headers: Vec<(String, Vec<u8>)>,
}

/// How far one response's body has come.
#[derive(Debug, Default)]
struct Progress {
    has_begun: bool,
    has_ended: bool,
}

impl Plugin for Echo {
    const NAME: &'static str = "echo";
    const PRIORITY: i32 = 412;
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
        let headers = config.headers.unwrap_or_default();
        Ok(Self {
            before: config.before_body.map(Bytes::from),
            body: config.body.map(Bytes::from),
            after: config.after_body.map(Bytes::from),
            headers: headers.into_iter().map(|(name, value)| header(&name, &value)).collect::<Result<_, _>>()?,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.header_filter = Some(self.clone());
        if self.has_body() {
            hooks.body_filter = Some(self);
        }
    }
}

impl HeaderFilter for Echo {
    fn header_filter(&self, _cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        self.edit(&mut head.fields);
        Ok(())
    }
}

impl BodyFilter for Echo {
    fn body_filter(&self, cx: &mut Ctx, frame: Frame, out: &mut Frames) -> Result<(), PluginError> {
        self.pass(cx.state(), frame, out);
        Ok(())
    }
}

impl Echo {
    fn has_body(&self) -> bool {
        self.before.is_some() || self.body.is_some() || self.after.is_some()
    }

    fn edit(&self, fields: &mut Fields) {
        if self.has_body() {
            // They describe a body that is not sent.
            for name in ["Content-Length", "Content-Encoding", "Last-Modified", "ETag"] {
                fields.remove(name);
            }
        }
        for (name, value) in &self.headers {
            fields.set(name, value);
        }
    }

    /// One frame of the body. `body` stands for the first frame and ends the body, as in APISIX.
    fn pass(&self, progress: &mut Progress, frame: Frame, out: &mut Frames) {
        if !progress.has_begun {
            progress.has_begun = true;
            push(&self.before, out);
            push(&self.body, out);
        }
        match frame {
            Frame::Data(_) | Frame::Trailers(_) if self.body.is_some() => {}
            Frame::Data(data) => out.push(Frame::Data(data)),
            // No data may follow trailers.
            Frame::Trailers(fields) => {
                self.end(progress, out);
                out.push(Frame::Trailers(fields));
            }
            Frame::End => {
                self.end(progress, out);
                out.push(Frame::End);
            }
        }
    }

    fn end(&self, progress: &mut Progress, out: &mut Frames) {
        if !progress.has_ended {
            progress.has_ended = true;
            push(&self.after, out);
        }
    }
}

fn push(text: &Option<Bytes>, out: &mut Frames) {
    if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
        out.push(Frame::Data(text.clone()));
    }
}

/// A configured header. nginx writes `-` where a response header is set by a name with `_`.
fn header(name: &str, value: &Value) -> Result<(String, Vec<u8>), BuildError> {
    let value = match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Number(number) => {
            let mut text = Vec::new();
            write_number(number.as_f64().unwrap_or_default(), &mut text);
            text
        }
        _ => return Err("invalid type as header value".to_owned().into()),
    };
    if name.is_empty() {
        return Err("invalid field length in header".to_owned().into());
    }
    let name = name.replace('_', "-");
    if !Fields::is_name(name.as_bytes()) {
        return Err("invalid field character in header".to_owned().into());
    }
    if !Fields::is_value(&value) {
        return Err("invalid value character in header".to_owned().into());
    }
    Ok((name, value))
}
