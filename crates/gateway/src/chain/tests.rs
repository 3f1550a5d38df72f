use super::{Chain, EffectiveChain, run};
use crate::{
    plugins::PluginSet,
    route::RouteQuery,
    snapshot::{Compiler, Snapshot},
};
use futures_util::FutureExt;
use model::{documents::Key, settings::Router};
use plugin::{
    Access, BuildEnv, BuildError, Ctx, Hooks, Log, Plugin, PluginClass, PluginError, Posture, Reply, ReplyBody,
    Rewrite, RunPolicy, Shared, Spec, Step, describe, testing::World,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Writes down that it ran, then does what its configuration says. `a`, `b` and `c` stand in this order; `c` gives way to a route's.
struct Note<const N: usize> {
    tag: String,
    does: String,
}

#[derive(Deserialize)]
struct Config {
    tag: String,
    does: String,
}

const fn spec(run_policy: RunPolicy, class: PluginClass) -> Spec {
    Spec {
        schema: r#"{"schema": {"type": "object", "properties": {
            "tag": {"type": "string", "default": ""}, "does": {"type": "string", "default": "next"}}}}"#,
        version: 0.1,
        class,
        run_policy,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    }
}

impl<const N: usize> Plugin for Note<N> {
    const NAME: &'static str = ["a", "b", "c", "auth"][N];
    const PRIORITY: i32 = [30, 20, 10, 40][N];
    const SPEC: Spec = spec(
        if N == 2 { RunPolicy::PreferRoute } else { RunPolicy::Always },
        if N == 3 { PluginClass::Auth } else { PluginClass::Other },
    );
    type Config = Config;
    type Metadata = ();

    fn build(Config { tag, does }: Config, _: &BuildEnv<'_>) -> Result<Self, BuildError> {
        Ok(Self { tag, does })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.rewrite = Some(self.clone());
        hooks.access = Some(self.clone());
        hooks.log = Some(self);
    }
}

impl<const N: usize> Note<N> {
    fn note(&self, cx: &mut Ctx, phase: &str) {
        let note = format!("{phase}:{}{}", Self::NAME, self.tag);
        cx.request.fields.push(b"X-Note", note.as_bytes());
    }
}

impl<const N: usize> Rewrite for Note<N> {
    fn rewrite<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        self.note(cx, "r");
        match self.does.as_str() {
            "refuse" => Step::respond(Reply::status(401)),
            "fail" => Step::Ready(Err(PluginError("told to".to_owned()))),
            "panic" => panic!("told to"),
            "panic later" => Step::Wait(Box::pin(async { panic!("told to") })),
            name if N == 3 => {
                cx.set_consumer(plugin::testing::consumer(name));
                Step::NEXT
            }
            _ => Step::NEXT,
        }
    }
}

impl<const N: usize> Access for Note<N> {
    fn access<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        self.note(cx, "a");
        Step::NEXT
    }
}

impl<const N: usize> Log for Note<N> {
    fn log(&self, cx: &mut Ctx) {
        self.note(cx, "l");
    }
}

fn snapshot(documents: &[(&str, Value)]) -> Snapshot {
    let all = vec![describe::<Note<0>>(), describe::<Note<1>>(), describe::<Note<2>>(), describe::<Note<3>>()];
    let plugins = PluginSet::new(all, None, &Map::new(), model::differences::Compat::default()).unwrap();
    let mut compiler = Compiler::new(Arc::new(plugins), Arc::new(Shared::default()), Router::default());
    for (path, value) in documents {
        let mut value = value.clone();
        if !path.starts_with("/consumers/") {
            value["id"] = json!(path.rsplit('/').next());
        }
        compiler.change(&Key::parse(path).unwrap(), None, Some(&crate::snapshot::Written::new(&value)), None);
    }
    let snapshot = compiler.snapshot(1);
    assert_eq!(snapshot.problems(), []);
    snapshot
}

/// Runs rewrite, access (unless rewrite replied) and log for `GET /`. Gives what ran and the reply.
fn play(world: &World, global: &Value, route: &Value, consumer: &Value) -> (Vec<String>, Option<Reply>) {
    let snapshot = snapshot(&[
        ("/global_rules/g", json!({ "plugins": global })),
        ("/consumers/jack", json!({ "username": "jack", "plugins": consumer })),
        ("/routes/1", json!({ "uri": "/", "plugins": route })),
    ]);
    let mut cx = world.ctx("GET", "/", &[]);
    let query = RouteQuery { method: "GET", host: "", authority: b"", path: b"/", client: [127, 0, 0, 1].into() };
    let found = snapshot.routes().find(&query, &cx).unwrap().unwrap();
    let mut chain = EffectiveChain::of(&found.route);
    let global: &Chain = snapshot.global();
    let rewritten = run::rewrite(global, &mut chain, &snapshot, &mut cx, &world.shared).now_or_never();
    let mut reply = rewritten.unwrap().unwrap();
    if reply.is_none() {
        reply = run::access(global, &chain, &mut cx, &world.shared).now_or_never().unwrap();
    }
    run::log(global, &chain, &mut cx);
    let notes = cx.request.fields.get_all("x-note").map(|note| String::from_utf8_lossy(note).into_owned()).collect();
    (notes, reply)
}

#[test]
fn phases_run_in_apisix_order() {
    let none = || json!({});
    let rows = [
        ("by priority", none(), json!({ "b": {}, "a": {} }), none(), "r:a r:b a:a a:b l:a l:b"),
        (
            "_meta.priority",
            none(),
            json!({ "b": { "_meta": { "priority": 99 } }, "a": {} }),
            none(),
            "r:b r:a a:b a:a l:b l:a",
        ),
        (
            "global first",
            json!({ "b": { "tag": "G" } }),
            json!({ "a": {}, "b": {} }),
            none(),
            "r:bG r:a r:b a:bG a:a a:b l:bG l:a l:b",
        ),
        ("global gives way", json!({ "c": { "tag": "G" } }), json!({ "c": {} }), none(), "r:c a:c l:c"),
        ("global runs alone", json!({ "c": { "tag": "G" } }), json!({ "a": {} }), none(), "r:cG r:a a:cG a:a l:cG l:a"),
        ("disabled", none(), json!({ "a": { "_meta": { "disable": true } }, "b": {} }), none(), "r:b a:b l:b"),
        (
            "filter",
            none(),
            json!({ "a": { "_meta": { "filter": [["uri", "==", "/other"]] } }, "b": { "_meta": { "filter": [["uri", "==", "/"]] } } }),
            none(),
            "r:b a:b l:b",
        ),
        (
            "only the consumer's own run rewrite again",
            none(),
            json!({ "auth": { "does": "jack" }, "a": {} }),
            json!({ "a": { "tag": "J" }, "b": { "tag": "J" } }),
            "r:auth r:a r:bJ a:auth a:aJ a:bJ l:auth l:aJ l:bJ",
        ),
        ("a refusal ends the phase", none(), json!({ "a": { "does": "refuse" }, "b": {} }), none(), "r:a l:a l:b"),
    ];
    for (desc, global, route, consumer, want) in rows {
        let (notes, _) = play(&World::default(), &global, &route, &consumer);
        assert_eq!(notes.join(" "), want, "{desc}");
    }
}

#[test]
fn failures_and_panics_are_answered_500_and_counted() {
    for (does, status, panics) in [("refuse", 401, 0), ("fail", 500, 0), ("panic", 500, 1), ("panic later", 500, 1)] {
        let world = World::default();
        let (notes, reply) = play(&world, &json!({}), &json!({ "a": { "does": does }, "b": {} }), &json!({}));
        assert_eq!(reply.map(|reply| reply.status), Some(status), "{does}");
        let counted = world.shared.stats.panics.by_plugin();
        assert_eq!(counted.get("a").copied().unwrap_or_default(), panics, "{does}");
        assert!(!counted.contains_key("b"), "{does}");
        assert_eq!(notes.join(" "), "r:a l:a l:b", "{does}");
    }
}

#[test]
fn error_response_replaces_the_body_of_a_refusal() {
    for (written, want) in [(json!("no"), "no"), (json!({ "why": "no" }), "{\"why\":\"no\"}\n")] {
        let route = json!({ "a": { "does": "refuse", "_meta": { "error_response": written } } });
        let (_, reply) = play(&World::default(), &json!({}), &route, &json!({}));
        let reply = reply.unwrap();
        assert_eq!(reply.status, 401);
        assert!(matches!(&reply.body, ReplyBody::Bytes(body) if body == want), "{want}");
    }
}
