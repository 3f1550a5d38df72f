//! Bodies that are read into memory because something looks into them.

use e2e::{Client, Gateway, Upstream, route_to, wait_for};
use serde_json::{Value, json};

/// A route that is only for forms in which `a` is 1, with a gateway that keeps at most 1 MiB of bodies in memory.
fn for_forms() -> (Gateway, Upstream) {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({ "portcullis": { "limits": { "buffered_body_budget": "1m" } } }));
    let mut route = route_to(upstream.addr);
    route["vars"] = json!([["post_arg_a", "==", "1"]]);
    gateway.put("routes/form", &route);
    (gateway, upstream)
}

const SIZE: usize = 100 << 10;

/// Sends all of a form but its last byte.
fn begin(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    client.send(format!(
        "POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {SIZE}\r\n\r\na=1&b="
    ));
    client.send("x".repeat(SIZE - "a=1&b=".len() - 1));
    client
}

/// Whether a whole form passes now.
fn passes(gateway: &Gateway) -> bool {
    let mut client = begin(gateway);
    client.send("x");
    match client.response().expect("an answer").status() {
        200 => true,
        503 => false,
        other => panic!("{other}"),
    }
}

/// Begins forms until there is no room for another one. The first twenty do not fit, and so some are refused.
fn fill(gateway: &Gateway) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..20).map(|_| begin(gateway)).collect();
    wait_for("the budget to be used up", || {
        clients.push(begin(gateway));
        (!passes(gateway)).then_some(())
    });
    clients
}

#[test]
fn bodies_in_memory_share_a_budget_and_give_it_back() {
    let (gateway, upstream) = for_forms();
    let clients = fill(&gateway);
    // What needs no body in memory is not hindered.
    assert_eq!(gateway.get("/other").status(), 404);
    let mut statuses: Vec<u16> = clients
        .into_iter()
        .map(|mut client| {
            client.send("x");
            client.response().expect("an answer").status()
        })
        .collect();
    statuses.sort_unstable();
    let passed = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 503).count();
    assert!(passed + refused == statuses.len() && passed > 0 && refused > 0, "{statuses:?}");
    assert!(upstream.requests().iter().all(|request| request.body.len() == SIZE));
    // All of it is free again, after answers and after refusals.
    for n in 0..15 {
        wait_for(&format!("room for form {n}"), || passes(&gateway).then_some(()));
    }
    // And after clients that went away.
    drop(fill(&gateway));
    let held: Vec<Client> = wait_for("room for eight at once", || {
        let mut held: Vec<Client> = (0..8).map(|_| begin(&gateway)).collect();
        let is_room = held.iter_mut().all(|client| {
            client.send("x");
            client.response().is_some_and(|answer| answer.status() == 200)
        });
        is_room.then_some(held)
    });
    drop(held);
}

#[test]
fn a_filter_on_the_body_decides_about_its_plugin() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({}));
    let mut route = route_to(upstream.addr);
    let filter = |rule: Value| json!({ "key-auth": { "_meta": { "filter": rule } } });
    route["plugins"] = filter(json!([["post_arg_secret", "==", "yes"]]));
    gateway.put("routes/form", &route);
    route["uri"] = json!("/json");
    route["plugins"] = filter(json!([["post_arg.user.role", "==", "admin"]]));
    gateway.put("routes/json", &route);
    let form = "application/x-www-form-urlencoded";
    let json = "application/json";
    for (path, kind, body, status) in [
        ("/form", form, "secret=yes", 401),
        ("/form", form, "secret=no", 200),
        ("/form", form, "", 200),
        ("/form", json, "secret=yes", 200),
        ("/json", json, r#"{"user":{"role":"admin"}}"#, 401),
        ("/json", json, r#"{"user":{"role":"other"}}"#, 200),
        ("/json", json, "no json", 200),
    ] {
        for is_chunked in [false, true] {
            let framing = if is_chunked {
                let chunk = if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
                format!("Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n")
            } else {
                format!("Content-Length: {}\r\n\r\n{body}", body.len())
            };
            let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n{framing}");
            let answer = gateway.client().ask(request);
            assert_eq!(answer.status(), status, "{path} {kind} {body}, chunked: {is_chunked}");
            if status == 200 {
                assert_eq!(upstream.requests().pop().unwrap().text(), body, "{path}");
            }
        }
    }
}

#[test]
fn a_body_that_is_too_long_to_look_into_gets_around_nothing() {
    let upstream = Upstream::hello();
    let gateway = Gateway::start(json!({ "apisix": { "max_post_args_readable_size": 1 } }));
    let mut route = route_to(upstream.addr);
    gateway.put("routes/all", &route);
    route["uri"] = json!("/filtered");
    route["plugins"] = json!({ "key-auth": { "_meta": { "filter": [["post_arg_secret", "==", "yes"]] } } });
    gateway.put("routes/filtered", &route);
    let mut route = route_to(upstream.addr);
    route["uri"] = json!("/chosen");
    route["plugins"] = json!({ "key-auth": {} });
    route["vars"] = json!([["post_arg_secret", "==", "yes"]]);
    gateway.put("routes/chosen", &route);
    let long = format!("pad={}&secret=yes", "x".repeat(3 << 20));
    for (path, status) in [
        // The plugin runs where its filter cannot be evaluated.
        ("/filtered", 401),
        // There is another route for the path, but nobody may choose it by sending more.
        ("/chosen", 413),
        // Where nothing looks into it, it passes.
        ("/free", 200),
    ] {
        for is_chunked in [false, true] {
            let framing = if is_chunked {
                format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len())
            } else {
                format!("Content-Length: {}\r\n\r\n{long}", long.len())
            };
            let mut client = gateway.client();
            let mut sender = Client::of(client.stream.try_clone().unwrap());
            let path = path.to_owned();
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n{framing}"
            );
            std::thread::scope(|scope| {
                scope.spawn(move || sender.send(request));
                let answer = client.response().expect("an answer");
                assert_eq!(answer.status(), status, "{path}, chunked: {is_chunked}");
            });
            if status == 200 {
                assert!(upstream.requests().pop().unwrap().text() == long, "{path}, chunked: {is_chunked}");
            }
        }
    }
}
