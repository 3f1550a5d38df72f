//! `check`, `explain`, `schema` and `completions`: a configuration looked at from the command line.

use e2e::{Client, Gateway, KEY, binary, free_port, wait_for};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

fn portcullis(folder: &Path, args: &[&str]) -> Output {
    Command::new(binary()).args(args).current_dir(folder).output().unwrap()
}

fn answer(folder: &Path, args: &[&str]) -> Value {
    let output = portcullis(folder, args);
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{args:?}: {e}: {text} {}", String::from_utf8_lossy(&output.stderr)))
}

/// What `check` says, as `level at rule`.
fn lines(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let lines = answer["lines"].as_array().unwrap().iter();
    lines.map(|line| format!("{} {} {}", text(&line["level"]), text(&line["at"]), text(&line["rule"]))).collect()
}

const DECLARED: &str = r#"
routes:
  - id: shut
    uri: /orders
    plugins: {key-auth: {}}
    upstream: {nodes: {"127.0.0.1:1": 1}}
  - id: open
    uri: /orders/export
    upstream: {nodes: {"127.0.0.1:1": 1}}
  - id: broken
    uri: /broken
    plugins: {key-ahtu: {}}
    upstream: {nodes: {"127.0.0.2:1": 1}}
#END
"#;

const SETTINGS: &str = "deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}\n";

fn folder(settings: &str, declared: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("config.yaml"), settings).unwrap();
    std::fs::write(dir.path().join("apisix.yaml"), declared).unwrap();
    dir
}

#[test]
fn a_file_is_checked_without_serving_it() {
    let dir = folder(SETTINGS, DECLARED);
    let output = portcullis(dir.path(), &["check", "-c", "config.yaml"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("error   apisix.yaml:10 /routes/broken/plugins/key-ahtu: unknown plugin [key-ahtu]\n"),
        "{text}"
    );
    assert!(text.contains("warning apisix.yaml:7 /routes/open: it leads to the same nodes as /routes/shut"), "{text}");
    assert!(text.ends_with("1 errors, 1 warnings\n"), "{text}");
    let mut files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["apisix.yaml", "config.yaml"], "nothing else was made");
}

#[test]
fn warnings_fail_only_where_they_are_meant_to() {
    let declared = DECLARED.split("  - id: broken").next().unwrap().to_owned() + "#END\n";
    let dir = folder(SETTINGS, &declared);
    let code = |args: &[&str]| portcullis(dir.path(), args).status.code();
    assert_eq!(code(&["check", "-c", "config.yaml"]), Some(0));
    assert_eq!(code(&["check", "-c", "config.yaml", "--strict"]), Some(1));
    assert_eq!(code(&["check", "--file", "apisix.yaml"]), Some(0));
}

#[test]
fn what_cannot_be_used_is_said() {
    for (settings, declared, want) in [
        (SETTINGS, "routes: []\n", "error  unusable-file"),
        ("deployment: [", "#END\n", "error  -"),
        (
            "apisix: {proxy_protocol: {listen_http_port: 9181}}",
            "#END\n",
            "error apisix.proxy_protocol setting-without-effect",
        ),
        ("deployment: {role: control_plane}", "#END\n", "error  -"),
        ("apisix: {control: {ip: 0.0.0.0}}", "#END\n", "warning apisix.control.ip exposed-control-api"),
        (
            "deployment: {admin: {admin_key_required: false, admin_listen: {ip: 0.0.0.0}}}",
            "#END\n",
            "warning deployment.admin.admin_key_required exposed-admin-api",
        ),
        ("portcullis: {profile: apisix}", "#END\n", "warning portcullis.compat.ambiguous-path difference-off"),
    ] {
        let dir = folder(settings, declared);
        let said = lines(&answer(dir.path(), &["check", "-c", "config.yaml", "--json"]));
        assert!(said.iter().any(|line| line == want), "{settings}: {said:?}");
    }
}

#[test]
fn what_is_stored_is_looked_at_with_and_without_the_gateway() {
    let control = free_port();
    let mut gateway = Gateway::start(json!({
        "apisix": { "enable_control": true, "control": { "ip": "127.0.0.1", "port": control } },
    }));
    wait_for("the control API to listen", || std::net::TcpStream::connect(("127.0.0.1", control)).ok());
    gateway.put("consumers", &json!({ "username": "alice", "plugins": { "key-auth": { "key": "alices-secret" } } }));
    let to = json!({ "nodes": { "127.0.0.1:1": 1 } });
    gateway.put("routes/shut", &json!({ "uri": "/a", "plugins": { "key-auth": {} }, "upstream": to }));
    gateway.put("routes/open", &json!({ "uri": "/b", "upstream": to }));
    let dir = gateway.dir.path().to_owned();
    let looked = || {
        let check = lines(&answer(&dir, &["check", "-c", "config.yaml", "--json"]));
        let url = ["explain", "-c", "config.yaml", "--json", "--consumer", "alice", "http://x.example/a"];
        (check, answer(&dir, &url))
    };
    let running = looked();
    assert!(running.0.contains(&"warning /routes/open anonymous-route".to_owned()), "{:?}", running.0);
    assert_eq!(running.1["route"]["key"], "/routes/shut");
    assert_eq!(running.1["plugins"][0]["plugin"], "key-auth");
    assert!(!running.1.to_string().contains("secret"));
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    let before = std::fs::read(dir.join("data/store.redb")).unwrap();
    let stopped = looked();
    assert_eq!(stopped, running);
    assert_eq!(std::fs::read(dir.join("data/store.redb")).unwrap(), before, "the store was left as it was");
}

#[test]
fn explain_says_it_in_words() {
    let dir = folder(SETTINGS, DECLARED);
    let output = portcullis(dir.path(), &["explain", "-f", "apisix.yaml", "-H", "Host: A.example", "/orders"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "request   GET /orders of host a.example from 127.0.0.1\n",
        "route     /routes/shut: uri /orders, priority 0\n",
        "plugin    key-auth of /routes/shut (priority 2500): rewrite\n",
        "upstream  /routes/shut: roundrobin, 1 nodes\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    for (args, reason) in [
        (&["explain", "-f", "apisix.yaml", "ftp://a"][..], "the url must begin with"),
        (&["explain", "-f", "apisix.yaml", "-H", "nothing", "/"], "there is no colon in it"),
        (&["explain", "-f", "nowhere.yaml", "/"], "cannot read nowhere.yaml"),
    ] {
        let output = portcullis(dir.path(), args);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(reason), "{output:?}");
    }
}

#[test]
fn schemas_and_completions_are_printed() {
    let dir = TempDir::new().unwrap();
    for of in ["config", "apisix"] {
        let schema = answer(dir.path(), &["schema", of]);
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert_eq!(schema["additionalProperties"], false);
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = portcullis(dir.path(), &["completions", shell]);
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("explain"));
    }
}

/// The status that the Admin API answers to a key.
fn status_with(gateway: &Gateway, key: &str) -> u16 {
    let request = format!("GET /apisix/admin/routes HTTP/1.1\r\nHost: a\r\nX-API-KEY: {key}\r\n\r\n");
    Client::connect(gateway.admin).ask(request).status()
}

#[test]
fn hup_lets_others_in_and_names_what_needs_a_restart() {
    let mut gateway = Gateway::start(json!({}));
    let path = gateway.dir.path().join("config.yaml");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut other = written.clone();
    other["deployment"]["admin"]["admin_key"][0]["key"] = json!("another-key-0123456789");
    other["portcullis"]["workers"] = json!(1);
    assert_eq!((status_with(&gateway, KEY), status_with(&gateway, "another-key-0123456789")), (200, 401));

    // Settings that cannot be used change nothing, whatever else they say.
    for broken in ["deployment: [", "apisix: {proxy_protocol: {listen_http_port: 1}}", "portcullis: {wrokers: 2}"] {
        std::fs::write(&path, broken).unwrap();
        let before = gateway.file("error.log").matches("nothing changes").count();
        gateway.signal("HUP");
        wait_for("the refusal to be logged", || {
            (gateway.file("error.log").matches("nothing changes").count() > before).then_some(())
        });
        assert_eq!(status_with(&gateway, KEY), 200, "{broken}");
    }

    std::fs::write(&path, other.to_string()).unwrap();
    gateway.signal("HUP");
    wait_for("the other key to be taken", || (status_with(&gateway, "another-key-0123456789") == 200).then_some(()));
    assert_eq!(status_with(&gateway, KEY), 401);
    let log = wait_for("what has changed to be logged", || {
        Some(gateway.file("error.log")).filter(|log| log.contains("need a restart"))
    });
    assert!(log.contains("changed=\"deployment.admin.admin_key\""), "{log}");
    assert!(log.contains("settings=\"portcullis.workers\""), "{log}");
    assert!(!log.contains("another-key"), "{log}");
    gateway.signal("TERM");
    assert!(gateway.wait().success());
}
