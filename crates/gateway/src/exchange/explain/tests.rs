use super::*;
use crate::{
    flow::Write,
    options,
    plugins::PluginSet,
    snapshot::tests::{Door, Mark},
};
use model::{documents::Key, settings::Settings};
use plugin::{describe, describe_auth};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use store::{Expect, Memory};

async fn flow(documents: &[(&str, Value)], settings: &Settings) -> Arc<Flow> {
    let all = vec![describe_auth::<Door>(), describe::<Mark>()];
    let plugins = Arc::new(PluginSet::new(all, None, &Map::new(), settings.compat).unwrap());
    let router = settings.routing.router;
    let flow = Flow::open_routing(Arc::new(Memory::new()), plugins, Arc::default(), router).await.unwrap();
    let writes = documents.iter().map(|(path, value)| {
        let key = Key::parse(path).unwrap();
        let mut value = value.clone();
        value[if path.starts_with("/consumers") { "username" } else { "id" }] = json!(key.id());
        Write::Put { key, value, expect: Expect::Any }
    });
    flow.write(writes.collect()).await.unwrap();
    flow
}

fn settings(yaml: &str) -> Settings {
    Settings::parse(Some(yaml), &|_| None).unwrap().0
}

async fn ask(flow: &Flow, question: Value) -> Result<Explanation, BadQuestion> {
    let question: Question = serde_json::from_value(question).unwrap();
    explain(flow, &options::options(&settings("{}")), &question).await
}

fn documents() -> Vec<(&'static str, Value)> {
    let node = |host: &str| json!({ "nodes": { host: 1 } });
    vec![
        ("/upstreams/u", json!({ "type": "least_conn", "nodes": { "10.0.0.1:80": 1, "10.0.0.2:80": 2 } })),
        ("/services/s", json!({ "upstream_id": "u", "plugins": { "mark": { "tag": "service" } } })),
        ("/global_rules/g", json!({ "plugins": { "mark": { "tag": "global" } } })),
        ("/consumers/alice", json!({ "plugins": { "mark": { "tag": "alice" }, "door": { "key": "k" } } })),
        ("/routes/exact", json!({ "uri": "/a/b", "name": "The one", "service_id": "s", "plugins": { "door": {} } })),
        ("/routes/prefix", json!({ "uri": "/a/*", "upstream": node("10.0.0.3:80") })),
        ("/routes/posts", json!({ "uri": "/a/b", "priority": 9, "methods": ["POST"], "upstream_id": "u" })),
        ("/routes/there", json!({ "uri": "/a/b", "host": "b.example", "upstream_id": "u" })),
        (
            "/routes/beta",
            json!({ "uri": "/a/b", "priority": 5, "vars": [["arg_beta", "==", "1"]], "upstream_id": "u" }),
        ),
        ("/routes/other", json!({ "uri": "/other", "upstream_id": "u" })),
    ]
}

#[tokio::test]
async fn says_what_is_chosen_and_why_others_are_not() {
    let flow = flow(&documents(), &settings("{}")).await;
    let said = ask(&flow, json!({ "url": "http://a.example/a/./b?x=1", "consumer": "alice" })).await.unwrap();
    let seen = said.request.unwrap();
    assert_eq!((&*seen.method, &*seen.host, &*seen.path, &*seen.client), ("GET", "a.example", "/a/b", "127.0.0.1"));
    assert_eq!(said.answer, None);
    let route = said.route.unwrap();
    assert_eq!((&*route.key, route.name.as_deref(), &*route.uri), ("/routes/exact", Some("The one"), "/a/b"));
    assert_eq!(route.service.as_deref(), Some("/services/s"));
    let chain: Vec<_> =
        said.plugins.iter().map(|p| (p.plugin, &*p.origin, p.authenticates, p.idle.is_some())).collect();
    let want = [
        ("mark", "/global_rules/g", false, false),
        ("door", "/routes/exact", true, false),
        ("mark", "/consumers/alice", false, false),
    ];
    assert_eq!(chain, want);
    let upstream = said.upstream.unwrap();
    assert_eq!((&*upstream.key, upstream.balancer, upstream.node_count), ("/upstreams/u", "least_conn", 2));
    let others: Vec<_> = said.others.iter().map(|other| (&*other.key, &*other.reason)).collect();
    let want = [
        ("/routes/posts", "its methods are POST"),
        ("/routes/beta", "its vars do not hold"),
        ("/routes/there", "its hosts are b.example"),
        ("/routes/prefix", "it fits too, but /routes/exact has exactly this path"),
    ];
    assert_eq!(others, want);
}

#[tokio::test]
async fn the_nearer_host_wins() {
    let flow = flow(&documents(), &settings("{}")).await;
    let said = ask(&flow, json!({ "url": "/a/b?beta=1", "headers": { "Host": "B.example:80" } })).await.unwrap();
    assert_eq!(said.route.unwrap().key, "/routes/there");
    assert!(
        said.others.iter().any(|o| o.key == "/routes/beta" && o.reason.ends_with("/routes/there has the nearer host"))
    );
}

#[tokio::test]
async fn says_what_the_gateway_answers_by_itself() {
    let flow = flow(&documents(), &settings("{}")).await;
    for (question, status, reason) in [
        (json!({ "url": "/nowhere" }), 404, "no route fits"),
        (json!({ "url": "/a%2fb" }), 400, "ambiguous-path"),
        (json!({ "url": "/a/b", "headers": { "Transfer-Encoding": "gzip" } }), 501, ""),
        (json!({ "url": "/a b" }), 400, ""),
    ] {
        let answer = ask(&flow, question.clone()).await.unwrap().answer.unwrap();
        assert_eq!(answer.status, status, "{question}");
        assert!(answer.reason.contains(reason), "{question}: {answer:?}");
    }
}

#[tokio::test]
async fn a_question_that_cannot_be_asked_is_refused() {
    let flow = flow(&documents(), &settings("{}")).await;
    for (question, refusal) in [
        (json!({ "url": "ftp://a/" }), BadQuestion::Url),
        (json!({ "url": "http://a?b" }), BadQuestion::Url),
        (json!({ "url": "/a", "headers": { "A": "b\r\nC: d" } }), BadQuestion::Control("a header")),
        (json!({ "url": "/a", "method": "GET\n" }), BadQuestion::Control("the method")),
        (json!({ "url": "/a/b", "consumer": "bob" }), BadQuestion::UnknownConsumer("bob".to_owned())),
    ] {
        assert_eq!(ask(&flow, question).await.unwrap_err(), refusal);
    }
}

/// What explain says is chosen is what the router chooses, and whatever else fits is named with a reason.
#[tokio::test]
async fn every_route_whose_path_fits_is_accounted_for() {
    let mut many = documents();
    let ids: Vec<String> = (0..30).map(|n| format!("/routes/n{n}")).collect();
    many.extend(ids.iter().map(|id| (id.as_str(), json!({ "uri": "/a*", "upstream_id": "u" }))).map(|(id, v)| {
        let id: &'static str = String::leak(id.to_owned());
        (id, v)
    }));
    let flow = flow(&many, &settings("{}")).await;
    let said = ask(&flow, json!({ "url": "/a/b" })).await.unwrap();
    assert_eq!((said.others.len(), said.others_left_out), (20, 14));
}
