//! What GraphQL queries cost by the schema of their upstream, which is asked for it.

use e2e::{Gateway, Message, Upstream, route_to};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const DECORATION: &str = "services/shop/graphql_cost_decorations/products";

/// An upstream that tells its schema while it is open.
fn shop(is_open: Arc<AtomicBool>) -> Upstream {
    let schema = json!({ "data": { "__schema": { "queryType": { "name": "Query" }, "types": [
        { "name": "Query", "fields": [{ "name": "products", "args": [], "type": { "name": "Products" } }] },
    ] } } })
    .to_string();
    Upstream::start(move |conn| {
        while let Some(request) = conn.request() {
            let answer = match asks_for_schema(&request) {
                true if is_open.load(Ordering::Acquire) => schema.clone(),
                true => json!({ "errors": [{ "message": "introspection is not allowed" }] }).to_string(),
                false => "hello".to_owned(),
            };
            if !conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())) {
                return;
            }
        }
    })
}

fn asks_for_schema(request: &Message) -> bool {
    request.text().contains("__schema")
}

fn questions(upstream: &Upstream) -> usize {
    upstream.requests().iter().filter(|request| asks_for_schema(request)).count()
}

fn start(upstream: &Upstream, more: &Value) -> Gateway {
    let gateway = Gateway::start(json!({}));
    let mut config = json!({ "count": 1_000_000, "time_window": 600, "cost_strategy": "node_quantifier" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut service = route_to(upstream.addr);
    service.as_object_mut().unwrap().remove("uri");
    service["plugins"] = json!({ "graphql-limit-count": config });
    gateway.put("services/shop", &service);
    gateway.put("routes/shop", &json!({ "uri": "/graphql", "service_id": "shop" }));
    gateway.put(DECORATION, &json!({ "field_path": "Query.products", "mul_arguments": ["first"] }));
    gateway
}

fn ask(gateway: &Gateway) -> Message {
    let query = "{ products(first: 10) { products(first: 3) } }";
    gateway.client().ask(format!(
        "POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/graphql\r\nContent-Length: {}\r\n\r\n{query}",
        query.len()
    ))
}

#[test]
fn of_many_requests_one_asks_for_the_schema() {
    let upstream = shop(Arc::new(AtomicBool::new(true)));
    let gateway = start(&upstream, &json!({}));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..16).map(|_| scope.spawn(|| ask(&gateway))).collect();
        for answer in clients.into_iter().map(|client| client.join().unwrap()) {
            assert_eq!((answer.status(), answer.get("X-Graphql-Query-Cost")), (200, Some("2")));
        }
    });
    assert_eq!(questions(&upstream), 1);
    // Clients do not choose whom the upstream takes itself for, unless the route does.
    let hosts = |upstream: &Upstream| -> Vec<String> {
        let questions = upstream.requests().into_iter().filter(asks_for_schema);
        questions.map(|question| question.get("host").unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(hosts(&upstream), [upstream.addr.to_string()]);
    let named = start(&upstream, &json!({}));
    named.put("routes/shop", &json!({ "uri": "/graphql", "service_id": "shop", "host": "a" }));
    assert_eq!(ask(&named).status(), 200);
    assert_eq!(hosts(&upstream), [upstream.addr.to_string(), "a".to_owned()]);
    // What a field costs is in force as soon as it is written, and the schema is known.
    gateway.put(DECORATION, &json!({ "field_path": "Query.products", "mul_arguments": ["first"], "add_value": 40 }));
    assert_eq!(ask(&gateway).get("X-Graphql-Query-Cost"), Some("41"));
    gateway.admin("DELETE", DECORATION, &Value::Null);
    assert_eq!(ask(&gateway).get("X-Graphql-Query-Cost"), Some("1"));
    assert_eq!(questions(&upstream), 2);
}

#[test]
fn while_there_is_no_schema_nothing_passes_and_one_asks() {
    let is_open = Arc::new(AtomicBool::new(false));
    let upstream = shop(is_open.clone());
    let gateway = start(&upstream, &json!({ "allow_degradation": true }));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..16).map(|_| scope.spawn(|| ask(&gateway).status())).collect();
        for status in clients.into_iter().map(|client| client.join().unwrap()) {
            assert_eq!(status, 400);
        }
    });
    assert_eq!((questions(&upstream), upstream.requests().len()), (1, 1));
    let log = gateway.file("error.log") + &gateway.file("stderr");
    assert_eq!(log.matches("did not tell its GraphQL schema").count(), 1, "{log}");
    is_open.store(true, Ordering::Release);
    // It is asked again after ten seconds.
    let answer = e2e::wait_for("the schema", || Some(ask(&gateway)).filter(|answer| answer.status() == 200));
    assert_eq!(answer.get("X-Graphql-Query-Cost"), Some("2"));
}

#[test]
fn an_endpoint_is_asked_instead_of_the_service() {
    let (upstream, other) = (Upstream::hello(), shop(Arc::new(AtomicBool::new(true))));
    let endpoint = format!("http://localhost:{}/schema?of=shop", other.addr.port());
    let headers = json!({ "Host": "schema.example", "Authorization": "Bearer a-secret-of-the-upstream" });
    let more = json!({ "introspection_endpoint": endpoint, "introspection_headers": headers, "max_cost": 1 });
    let gateway = start(&upstream, &more);
    gateway.put("routes/shop", &json!({ "uri": "/*", "service_id": "shop" }));
    assert_eq!(ask(&gateway).status(), 403);
    let question = &other.requests()[0];
    assert_eq!(question.start, "POST /schema?of=shop HTTP/1.1");
    assert_eq!(question.get("host"), Some("schema.example"));
    assert_eq!(question.get("authorization"), Some("Bearer a-secret-of-the-upstream"));
    assert!(upstream.requests().is_empty());
    let store = std::fs::read(gateway.dir.path().join("data/store.redb")).unwrap();
    let secret = b"a-secret-of-the-upstream";
    assert!(!store.windows(secret.len()).any(|window| window == secret), "it is sealed");
}
