//! The Admin API as its users ask it: the commands of its page, and a program.

use e2e::{Gateway, KEY};
use serde_json::{Value, json};
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/admin-api.md");

/// The commands of the page, each with the answer that is below it.
fn commands() -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    for part in PAGE.split("```sh\n").skip(1) {
        let (command, after) = part.split_once("```").unwrap();
        if let Some((answer, _)) = after.trim_start().strip_prefix("```json\n").and_then(|rest| rest.split_once("```"))
        {
            found.push((command, answer));
        }
    }
    found
}

/// Without what is another one each time.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "create_time" | "update_time" | "createdIndex" | "modifiedIndex" => {
                        assert!(field.is_u64(), "{name}: {field}");
                        *field = json!(0);
                    }
                    _ => timeless(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

#[test]
fn the_page_says_what_is_answered() {
    let gateway = Gateway::start(json!({}));
    let commands = commands();
    assert!(commands.len() > 10, "{} commands", commands.len());
    let mut wrong = Vec::new();
    for (command, answer) in commands {
        let run = command.replace("127.0.0.1:9180", &gateway.admin.to_string());
        let output = Command::new("sh").args(["-c", &run]).env("KEY", KEY).env("no_proxy", "*").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let read = |text: &str| {
            let mut value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
            timeless(&mut value);
            value
        };
        if read(&said) != read(answer) {
            wrong.push(format!("{command}{said}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const PROGRAM: &str = r#"
import json, sys, urllib.error, urllib.request

root, key = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def ask(method, path, body=None, key=key):
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-API-KEY": key, "Content-Type": "application/json"}
    request = urllib.request.Request(root + path, data, headers, method=method)
    try:
        with opener.open(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)

status, made = ask("POST", "/upstreams", {"nodes": {"127.0.0.1:1": 1}})
upstream = made["value"]["id"]
assert status == 201 and made["key"] == "/apisix/upstreams/" + upstream, made
for n in range(25):
    status, made = ask("PUT", f"/routes/r{n}", {"uri": f"/{n}", "name": f"n{n % 2}", "upstream_id": upstream})
    assert status == 201, made
seen = []
for page in (1, 2, 3):
    status, listed = ask("GET", f"/routes?name=n0&page={page}&page_size=10")
    assert status == 200 and listed["total"] == 13, listed
    seen += [row["value"]["id"] for row in listed["list"]]
assert seen == [f"r{n}" for n in range(0, 25, 2)], seen
status, patched = ask("PATCH", "/routes/r1", {"desc": "changed"})
assert status == 200 and patched["value"]["uri"] == "/1", patched
assert ask("GET", "/routes/r1")[1]["value"]["desc"] == "changed"
assert ask("DELETE", "/upstreams/" + upstream)[0] == 400
for n in range(25):
    assert ask("DELETE", f"/routes/r{n}")[1]["deleted"] == "1"
assert ask("DELETE", "/upstreams/" + upstream)[0] == 200
assert ask("GET", "/routes/r1") == (404, {"message": "Key not found"})
assert ask("GET", "/routes", key="wrong")[0] == 401
"#;

#[test]
fn a_program_manages_routes() {
    let gateway = Gateway::start(json!({}));
    let root = format!("http://{}/apisix/admin", gateway.admin);
    let output = Command::new("python3").args(["-c", PROGRAM, &root, KEY]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
