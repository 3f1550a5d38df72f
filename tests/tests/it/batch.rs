//! Several requests as one: what each of them may be and reach.

use e2e::{Client, Gateway, Upstream, route_to};
use serde_json::{Value, json};

fn ask(gateway: &Gateway, batch: &Value, fields: &str) -> Value {
    let body = batch.to_string();
    let mut client: Client = gateway.client();
    let length = body.len();
    let head = format!("POST /apisix/batch-requests HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n");
    let answer = client.ask(format!("{head}{body}"));
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

fn statuses(answers: &Value) -> Vec<u64> {
    answers.as_array().unwrap().iter().map(|answer| answer["status"].as_u64().unwrap()).collect()
}

#[test]
fn requests_of_a_batch_pass_the_same_checks_and_cannot_set_their_address() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({
        // The client itself is a trusted peer: what it says of its address would be believed.
        "nginx_config": { "http": { "real_ip_from": ["127.0.0.0/8"], "real_ip_header": "X-Real-IP" } },
    }));
    gateway.put("routes/batch", &json!({ "uri": "/apisix/batch-requests", "plugins": { "public-api": {} } }));
    let mut open = route_to(upstream.addr);
    open["uri"] = json!("/open");
    gateway.put("routes/open", &open);
    let mut closed = open.clone();
    closed["uri"] = json!("/closed");
    closed["plugins"] = json!({ "key-auth": {} });
    gateway.put("routes/closed", &closed);
    let mut inner = open.clone();
    inner["uri"] = json!("/inner");
    inner["remote_addr"] = json!("10.1.1.1");
    gateway.put("routes/inner", &inner);
    let consumer = json!({ "username": "jack", "plugins": { "key-auth": { "key": "k" } } });
    assert_eq!(gateway.admin("PUT", "consumers", &consumer).0, 201);
    let forged = json!({ "X-Real-IP": "10.1.1.1", "X-Consumer-Username": "admin" });
    let batch = json!({ "headers": { "X-Real-IP": "10.1.1.1" }, "pipeline": [
        { "path": "/open", "method": "POST", "body": "text", "headers": forged },
        { "path": "/closed" },
        { "path": "/closed", "headers": { "apikey": "k" } },
        { "path": "/inner", "headers": forged },
        { "path": "/open/../closed" },
        { "path": "/open%2f..%2fclosed" },
        { "path": "/apisix/admin/routes", "headers": { "X-API-KEY": e2e::KEY } },
    ] });
    let answers = ask(&gateway, &batch, "");
    assert_eq!(statuses(&answers), [200, 401, 200, 404, 401, 400, 404], "{answers}");
    assert_eq!(answers[0]["body"], "hello");
    let seen = upstream.requests();
    assert_eq!((seen.len(), seen[0].text().as_str()), (2, "text"));
    assert_eq!((seen[0].get("x-real-ip"), seen[0].get("x-consumer-username")), (Some("127.0.0.1"), None));
    assert_eq!(seen[1].get("x-consumer-username"), Some("jack"));
}

#[test]
fn a_request_that_takes_too_long_does_not_hold_the_others_up() {
    let upstream = Upstream::hello();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::start(json!({}));
    gateway.put("routes/batch", &json!({ "uri": "/apisix/batch-requests", "plugins": { "public-api": {} } }));
    for (id, addr) in [("fast", upstream.addr), ("slow", silent.local_addr().unwrap())] {
        let mut route = route_to(addr);
        route["uri"] = json!(format!("/{id}"));
        gateway.put(&format!("routes/{id}"), &route);
    }
    let pipeline = json!([{ "path": "/fast" }, { "path": "/slow" }, { "path": "/fast" }]);
    let answers = ask(&gateway, &json!({ "timeout": 300, "pipeline": pipeline }), "");
    assert_eq!(statuses(&answers), [200, 504, 200], "{answers}");
    assert_eq!(answers[1], json!({ "status": 504, "reason": "upstream timeout" }));
}
