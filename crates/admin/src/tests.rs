//! Rows of a request and its answer, over a configuration in memory.

mod documents;
mod fake;
mod kinds;
mod patching;
mod pushed;
mod reading;
mod requests;

use super::*;
use fake::Fake;
use plugin::ReplyBody;
use std::future::Future;

const ADMIN: &str = "edd1c9f034335f136f87ad84b625c8f2";

fn api() -> (AdminApi<Fake>, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let keys = vec![
        AdminKey { key: ADMIN.to_owned(), role: Role::Admin },
        AdminKey { key: "viewer-key".to_owned(), role: Role::Viewer },
    ];
    (AdminApi::new(fake.clone(), Settings { keys, ..Settings::default() }), fake)
}

fn request(method: &str, target: &str, body: &[u8]) -> AdminRequest {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    AdminRequest {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: if path.starts_with('/') { path.to_owned() } else { format!("/apisix/admin/{path}") },
        query: query.map(|query| query.as_bytes().to_vec()),
        fields: [("x-api-key", ADMIN)].into_iter().collect(),
        body: Bytes::copy_from_slice(body),
        peer: "127.0.0.1".parse().unwrap(),
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn text(reply: &Reply) -> String {
    match &reply.body {
        ReplyBody::Default => "<page>".to_owned(),
        ReplyBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn call(api: &AdminApi<Fake>, method: &str, target: &str, body: &str) -> (u16, String) {
    let reply = wait(api.handle(request(method, target, body.as_bytes())));
    (reply.status, text(&reply))
}

/// Plays rows in order. `~` in front of a wanted body asks for that part only; timestamps are shown as `T`.
fn play(api: &AdminApi<Fake>, rows: &[(&str, &str, &str, u16, &str)]) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (method, target, body, status, want) in rows {
        let (got_status, mut got) = call(api, method, target, body);
        for second in now - 1..now + 3 {
            got = got.replace(&second.to_string(), "T");
        }
        let fits = match want.strip_prefix('~') {
            Some(part) => got.contains(part),
            None => got.trim_end() == *want,
        };
        assert!(
            fits && got_status == *status,
            "{method} {target} {body}\n got {got_status} {got}\nwant {status} {want}"
        );
    }
}
