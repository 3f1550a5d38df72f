//! What a real browser makes of the gateway's answers: cors and csrf.

use e2e::{Gateway, Message, Upstream, wait_for};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A headless Chromium on one page, until it is dropped.
struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
        let profile = TempDir::new().unwrap();
        let child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--no-proxy-server", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium is installed by `cargo xtask test`");
        Self { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves a page to browsers, and takes what its script reports.
fn page(script: &str) -> Upstream {
    let html = format!(
        // Its icon is in it: another request, and its cookie, would come in between.
        "<!doctype html><link rel=icon href=data:,><body><script>(async () => {{\n\
         const tell = async (name, act) => {{ try {{ results[name] = await act(); }} catch (e) {{ results[name] = e.name; }} }};\n\
         const results = {{}};\n{script}\n\
         await fetch('/report', {{ method: 'POST', body: JSON.stringify(results) }});\n}})();</script>"
    );
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{html}", html.len());
    Upstream::answering(answer)
}

/// What the script on a page reports.
fn report(page: &Upstream, host: &str) -> Value {
    let _browser = Browser::open(&format!("http://{host}:{}/", page.addr.port()));
    let is_report = |request: &Message| request.start.starts_with("POST /report ");
    let reported = wait_for("the page to report", || page.requests().into_iter().find(is_report));
    serde_json::from_str(&reported.text()).unwrap()
}

fn route(upstream: SocketAddr, plugins: &Value) -> Value {
    json!({ "uri": "/*", "plugins": plugins, "upstream": { "nodes": { upstream.to_string(): 1 } } })
}

/// Where scripts ask, with a header that needs a preflight.
fn ask(gateway: &Gateway, options: &str) -> String {
    format!(
        "fetch('http://127.0.0.1:{}/data', {{ headers: {{ 'X-Ask': '1' }}, {options} }})\
         .then(async r => r.status + ' ' + await r.text() + ' ' + r.headers.get('X-Told'))",
        gateway.proxy.port()
    )
}

#[test]
fn pages_read_what_cors_lets_them_read() {
    let upstream = Upstream::answering("HTTP/1.1 200 OK\r\nX-Told: yes\r\nContent-Length: 5\r\n\r\nhello");
    let gateway = Gateway::start(json!({}));
    gateway.put("consumers", &json!({ "username": "a", "plugins": { "key-auth": { "key": "k" } } }));
    let script = [
        ("plain", ask(&gateway, "")),
        ("credentials", ask(&gateway, "credentials: 'include'")),
        ("deleted", ask(&gateway, "method: 'DELETE'")),
        ("keyed", ask(&gateway, "headers: { apikey: 'k' }")),
        ("anonymous", ask(&gateway, "headers: { 'X-Ask': 2 }")),
    ];
    let script: String = script.iter().map(|(name, act)| format!("await tell('{name}', () => {act});\n")).collect();
    let page = page(&script);
    let origin = format!("http://localhost:{}", page.addr.port());
    let refused = "TypeError";
    for (desc, plugins, want) in [
        (
            "a named origin, with all it asks for",
            json!({ "cors": { "allow_origins": origin, "allow_headers": "X-Ask,apikey", "allow_methods": "GET,DELETE",
                "expose_headers": "X-Told", "allow_credential": true } }),
            ["200 hello yes"; 5],
        ),
        (
            "another origin",
            json!({ "cors": { "allow_origins": "http://other.example", "allow_headers": "X-Ask,apikey" } }),
            [refused; 5],
        ),
        (
            "everybody, but not with credentials, and headers that are not exposed",
            json!({ "cors": { "allow_headers": "X-Ask,apikey", "expose_headers": "X-Other", "allow_methods": "GET" } }),
            ["200 hello null", refused, refused, "200 hello null", "200 hello null"],
        ),
        ("no cors at all", json!({}), [refused; 5]),
        (
            "a preflight is answered before a key is asked for, and a refusal can be read",
            json!({ "key-auth": {}, "cors": { "allow_origins": origin, "allow_headers": "X-Ask,apikey", "allow_methods": "GET",
                "expose_headers": "X-Told", "allow_credential": true } }),
            [
                "401 {\"message\":\"Missing API key in request\"}\n null",
                "401 {\"message\":\"Missing API key in request\"}\n null",
                refused,
                "200 hello yes",
                "401 {\"message\":\"Missing API key in request\"}\n null",
            ],
        ),
    ] {
        gateway.put("routes/1", &route(upstream.addr, &plugins));
        let page = self::page(&script);
        let plugins = plugins.to_string().replace(&origin, &format!("http://localhost:{}", page.addr.port()));
        gateway.put("routes/1", &route(upstream.addr, &serde_json::from_str(&plugins).unwrap()));
        let said = report(&page, "localhost");
        let said: Vec<_> =
            ["plain", "credentials", "deleted", "keyed", "anonymous"].map(|name| said[name].clone()).into();
        assert_eq!(said, want, "{desc}");
    }
}

#[test]
fn a_form_of_another_site_changes_nothing() {
    // The page that the gateway protects: it reads its token and sends it back. Each answer brings another one.
    let own = page(
        "const named = c => c.startsWith('apisix-csrf-token=');\n\
         const token = () => document.cookie.split('; ').find(named)?.slice(18) ?? '';\n\
         const post = (path, sent) => fetch(path, { method: 'POST', headers: sent ? { 'apisix-csrf-token': sent } : {} });\n\
         await tell('without', () => post('/without').then(r => r.status));\n\
         await tell('forged', () => post('/forged', token() + 'A').then(r => r.status));\n\
         await tell('with', () => post('/with', token()).then(r => r.status));\n\
         await fetch('/report', { method: 'POST', headers: { 'apisix-csrf-token': token() }, body: JSON.stringify(results) });",
    );
    let gateway = Gateway::start(json!({}));
    gateway.put("routes/1", &route(own.addr, &json!({ "csrf": { "key": "a-secret-key-of-32-characters-abc" } })));
    let browser = Browser::open(&format!("http://127.0.0.1:{}/", gateway.proxy.port()));
    let starts = |start: &str| own.requests().into_iter().find(|request| request.start.starts_with(start));
    let reported = wait_for("the page to report", || starts("POST /report "));
    let said: Value = serde_json::from_str(&reported.text()).unwrap();
    assert_eq!(said, json!({ "without": 401, "forged": 401, "with": 200 }));
    assert!(starts("POST /with ").is_some());
    assert!(starts("POST /without ").is_none() && starts("POST /forged ").is_none());
    drop(browser);

    // Another site's page that posts a form to it, in a frame, and tells when that is over.
    let forging = page(&format!(
        "const frame = Object.assign(document.createElement('iframe'), {{ name: 'f' }}); document.body.append(frame);\n\
         const form = Object.assign(document.createElement('form'), {{ method: 'post', target: 'f',\n\
           action: 'http://127.0.0.1:{}/forged-form' }}); document.body.append(form);\n\
         await new Promise(done => {{ frame.onload = done; form.submit(); }});",
        gateway.proxy.port()
    ));
    report(&forging, "localhost");
    assert!(starts("POST /forged-form").is_none(), "the form came through");
}
