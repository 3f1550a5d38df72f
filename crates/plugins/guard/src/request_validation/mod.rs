#![doc = include_str!("doc.md")]

mod headers;
#[cfg(test)]
mod tests;

use crate::{
    content::{Content, Media, Tree, Unreadable, form, multipart},
    schema::UserSchema,
};
use bytes::Bytes;
use headers::Spellings;
use model::{
    differences::DifferenceId,
    json::{self, Limits},
};
use plugin::{
    BuildEnv, BuildError, Ctx, Hooks, Outcome, Plugin, PluginClass, Posture, Reply, Rewrite, RunPolicy, Spec, Step,
    Verdict,
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    header_schema: Option<Value>,
    body_schema: Option<Value>,
    max_req_body_size: usize,
    rejected_code: u16,
    rejected_msg: Option<String>,
}

/// Checks requests against JSON schemas.
#[derive(Debug)]
pub struct RequestValidation {
    headers: Option<(UserSchema, Spellings)>,
    body: Option<UserSchema>,
    max: usize,
    /// Whether the body stays as it came, and has to be one that all readers understand alike.
    is_strict: bool,
    status: u16,
    message: Option<String>,
}

/// Why a request is refused: with a status that is not the configured one, and with words of our own.
#[derive(Debug, Default)]
struct Refused {
    status: Option<u16>,
    reason: Option<String>,
}

impl Plugin for RequestValidation {
    const NAME: &'static str = "request-validation";
    const PRIORITY: i32 = 2800;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: true, reads_bodies: true, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let compile = |what: &str, schema: &Value| match env.compat.is_safe(DifferenceId::SchemaDialect) {
            true => UserSchema::compile(what, schema),
            false => UserSchema::compile_like_apisix(schema),
        };
        // In the order in which APISIX looks at them.
        let body = config.body_schema.map(|schema| compile("body_schema", &schema)).transpose()?;
        let headers = config.header_schema.map(|schema| {
            let spellings = Spellings::of(&schema);
            Ok::<_, BuildError>((compile("header_schema", &schema)?, spellings))
        });
        Ok(Self {
            headers: headers.transpose()?,
            body,
            max: config.max_req_body_size,
            is_strict: env.compat.is_safe(DifferenceId::ValidatedBody),
            status: config.rejected_code,
            message: config.rejected_msg,
        })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self);
    }
}

impl Rewrite for RequestValidation {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        if let Err(refused) = self.check_headers(cx) {
            return Step::respond(self.reply(refused));
        }
        match &self.body {
            Some(schema) => Step::Wait(Box::pin(self.check_body(schema, cx))),
            None => Step::NEXT,
        }
    }
}

impl RequestValidation {
    fn check_headers(&self, cx: &Ctx) -> Result<(), Refused> {
        let Some((schema, spellings)) = &self.headers else { return Ok(()) };
        let mut object = spellings.object(&cx.request.fields);
        let bytes = cx.request.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        schema.check(&mut object, bytes).map_err(Refused::because)
    }

    async fn check_body(&self, schema: &UserSchema, cx: &mut Ctx) -> Outcome {
        let checked = match self.is_strict {
            true => self.check_strictly(schema, cx).await,
            false => self.check_like_apisix(schema, cx).await,
        };
        Ok(checked.map_or_else(|refused| self.reply(refused).into(), |()| Verdict::Next))
    }

    /// The body stays as it is.
    async fn check_strictly(&self, schema: &UserSchema, cx: &mut Ctx) -> Result<(), Refused> {
        let media = Media::of(&cx.request.fields)?;
        let content = Content::read(cx, self.max).await?;
        let bytes = content.bytes();
        if bytes.is_empty() {
            return Err(Refused::default());
        }
        let mut value = match media {
            Media::Form if form::looks_like_json(bytes) => {
                return Err(Refused::because("the form could be read as JSON".to_owned()));
            }
            Media::Form => {
                form::parse(bytes, false).ok_or_else(|| Refused::because("the form is no UTF-8".to_owned()))?
            }
            Media::Multipart(boundary) => multipart::parse(bytes, &boundary)
                .map_err(|error| Refused::because(format!("the multipart body is ambiguous: {error}")))?,
            Media::Json => {
                if let Some(tree) = Tree::parse(bytes) {
                    return schema.check_tree(&tree, bytes.len()).map_err(Refused::because);
                }
                json::parse(bytes, Limits { bytes: self.max, depth: Limits::DEEPEST })
                    .map_err(|error| Refused::because(format!("the body is not JSON: {error}")))?
            }
        };
        schema.check(&mut value, bytes.len()).map_err(Refused::because)
    }

    /// What was checked goes on, written anew.
    async fn check_like_apisix(&self, schema: &UserSchema, cx: &mut Ctx) -> Result<(), Refused> {
        let content = Content::read_raw(cx, self.max).await.map_err(|unreadable| match unreadable.status {
            413 => Refused::default(),
            _ => unreadable.into(),
        })?;
        let bytes = content.bytes();
        let media =
            Media::like_apisix(&cx.request.fields).filter(|_| !bytes.is_empty()).ok_or_else(Refused::default)?;
        let is_json = media == Media::Json;
        let mut value = match is_json {
            true => serde_json::from_slice(bytes).map_err(|error| Refused::because(error.to_string()))?,
            false => form::parse(bytes, true).unwrap_or_default(),
        };
        schema.check(&mut value, bytes.len()).map_err(Refused::because)?;
        if is_json {
            cx.request.body.replace(Bytes::from(value.to_string()));
        }
        Ok(())
    }

    fn reply(&self, refused: Refused) -> Reply {
        let status = refused.status.unwrap_or(self.status);
        match self.message.clone().or(refused.reason) {
            Some(text) => Reply::text(status, text),
            None => Reply::status(status),
        }
    }
}

impl Refused {
    fn because(reason: String) -> Self {
        Self { status: None, reason: Some(reason) }
    }
}

impl From<Unreadable> for Refused {
    fn from(unreadable: Unreadable) -> Self {
        // What the client did wrong is answered as it is configured, what it may not do as it is named.
        let status = Some(unreadable.status).filter(|status| *status != 400);
        Self { status, reason: Some(unreadable.reason.to_owned()) }
    }
}
