use crate::{Ctx, Reply, Response, UpstreamHead};
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use wire::{Frame, ResponseHead};

/// How a request goes on after a plugin.
#[derive(Debug)]
pub enum Verdict {
    /// With the next plugin.
    Next,
    /// With this reply; the phase ends.
    Respond(Box<Reply>),
}

impl From<Reply> for Verdict {
    fn from(reply: Reply) -> Self {
        Self::Respond(Box::new(reply))
    }
}

/// *We* failed, not the client: logged with the plugin's name and answered 500.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PluginError(pub String);

/// What a plugin's phase comes to.
pub type Outcome = Result<Verdict, PluginError>;

/// An outcome now, or a future of it. Only a plugin that really waits pays for a boxed future.
#[allow(missing_debug_implementations)]
pub enum Step<'a> {
    /// Known at once.
    Ready(Outcome),
    /// To be waited for.
    Wait(LocalBoxFuture<'a, Outcome>),
}

impl Step<'_> {
    /// Go on with the next plugin.
    pub const NEXT: Self = Self::Ready(Ok(Verdict::Next));

    /// Ends the phase with a reply.
    pub fn respond(reply: Reply) -> Self {
        Self::Ready(Ok(reply.into()))
    }
}

/// Frames that a body filter passes on.
pub type Frames = smallvec::SmallVec<[Frame; 2]>;

/// Runs in APISIX's `rewrite` phase.
pub trait Rewrite: Send + Sync {
    /// May change the request, set the consumer, or reply.
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a>;
}

/// Runs in APISIX's `access` phase.
pub trait Access: Send + Sync {
    /// May change the request or reply.
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a>;
}

/// Runs before each attempt to reach an upstream; must be idempotent.
pub trait BeforeProxy: Send + Sync {
    /// May change the head that goes upstream.
    fn before_proxy<'a>(&'a self, cx: &'a mut Ctx, head: &'a mut UpstreamHead) -> Step<'a>;
}

/// Runs on an upstream's answer before anything of it is sent; not on replies of plugins and of the gateway.
pub trait WholeResponse: Send + Sync {
    /// How many bytes of the body have to be in memory for it, as the head has it; of a longer body it is told that it is longer.
    /// What never ends, such as a stream of events, would be held for ever: it is worth 0 bytes.
    fn wants(&self, cx: &mut Ctx, head: &ResponseHead) -> u64;
    /// May change the head, replace the body, or reply instead.
    fn response<'a>(&'a self, cx: &'a mut Ctx, response: &'a mut Response) -> Step<'a>;
}

/// Runs on every response's head, also on replies of plugins and of the gateway.
pub trait HeaderFilter: Send + Sync {
    /// May change the head.
    fn header_filter(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError>;
}

/// Runs on every frame of a response's body. Whoever changes a body's length removes `Content-Length` in its header filter; where it
/// stays, a body of another length is broken off.
pub trait BodyFilter: Send + Sync {
    /// Pushes what is to be sent in the frame's place. An error resets the connection.
    fn body_filter(&self, cx: &mut Ctx, frame: Frame, out: &mut Frames) -> Result<(), PluginError>;
}

/// Codes a response after every plugin's filters, as nginx's own gzip does.
pub trait Encoding: Send + Sync {
    /// Decides by the head that is going to be sent, and changes it accordingly.
    fn begin(&self, cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError>;
    /// Pushes what is to be sent in the frame's place. An error resets the connection.
    fn encode(&self, cx: &mut Ctx, frame: Frame, out: &mut Frames) -> Result<(), PluginError>;
}

/// Runs exactly once for each request, however it ended.
pub trait Log: Send + Sync {
    /// Looks at the finished exchange. Sending anything is a background task's job.
    fn log(&self, cx: &mut Ctx);
}

/// The phases that one plugin instance takes part in.
#[derive(Default, Clone)]
#[allow(missing_debug_implementations)]
pub struct Hooks {
    /// `rewrite`
    pub rewrite: Option<Arc<dyn Rewrite>>,
    /// `access`
    pub access: Option<Arc<dyn Access>>,
    /// `before_proxy`
    pub before_proxy: Option<Arc<dyn BeforeProxy>>,
    /// On an upstream's whole answer, before `header_filter`; no phase of its own in APISIX.
    pub whole_response: Option<Arc<dyn WholeResponse>>,
    /// `header_filter`
    pub header_filter: Option<Arc<dyn HeaderFilter>>,
    /// `body_filter`
    pub body_filter: Option<Arc<dyn BodyFilter>>,
    /// After `header_filter` and `body_filter` of all plugins; no phase of its own in APISIX.
    pub encoding: Option<Arc<dyn Encoding>>,
    /// `log`
    pub log: Option<Arc<dyn Log>>,
    /// Upstreams of its own, which it may choose by their places in this list ([`Ctx::choose_own_upstream`]).
    pub upstreams: Vec<model::documents::Upstream>,
}

impl Hooks {
    /// Names of the attached phases, in the order in which they run.
    pub fn phases(&self) -> Vec<&'static str> {
        [
            (self.rewrite.is_some(), "rewrite"),
            (self.access.is_some(), "access"),
            (self.before_proxy.is_some(), "before_proxy"),
            (self.whole_response.is_some(), "whole_response"),
            (self.header_filter.is_some(), "header_filter"),
            (self.body_filter.is_some(), "body_filter"),
            (self.log.is_some(), "log"),
        ]
        .into_iter()
        .filter_map(|(is_attached, name)| is_attached.then_some(name))
        .collect()
    }
}
