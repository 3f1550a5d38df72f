//! Every plugin's scenarios against the real program, with every difference from APISIX in force and with none.

use e2e::{Client, Gateway, Upstream};
use model::differences::Profile;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use testkit::{Answer, Request, Seen};

struct Live {
    gateway: Gateway,
    upstream: Upstream,
    answer: Arc<Mutex<testkit::Upstream>>,
}

impl Live {
    fn start(profile: &str) -> Self {
        let answer = Arc::new(Mutex::new(testkit::Upstream::default()));
        let scripted = answer.clone();
        let upstream = Upstream::start(move |conn| {
            while let Some(request) = conn.request() {
                let bytes = scripted.lock().unwrap().to_bytes(request.start.starts_with("HEAD "));
                if !conn.send(bytes) {
                    return;
                }
            }
        });
        // With one worker a request is logged, and so counted, before the next one is read.
        Self {
            gateway: Gateway::start_in(
                &testkit::ENVIRONMENT,
                json!({ "portcullis": { "profile": profile, "workers": 1 } }),
            ),
            upstream,
            answer,
        }
    }
}

impl testkit::Gateway for Live {
    fn put(&mut self, path: &str, document: &Value) -> Result<(), String> {
        // The Admin API takes a consumer's name from the document.
        let is_consumer = path.strip_prefix("consumers/").is_some_and(|name| !name.contains('/'));
        let path = if is_consumer { "consumers" } else { path };
        match self.gateway.admin("PUT", path, document) {
            (200 | 201, _) => Ok(()),
            (400, answer) => Err(answer["error_msg"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()),
            (status, answer) => panic!("PUT {path}: {status} {answer}"),
        }
    }

    fn delete(&mut self, path: &str) {
        let (status, answer) = self.gateway.admin("DELETE", path, &Value::Null);
        assert_eq!(status, 200, "DELETE {path}: {answer}");
    }

    fn has(&mut self, path: &str) -> bool {
        match self.gateway.admin("GET", path, &Value::Null) {
            (200, _) => true,
            (404, _) => false,
            (status, answer) => panic!("GET {path}: {status} {answer}"),
        }
    }

    fn upstream(&mut self, answer: &testkit::Upstream) -> SocketAddr {
        *self.answer.lock().unwrap() = answer.clone();
        self.upstream.addr
    }

    fn ask(&mut self, request: &Request) -> (Answer, Vec<Seen>) {
        let before = self.upstream.requests().len();
        let mut client = Client::connect(self.gateway.proxy);
        let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.uri);
        for (name, value) in request.lines() {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("Connection: close\r\n\r\n");
        text.push_str(request.request_body.as_deref().unwrap_or_default());
        client.send(text);
        let mut answer = client.head().expect("an answer");
        if request.method == "HEAD" {
            answer.is_complete = client.rest().is_empty();
        } else {
            client.body(&mut answer, true);
        }
        assert!(answer.is_complete, "the answer broke off: {answer:?}");
        let seen = self.upstream.requests().into_iter().skip(before).map(|seen| {
            let mut words = seen.start.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            Seen { method: word(), target: word(), fields: seen.fields, body: seen.body }
        });
        (Answer { status: answer.status(), fields: answer.fields, body: answer.body }, seen.collect())
    }
}

fn case_files() -> Vec<PathBuf> {
    let families = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/plugins");
    let folders = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let files = folders(&families).into_iter().flat_map(|family| folders(&family.join("src")));
    files.map(|plugin| plugin.join("cases.yaml")).filter(|path| path.is_file()).collect()
}

#[test]
fn every_case_plays_with_every_difference() {
    assert_eq!(case_files().len(), catalog::all().len());
    testkit::play_all(&case_files(), Profile::Secure, || Live::start("secure"));
}

#[test]
fn every_case_plays_with_none() {
    testkit::play_all(&case_files(), Profile::Apisix, || Live::start("apisix"));
}
