#![doc = include_str!("doc.md")]

mod sample;
#[cfg(test)]
mod tests;

use crate::header::Header;
use model::{
    differences::DifferenceId,
    vars::{Lookup, Template},
};
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Hooks, Plugin, PluginClass, Posture, Reply, RunPolicy, Spec, Step, Verdict,
};
use sample::Sample;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use wire::Fields;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    delay: i64,
    response_status: u64,
    content_type: String,
    response_example: Option<String>,
    response_schema: Option<Map<String, Value>>,
    with_mock_header: bool,
    response_headers: Option<Map<String, Value>>,
}

/// Answers in the upstream's place.
#[derive(Debug)]
pub struct Mocking {
    delay: Duration,
    status: u16,
    content_type: String,
    body: Body,
    mock_by: Option<&'static str>,
    headers: Vec<Header>,
}

#[derive(Debug)]
enum Body {
    Example(Template),
    Json(Sample),
    Xml(Sample),
    /// There is no way to write a sample in this type.
    Empty,
}

impl Plugin for Mocking {
    const NAME: &'static str = "mocking";
    const PRIORITY: i32 = 10_900;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let kind = config.content_type.split(';').next().unwrap_or_default();
        if !["application/xml", "application/json", "text/plain", "text/html", "text/xml"].contains(&kind) {
            return Err("unsupported content type!".to_owned().into());
        }
        if !Fields::is_value(config.content_type.as_bytes()) {
            return Err("invalid value character in header".to_owned().into());
        }
        let body = match (&config.response_example, config.response_schema) {
            (Some(example), _) => Body::Example(Template::compile(example)),
            (None, Some(schema)) => {
                let sample = Sample::of_object(&schema)?;
                match kind {
                    "application/xml" | "text/xml" => Body::Xml(sample),
                    "application/json" | "text/plain" => Body::Json(sample),
                    _ => Body::Empty,
                }
            }
            (None, None) => Body::Empty,
        };
        let status = u16::try_from(config.response_status).ok().filter(|status| (200..=999).contains(status));
        let headers = config.response_headers.unwrap_or_default();
        Ok(Self {
            delay: Duration::from_secs(u64::try_from(config.delay).unwrap_or(0)),
            status: status
                .ok_or_else(|| BuildError(format!("response_status {} is no final status", config.response_status)))?,
            content_type: config.content_type,
            body,
            mock_by: config.with_mock_header.then(|| match env.compat.is_safe(DifferenceId::ServerHeader) {
                true => "portcullis",
                false => "APISIX/3.18.0",
            }),
            headers: headers.iter().map(|(name, value)| Header::of_response(name, value)).collect::<Result<_, _>>()?,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.access = Some(self);
    }
}

impl Access for Mocking {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if self.delay.is_zero() {
            return Step::respond(self.reply(cx));
        }
        Step::Wait(Box::pin(async move {
            cx.sleep(self.delay).await;
            Ok(Verdict::from(self.reply(cx)))
        }))
    }
}

impl Mocking {
    fn reply(&self, lookup: &dyn Lookup) -> Reply {
        let mut body = Vec::new();
        let made = match &self.body {
            Body::Example(example) => {
                example.render(lookup, &mut body);
                None
            }
            Body::Json(sample) => Some(sample.make().to_string()),
            Body::Xml(sample) => Some(sample::xml(&sample.make())),
            Body::Empty => None,
        };
        // What stands in a schema may have variables in it, as an example may.
        if let Some(text) = made {
            Template::compile(&text).render(lookup, &mut body);
        }
        let mut reply = Reply::text(self.status, body).with("Content-Type", self.content_type.as_bytes());
        if let Some(by) = self.mock_by {
            reply.fields.push(b"x-mock-by", by.as_bytes());
        }
        for header in &self.headers {
            let value = header.render(lookup);
            if value.is_empty() {
                continue;
            }
            // A response has one type.
            if header.name.eq_ignore_ascii_case("content-type") {
                reply.fields.set(&header.name, &value);
            } else {
                reply.fields.push(header.name.as_bytes(), &value);
            }
        }
        reply
    }
}
