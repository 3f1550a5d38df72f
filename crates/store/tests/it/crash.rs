//! No acknowledged write is lost when the process is killed, and none is there by half.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use store::{DocKey, Embedded, Expect, Op, Store};

use crate::{document, key, load, open, run};

const ROUNDS: u64 = 25;
const WRITERS: u64 = 8;

#[test]
fn acknowledged_writes_survive_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--ignored", "--nocapture"])
            .env("STORE_DIR", dir.path())
            .env("STORE_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Rounds of different length; the child goes on writing while it is killed.
        let mut due = round * 37 % 120;
        let mut acks = Vec::new();
        while due > 0 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if line.starts_with("ack ") {
                acks.push(line);
                due -= 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died counts, but for a line cut short.
        acks.extend(lines.map_while(Result::ok).filter(|line| line.starts_with("ack ") && line.ends_with('.')));
        for ack in acks {
            let words: Vec<_> = ack.trim_end_matches('.').split(' ').collect();
            acknowledged.push((words[1].to_owned(), words[2].parse().unwrap()));
        }

        let store = open(dir.path());
        let documents = load(&store);
        let pairs: std::collections::BTreeMap<&DocKey, _> =
            documents.entries.iter().map(|entry| (&entry.key, entry.value())).collect();
        for (id, n) in &acknowledged {
            assert_eq!(pairs.get(&key(&format!("/routes/{id}"))), Some(&document(*n)), "lost {id}");
        }
        for (path, value) in &pairs {
            assert_eq!(*value, document(value["n"].as_u64().unwrap()));
            let other = match path.as_str().strip_prefix("/routes/") {
                Some(id) => format!("/upstreams/{id}"),
                None => path.as_str().replace("/upstreams/", "/routes/"),
            };
            assert!(pairs.contains_key(&key(&other)), "half of a batch: {path}");
        }
    }
    assert!(acknowledged.len() > 1000);
}

/// Writes until it is killed.
#[test]
#[ignore = "started by acknowledged_writes_survive_kill"]
fn child() {
    let dir = std::env::var("STORE_DIR").unwrap();
    let round = std::env::var("STORE_ROUND").unwrap();
    let (store, _) = Embedded::open(dir.as_ref()).unwrap();
    let store = Arc::new(store);
    run(async {
        let writers = (0..WRITERS).map(|writer| {
            let (store, round) = (Arc::clone(&store), round.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let id = format!("{round}-{writer}-{n}");
                    let op = |kind: &str| Op::Put {
                        key: key(&format!("/{kind}/{id}")),
                        value: document(n),
                        expect: Expect::Absent,
                    };
                    store.write(vec![op("routes"), op("upstreams")]).await.unwrap();
                    writeln!(std::io::stdout(), "ack {id} {n}.").unwrap();
                }
            })
        });
        futures_util::future::join_all(writers).await;
    });
}
