#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use bytes::Bytes;
use plugin::{
    BodyFilter, BuildEnv, BuildError, Ctx, Frames, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture,
    RunPolicy, Spec,
};
use serde::Deserialize;
use std::sync::Arc;
use wire::{Fields, Frame, ResponseHead, Source};

/// What is configured: nothing.
#[derive(Debug, Deserialize)]
pub struct Config {}

/// The pages.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    enable: bool,
    error_404: Option<Page>,
    error_500: Option<Page>,
    error_502: Option<Page>,
    error_503: Option<Page>,
}

#[derive(Debug, Deserialize)]
struct Page {
    body: String,
    content_type: String,
}

/// Replaces the pages of errors that are not an upstream's.
#[derive(Debug)]
pub struct ErrorPage;

/// What stands for one response's body.
#[derive(Debug, Default)]
struct Replacement {
    page: Option<Bytes>,
    is_sent: bool,
}

impl Plugin for ErrorPage {
    const NAME: &'static str = "error-page";
    const PRIORITY: i32 = 450;
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = Metadata;

    fn build(_config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.header_filter = Some(self.clone());
        hooks.body_filter = Some(self);
    }
}

impl HeaderFilter for ErrorPage {
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        let metadata = cx.metadata::<Self>();
        let Some(page) = metadata.as_ref().and_then(|metadata| metadata.page(head)) else { return Ok(()) };
        // What cannot be sent as a type is left to the browser.
        if Fields::is_value(page.content_type.as_bytes()) {
            head.fields.set("Content-Type", page.content_type.as_bytes());
        } else {
            head.fields.remove("Content-Type");
        }
        head.fields.remove("Content-Length");
        cx.state::<Replacement>().page = Some(Bytes::copy_from_slice(page.body.as_bytes()));
        Ok(())
    }
}

impl BodyFilter for ErrorPage {
    fn body_filter(&self, cx: &mut Ctx, frame: Frame, out: &mut Frames) -> Result<(), PluginError> {
        let state = cx.state::<Replacement>();
        let Some(page) = &state.page else {
            out.push(frame);
            return Ok(());
        };
        if !std::mem::replace(&mut state.is_sent, true) {
            out.push(Frame::Data(page.clone()));
        }
        if !matches!(frame, Frame::Data(_)) {
            out.push(frame);
        }
        Ok(())
    }
}

impl Metadata {
    /// The page for a response, if it is one to be replaced.
    fn page(&self, head: &ResponseHead) -> Option<&Page> {
        if !self.enable || head.source == Source::Upstream {
            return None;
        }
        let page = match head.status {
            404 => &self.error_404,
            500 => &self.error_500,
            502 => &self.error_502,
            503 => &self.error_503,
            _ => return None,
        };
        page.as_ref().filter(|page| !page.body.is_empty())
    }
}
