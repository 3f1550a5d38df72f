//! One function per phase: global rules first, then the chain of the route.

use super::{Chain, EffectiveChain, Slot};
use crate::snapshot::Snapshot;
use plugin::{Ctx, Frames, Outcome, PluginError, Reply, ReplyBody, Response, RunPolicy, Step, UpstreamHead, Verdict};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
};
use wire::{BodyError, Frame, ResponseHead};

/// `rewrite`, then the consumer's plugins, whose `rewrite` runs where the route had none of them. First the body is read where a
/// plugin's configuration looks into it.
///
/// # Errors
/// The body could not be read.
pub async fn rewrite(
    global: &Chain,
    chain: &mut EffectiveChain,
    snapshot: &Snapshot,
    cx: &mut Ctx,
    shared: &plugin::Shared,
) -> Result<Option<Reply>, BodyError> {
    cx.request.gather(global.body_need().and(chain.body_need())).await?;
    if let Some(reply) = rewrite_by(active(global, chain), chain, cx, shared).await {
        return Ok(Some(reply));
    }
    let Some(consumer) = cx.consumer().cloned() else { return Ok(None) };
    let Some((own, group)) = snapshot.consumer_chains(&consumer) else { return Ok(None) };
    if consumer.group_id.is_some() && group.is_none() {
        tracing::error!(consumer = %consumer.name, "the consumer's group does not exist");
        return Ok(Some(Reply::status(503)));
    }
    if own.slots().is_empty() && group.is_none_or(|group| group.slots().is_empty()) {
        return Ok(None);
    }
    let before: Vec<Arc<Slot>> = chain.slots().to_vec();
    chain.overlay(own, group);
    cx.request.gather(chain.body_need()).await?;
    let added: Vec<Arc<Slot>> = chain
        .slots()
        .iter()
        .filter(|slot| slot.class != plugin::PluginClass::Auth && !before.iter().any(|had| had.name == slot.name))
        .cloned()
        .collect();
    Ok(rewrite_by(added.iter(), chain, cx, shared).await)
}

async fn rewrite_by<'a>(
    slots: impl Iterator<Item = &'a Arc<Slot>>,
    chain: &EffectiveChain,
    cx: &mut Ctx,
    shared: &plugin::Shared,
) -> Option<Reply> {
    for slot in slots {
        if let Some(hook) = &slot.hooks.rewrite
            && passes(slot, chain, cx)
        {
            cx.enter(slot.id);
            let step = guard(|| hook.rewrite(cx));
            if let Some(reply) = settle_step(slot, step, shared).await {
                return Some(reply);
            }
        }
    }
    None
}

/// `access`.
pub async fn access(global: &Chain, chain: &EffectiveChain, cx: &mut Ctx, shared: &plugin::Shared) -> Option<Reply> {
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.access
            && passes(slot, chain, cx)
        {
            cx.enter(slot.id);
            let step = guard(|| hook.access(cx));
            if let Some(reply) = settle_step(slot, step, shared).await {
                return Some(reply);
            }
        }
    }
    None
}

/// `before_proxy`, for each attempt.
pub async fn before_proxy(
    global: &Chain,
    chain: &EffectiveChain,
    cx: &mut Ctx,
    head: &mut UpstreamHead,
    shared: &plugin::Shared,
) -> Option<Reply> {
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.before_proxy
            && passes(slot, chain, cx)
        {
            cx.enter(slot.id);
            let step = guard(|| hook.before_proxy(cx, head));
            if let Some(reply) = settle_step(slot, step, shared).await {
                return Some(reply);
            }
        }
    }
    None
}

/// How many bytes of an answer's body have to be in memory before it is sent; `None` where nobody has to see it.
///
/// # Errors
/// When a plugin failed.
pub fn wants_answer(
    global: &Chain,
    chain: &EffectiveChain,
    cx: &mut Ctx,
    head: &ResponseHead,
) -> Result<Option<u64>, PluginError> {
    let mut most = None;
    if !global.holds_answers() && !chain.holds_answers() {
        return Ok(most);
    }
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.whole_response
            && passes(slot, chain, cx)
        {
            cx.enter(slot.id);
            let wanted = guard(|| hook.wants(cx, head)).map_err(|panic| panicked(slot, cx, panic))?;
            most = most.max(Some(wanted));
        }
    }
    Ok(most)
}

/// Every plugin that has to see an answer before it is sent.
pub async fn whole_response(
    global: &Chain,
    chain: &EffectiveChain,
    cx: &mut Ctx,
    response: &mut Response,
    shared: &plugin::Shared,
) -> Option<Reply> {
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.whole_response
            && passes(slot, chain, cx)
        {
            cx.enter(slot.id);
            let step = guard(|| hook.response(cx, response));
            if let Some(reply) = settle_step(slot, step, shared).await {
                return Some(reply);
            }
        }
    }
    None
}

/// `header_filter`: every plugin, until one fails.
///
/// # Errors
/// When a filter failed: what it would have taken out or put in is not known, so the head must not be sent.
pub fn header_filter(
    global: &Chain,
    chain: &EffectiveChain,
    cx: &mut Ctx,
    head: &mut ResponseHead,
) -> Result<(), PluginError> {
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.header_filter
            && passes(slot, chain, cx)
        {
            filter(slot, cx, "header_filter failed", |cx| hook.header_filter(cx, head))?;
        }
    }
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.encoding
            && passes(slot, chain, cx)
        {
            filter(slot, cx, "the encoding failed", |cx| hook.begin(cx, head))?;
        }
    }
    Ok(())
}

/// Whether any body filter is attached.
pub fn has_body_filter(global: &Chain, chain: &EffectiveChain) -> bool {
    active(global, chain).any(|slot| slot.hooks.body_filter.is_some() || slot.hooks.encoding.is_some())
}

/// `body_filter`: passes one frame through all filters.
///
/// # Errors
/// When a filter failed: the response must not end as if it were whole.
pub fn body_filter(
    global: &Chain,
    chain: &EffectiveChain,
    cx: &mut Ctx,
    frame: Frame,
    out: &mut Frames,
) -> Result<(), PluginError> {
    let mut frames: Frames = smallvec::smallvec![frame];
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.body_filter
            && passes(slot, chain, cx)
        {
            let mut next = Frames::new();
            for frame in frames {
                filter(slot, cx, "body_filter failed", |cx| hook.body_filter(cx, frame, &mut next))?;
            }
            frames = next;
        }
    }
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.encoding
            && passes(slot, chain, cx)
        {
            let mut next = Frames::new();
            for frame in frames {
                filter(slot, cx, "the encoding failed", |cx| hook.encode(cx, frame, &mut next))?;
            }
            frames = next;
        }
    }
    out.extend(frames);
    Ok(())
}

/// `log`: every plugin, whatever the others did.
pub fn log(global: &Chain, chain: &EffectiveChain, cx: &mut Ctx) {
    for slot in active(global, chain) {
        if let Some(hook) = &slot.hooks.log
            && passes(slot, chain, cx)
        {
            cx.enter(slot.id);
            if let Err(panic) = guard(|| hook.log(cx)) {
                let error = panicked(slot, cx, panic);
                tracing::error!(plugin = slot.name, %error, "log failed");
            }
        }
    }
}

/// Runs one filter; one that fails or panics is said once, as `what`.
fn filter(
    slot: &Slot,
    cx: &mut Ctx,
    what: &'static str,
    hook: impl FnOnce(&mut Ctx) -> Result<(), PluginError>,
) -> Result<(), PluginError> {
    cx.enter(slot.id);
    guard(|| hook(cx))
        .unwrap_or_else(|panic| Err(panicked(slot, cx, panic)))
        .inspect_err(|error| tracing::error!(plugin = slot.name, %error, "{what}"))
}

/// Global rules, then the chain; a global instance gives way where its plugin prefers the route's.
fn active<'a>(global: &'a Chain, chain: &'a EffectiveChain) -> impl Iterator<Item = &'a Arc<Slot>> {
    let own = chain.slots();
    global.slots().iter().filter(move |slot| !gives_way(slot, own)).chain(own)
}

/// Whether a global rule's plugin does not run because the chain has its own.
pub(crate) fn gives_way(slot: &Slot, own: &[Arc<Slot>]) -> bool {
    slot.run_policy != RunPolicy::Always && own.iter().any(|o| o.name == slot.name)
}

/// Whether `_meta.filter` lets the plugin run, and no other plugin has done what it does. A filter that cannot be evaluated
/// lets it run.
fn passes(slot: &Slot, chain: &EffectiveChain, cx: &Ctx) -> bool {
    if cx.skips(slot.name) {
        return false;
    }
    let Some(filter) = &slot.meta.filter else { return true };
    let mut filters = chain.filters.borrow_mut();
    if let Some((_, passes)) = filters.iter().find(|(id, _)| *id == slot.id) {
        return *passes;
    }
    let passes = filter.eval(cx).unwrap_or_else(|fault| {
        tracing::error!(plugin = slot.name, %fault, "_meta.filter could not be evaluated, the plugin runs");
        true
    });
    filters.push((slot.id, passes));
    passes
}

type Panic = Box<dyn std::any::Any + Send>;

/// Runs a hook and keeps its panic from the worker.
fn guard<T>(hook: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(hook))
}

fn panicked(slot: &Slot, cx: &Ctx, panic: Panic) -> PluginError {
    panic_error(slot, &cx.shared, panic)
}

#[allow(clippy::needless_pass_by_value)] // a panic's payload is handed over
fn panic_error(slot: &Slot, shared: &plugin::Shared, panic: Panic) -> PluginError {
    shared.stats.panics.count(slot.name);
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    PluginError(format!("plugin {} panicked: {what}", slot.name))
}

/// Waits where the plugin waits, and turns what it came to into a reply.
async fn settle_step(slot: &Slot, step: Result<Step<'_>, Panic>, shared: &plugin::Shared) -> Option<Reply> {
    let outcome: Outcome = match step {
        Ok(Step::Ready(outcome)) => outcome,
        Ok(Step::Wait(mut future)) => {
            std::future::poll_fn(|task| match guard(|| future.as_mut().poll(task)) {
                Ok(Poll::Ready(outcome)) => Poll::Ready(outcome),
                Ok(Poll::Pending) => Poll::Pending,
                Err(panic) => Poll::Ready(Err(panic_error(slot, shared, panic))),
            })
            .await
        }
        Err(panic) => Err(panic_error(slot, shared, panic)),
    };
    match outcome {
        Ok(Verdict::Next) => None,
        Ok(Verdict::Respond(reply)) => Some(with_error_response(slot, *reply)),
        Err(error) => {
            tracing::error!(plugin = slot.name, %error, "the plugin failed");
            Some(Reply::status(500))
        }
    }
}

/// `_meta.error_response` replaces the body of a refusal.
fn with_error_response(slot: &Slot, mut reply: Reply) -> Reply {
    if reply.status >= 400
        && let Some(body) = &slot.meta.error_response
    {
        let text = match body {
            serde_json::Value::String(text) => text.clone(),
            other => format!("{other}\n"),
        };
        reply.body = ReplyBody::Bytes(text.into());
    }
    reply
}
