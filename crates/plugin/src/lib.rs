//! The seam between plugins and the gateway: phases, the request's context, replies, and what a plugin declares of itself.
#![forbid(unsafe_code)]

mod body;
mod clock;
mod consumer;
mod ctx;
mod description;
mod env;
mod files;
mod finding;
mod graphql;
mod outbound;
mod phases;
mod reply;
mod request;
mod response;
mod stats;
mod subrequest;
#[cfg(feature = "testing")]
pub mod testing;
mod upstream;
mod vars;

pub use body::{BodyLimits, HeldBody, RequestBody};
pub use clock::Clock;
pub use consumer::{Consumer, CredentialIndex, Directory, ServiceNode, Unreadable};
pub use ctx::{Ctx, ResponseFacts, RouteFacts, SlotId, Timings};
pub use description::{
    AuthPlugin, Built, CompileCredential, CompileDecorations, ControlApi, Credential, Description, ExportEnv, IndexKey,
    MISFIT, Plugin, PluginClass, Posture, PublicApi, RunPolicy, Spec, describe, describe_auth,
};
pub use env::{BuildEnv, BuildError, NodeFacts, Shared};
pub use files::{BadLine, FileContent, FollowedFile};
pub use finding::Finding;
pub use outbound::{Courier, Outbound, OutboundAnswer, OutboundError, OutboundTls, Trust, UpstreamTls};
pub use phases::{
    Access, BeforeProxy, BodyFilter, Encoding, Frames, HeaderFilter, Hooks, Log, Outcome, PluginError, Rewrite, Step,
    Verdict, WholeResponse,
};
pub use reply::{Refusal, Reply, ReplyBody, refuse};
pub use request::Request;
pub use response::{Response, ResponseView};
pub use stats::{Health, NodeStatus, Panics, Reloads, Stats};
pub use subrequest::{Dispatcher, Subanswer, Subrequest};
pub use upstream::{ChosenUpstream, UpstreamHead, UpstreamRequest};
pub use vars::hostname;
