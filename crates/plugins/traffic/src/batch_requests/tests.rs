use super::pipeline::Pipeline;
use plugin::testing;
use serde_json::{Value, json};

fn head(batch: Value, fields: &[(&str, &str)]) -> Result<String, String> {
    let cx = testing::ctx("POST", "/batch", fields);
    let pipeline = Pipeline::read(batch)?;
    pipeline.head(&pipeline.items[0], &cx).map(|head| String::from_utf8(head).unwrap())
}

#[test]
fn the_nearest_field_wins_and_the_body_has_its_own_length() {
    let batch = json!({
        "headers": { "B": "batch", "C": "batch" },
        "pipeline": [{
            "path": "/p", "method": "POST", "body": "12345", "version": 1.0,
            "headers": { "c": "own", "Content-Length": 9, "Transfer-Encoding": "chunked", "Connection": "close" },
        }],
    });
    let outer = [("Host", "a.example"), ("B", "outer"), ("D", "outer"), ("Content-Type", "x/y"), ("Connection", "d")];
    let head = head(batch, &outer).unwrap();
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /p HTTP/1.0");
    lines.sort_unstable();
    assert_eq!(lines, ["b: batch", "c: own", "content-length: 5", "d: outer", "host: a.example"]);
}

#[test]
fn queries_are_encoded() {
    let query = json!({ "a b": "c&d=é", "list": [1, "x"], "on": true, "off": false });
    let batch = json!({ "pipeline": [{ "path": "/p?own", "query": query }] });
    let head = head(batch, &[]).unwrap();
    assert!(head.starts_with("GET /p?own&a%20b=c%26d%3D%C3%A9&list=1&list=x&on HTTP/1.1\r\n"), "{head}");
}

#[test]
fn nothing_can_be_smuggled_into_a_head() {
    for item in [
        json!({ "path": "/ HTTP/1.1\r\nX: y" }),
        json!({ "path": "/\u{7f}" }),
        json!({ "path": "/", "headers": { "A": "b\r\nC: d" } }),
        json!({ "path": "/", "headers": { "A: b\r\nC": "d" } }),
        json!({ "path": "/", "headers": { "": "d" } }),
        json!({ "path": "/", "query": { "a": {} } }),
    ] {
        assert!(head(json!({ "pipeline": [item] }), &[]).is_err(), "{item}");
    }
}
