//! `migrate`: from APISIX's files to ones that the gateway starts with.

use e2e::{binary, free_port, wait_for};
use std::{
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output},
};
use tempfile::TempDir;

fn migrate(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        Command::new(binary()).arg("migrate").args(args).current_dir(folder).output().unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

fn apisix(config: &str, declared: Option<&str>) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("conf")).unwrap();
    std::fs::write(dir.path().join("conf/config.yaml"), config).unwrap();
    if let Some(text) = declared {
        std::fs::write(dir.path().join("conf/apisix.yaml"), text).unwrap();
    }
    dir
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_was_migrated_starts_and_protects() {
    let port = free_port();
    let config = format!(
        r#"
apisix: {{node_listen: [{{ip: 127.0.0.1, port: {port}}}], enable_control: false, extra_lua_path: /opt}}
deployment:
  role: traditional
  role_traditional: {{config_provider: etcd}}
  admin: {{admin_key: [{{name: admin, key: edd1c9f034335f136f87ad84b625c8f1, role: admin}}]}}
  etcd: {{host: ["http://127.0.0.1:2379"]}}
plugin_attr: {{prometheus: {{enable_export_server: false}}}}
"#
    );
    let declared = r#"
routes:
  - id: shut
    uri: /shut
    plugins: {key-auth: {}, limit-count: {count: 1, time_window: 60, key: remote_addr, hidden_typo: 1}}
    upstream: {nodes: {"${{BACKEND:=127.0.0.1:1}}": 1}}
  - uri: /later
    plugins: {openid-connect: {client_id: a}}
    upstream: {nodes: {"127.0.0.1:1": 1}}
#END
"#;
    let dir = apisix(&config, Some(declared));
    let (code, said) = migrate(dir.path(), &["-o", "new", "--all"]);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "changed deployment.admin.admin_key: the key \"admin\" is printed",
        "changed deployment.role_data_plane.config_provider: yaml instead of etcd",
        "changed apisix.extra_lua_path: taken out, it has no effect",
        "same    apisix.node_listen\n",
        "refused /routes/arr_2: /plugins/openid-connect: unknown plugin [openid-connect] (conf/apisix.yaml:7)",
        "differs /routes/shut: failed to check the configuration of plugin limit-count err: unknown field \"hidden_typo\"",
        "[server-header]",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("edd1c9f034335f136f87ad84b625c8f1"));
    let written = std::fs::read_to_string(dir.path().join("new/config.yaml")).unwrap();
    assert!(
        !written.contains("edd1c9f0") && !written.contains("2379") && !written.contains("extra_lua_path"),
        "{written}"
    );
    // What it was told to serve stays as it was written, variables and all.
    assert_eq!(std::fs::read_to_string(dir.path().join("new/apisix.yaml")).unwrap(), declared);

    let child = Command::new(binary()).args(["run", "-c", "config.yaml"]).current_dir(dir.path().join("new")).spawn();
    let _running = Running(child.unwrap());
    wait_for("the gateway to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
    let status = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        e2e::Client::connect(([127, 0, 0, 1], port).into()).ask(request).status()
    };
    assert_eq!((status("/shut"), status("/later"), status("/none")), (401, 503, 404));

    let (code, said) = migrate(dir.path(), &["-o", "new"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("new/config.yaml is there already"), "{said}");
}

#[test]
fn what_would_be_lost_is_refused_and_stays() {
    for (config, declared, refused) in [
        (
            "nginx_config: {http_server_configuration_snippet: \"deny 10.0.0.1;\"}",
            None,
            "refused nginx_config.http_server_configuration_snippet: ",
        ),
        ("deployment: {role: control_plane}", None, "refused deployment: "),
        (
            "deployment: {role: data_plane}",
            Some("rotues: []\n#END\n"),
            "refused conf/apisix.yaml: line 1: unknown section",
        ),
        ("deployment: {role: data_plane}", Some("routes: []\n"), "refused conf/apisix.yaml: missing valid end flag"),
    ] {
        let dir = apisix(config, declared);
        let (code, said) = migrate(dir.path(), &["-o", "new"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(refused), "{refused}: {said}");
    }
    let dir = apisix("nginx_config: {http_server_configuration_snippet: \"deny 10.0.0.1;\"}", None);
    migrate(dir.path(), &["-o", "new"]);
    let output = Command::new(binary()).args(["run", "-c", "config.yaml"]).current_dir(dir.path().join("new")).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("http_server_configuration_snippet"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = TempDir::new().unwrap();
    for (args, reason) in [(&[][..], "cannot read conf/config.yaml"), (&["-c", "none.yaml"], "cannot read none.yaml")] {
        let (code, said) = migrate(dir.path(), args);
        assert_eq!(code, Some(1));
        assert!(said.contains(reason), "{said}");
    }
    let dir = apisix("deployment: [", None);
    assert!(migrate(dir.path(), &[]).1.contains("conf/config.yaml cannot be used"));
}
