use proptest::prelude::*;

use super::*;

fn no_env(_: &str) -> Option<String> {
    None
}

fn parse(text: &str) -> (Settings, Vec<Notice>) {
    Settings::parse(Some(text), &no_env).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn addresses(text: &str) -> Vec<String> {
    parse(text).0.listen.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_written_means_defaults() {
    for text in [None, Some(""), Some("# only a comment\n")] {
        let (settings, notices) = Settings::parse(text, &no_env).expect("valid");
        assert_eq!(notices, []);
        assert_eq!(settings.profile(), Profile::Secure);
        assert_eq!(settings.admin.listen.0.to_string(), "127.0.0.1:9180");
        assert!(settings.admin.is_enabled && settings.admin.key_required);
        assert!(settings.admin.keys.is_empty() && !settings.admin.cors);
        assert_eq!(settings.control.map(|control| control.0.to_string()).as_deref(), Some("127.0.0.1:9090"));
        assert_eq!(settings.status, None);
        assert_eq!(settings.deployment.provider, Provider::Embedded);
        assert_eq!(settings.limits.request_body, Some(64 * 1024 * 1024));
        assert_eq!(settings.limits.head_timeout, Duration::from_secs(15));
        assert_eq!(settings.plugins, None);
        assert_eq!(settings.workers, None);
    }
}

#[test]
fn profile_apisix_has_the_defaults_of_apisix() {
    let (settings, _) = parse("portcullis: {profile: apisix}");
    assert_eq!(settings.admin.listen.0.to_string(), "0.0.0.0:9180");
    assert_eq!(settings.limits.request_body, None);
    assert_eq!(settings.limits.head_timeout, Duration::from_secs(60));
    assert_eq!(settings.limits.body_timeout, None);
    assert!(settings.admin.cors);
}

#[test]
fn listeners_have_three_forms() {
    for (text, expected) in [
        ("", &["0.0.0.0:9080", "[::]:9080"][..]),
        ("apisix: {node_listen: 80}", &["0.0.0.0:80", "[::]:80"]),
        ("apisix: {node_listen: [80, 81], enable_ipv6: false}", &["0.0.0.0:80", "0.0.0.0:81"]),
        ("apisix: {node_listen: [{ip: 127.0.0.2, port: 82}, {ip: '::1', port: 82}]}", &["127.0.0.2:82", "[::1]:82"]),
        ("apisix: {node_listen: [{port: 83}, 83]}", &["0.0.0.0:83", "[::]:83"]),
    ] {
        assert_eq!(addresses(text), expected, "{text}");
    }
}

#[test]
fn providers_follow_what_is_written() {
    for (text, expected) in [
        ("", Provider::Embedded),
        ("deployment: {etcd: {prefix: /x}}", Provider::Embedded),
        ("deployment: {etcd: {host: ['http://e:2379']}}", Provider::Etcd),
        ("deployment: {role_traditional: {config_provider: yaml}}", Provider::Yaml),
        (
            "deployment: {role_traditional: {config_provider: embedded}, etcd: {host: ['http://e:2379']}}",
            Provider::Embedded,
        ),
        ("deployment: {role: data_plane, role_data_plane: {config_provider: json}}", Provider::Json),
        ("deployment: {role: control_plane}", Provider::Etcd),
    ] {
        assert_eq!(parse(text).0.deployment.provider, expected, "{text}");
    }
    let data_plane = parse("deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}").0;
    assert!(!data_plane.admin.is_enabled, "a data plane has no Admin API");
    let env = |name: &str| (name == "APISIX_DEPLOYMENT_ETCD_HOST").then(|| "[\"http://x:1\"]".to_owned());
    let (settings, _) = Settings::parse(None, &env).expect("valid");
    assert_eq!(settings.deployment.provider, Provider::Etcd);
    assert_eq!(settings.deployment.etcd.hosts, ["http://x:1"]);
}

#[test]
fn what_is_not_honoured_is_said() {
    for (text, expected) in [
        ("apisix: {ssl: {listen: [{port: 9443}]}}", &[][..]),
        ("apisix: {ssl: {listen: [{port: 8443}]}}", &[("apisix.ssl.listen", Severity::Ignored)]),
        ("apisix: {ssl: {ssl_trusted_certificate: /etc/authorities.pem}}", &[]),
        ("apisix: {proxy_mode: http}", &[]),
        ("apisix: {proxy_mode: stream}", &[("apisix.proxy_mode", Severity::Ignored)]),
        ("apisix: {proxy_protocol: {listen_http_port: 1}}", &[("apisix.proxy_protocol", Severity::Refuse)]),
        ("nginx_config: {http_server_configuration_snippet: \"# none\\n\\n\"}", &[]),
        (
            "nginx_config: {http_server_configuration_snippet: 'deny all;'}",
            &[("nginx_config.http_server_configuration_snippet", Severity::Refuse)],
        ),
        ("nginx_config: {event: {worker_connections: 10620}}", &[]),
        ("nginx_config: {event: {worker_connections: 9}}", &[("nginx_config.event", Severity::Ignored)]),
        ("deployment: {admin: {https_admin: true}}", &[("deployment.admin.https_admin", Severity::Refuse)]),
        ("apisix: {nope: 1}", &[("apisix.nope", Severity::Ignored)]),
        ("nope: {a: 1}", &[("nope", Severity::Ignored)]),
        ("portcullis: {limits: {nope: 1}}", &[("portcullis.limits.nope", Severity::Refuse)]),
        ("discovery: {dns: {servers: ['127.0.0.1:8600', '[::1]:53', 10.0.0.1], order: [last, A]}}", &[]),
        ("discovery: {eureka: {host: [a]}}", &[("discovery.eureka", Severity::Refuse)]),
        ("wasm: ~", &[]),
        (
            "nginx_config: {http: {client_max_body_size: 0}}",
            &[("nginx_config.http.client_max_body_size", Severity::Ignored)],
        ),
        ("plugin_attr: {prometheus: {export_addr: {port: 1}}}", &[]),
        ("apisix: {proxy_cache: {zones: [{name: disk_cache_one, memory_size: 50m}, {name: memory_cache}]}}", &[]),
    ] {
        let (_, notices) = parse(text);
        let found: Vec<_> = notices.iter().map(|n| (n.path.as_str(), n.severity)).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn values_are_read() {
    let (settings, notices) = parse(
        "apisix:
  router: {http: radixtree_uri}
  status: {port: 7086}
  control: {ip: 0.0.0.0, port: 9091}
  trusted_addresses: [10.0.0.0/8, ::1]
  data_encryption: {keyring: [0123456789abcdef]}
  resolver_timeout: 3
nginx_config:
  worker_processes: 4
  error_log_level: info
  http:
    client_max_body_size: 10m
    client_header_timeout: 1m
    underscores_in_headers: 'off'
    real_ip_from: [127.0.0.1, 'unix:', 10.0.0.0/8]
    upstream: {keepalive_timeout: 1m30s}
deployment:
  admin:
    admin_key: [{name: a, key: k, role: admin}, {name: v, key: '', role: viewer}]
    allow_admin: []
    admin_listen: {port: 9181}
plugins: [key-auth]
plugin_attr: {x: {y: 1}}
portcullis:
  limits: {connections_per_client: 10, h2: {max_resets: 5}}
  compat: {admin-key-in-query: true}
",
    );
    assert_eq!(notices, []);
    assert_eq!(settings.routing.router, Router::Uri);
    assert_eq!(settings.status.map(|status| status.0.to_string()).as_deref(), Some("127.0.0.1:7086"));
    assert_eq!(settings.real_ip.trusted_addresses.as_ref().map(Vec::len), Some(2));
    assert_eq!(settings.real_ip.from.len(), 2);
    assert_eq!(settings.workers, Some(4));
    assert_eq!(settings.limits.request_body, Some(10 * 1024 * 1024));
    assert_eq!(settings.limits.head_timeout, Duration::from_secs(60));
    assert_eq!(settings.limits.connections_per_client, Some(10));
    assert_eq!(settings.limits.h2.max_resets, 5);
    assert_eq!(settings.upstream.keepalive_timeout, Duration::from_secs(90));
    assert!(!settings.underscores_in_headers);
    assert_eq!(settings.admin.keys.len(), 1);
    assert!(settings.admin.allow.is_empty());
    assert_eq!(settings.admin.listen.0.to_string(), "127.0.0.1:9181");
    assert!(!settings.compat.is_safe(crate::differences::DifferenceId::AdminKeyInQuery));
    assert!(!format!("{settings:?}").contains("0123456789abcdef"));
}

#[test]
fn wrong_values_are_refused() {
    for (text, expected) in [
        ("apisix: 1", "apisix: expected a mapping, got 1"),
        ("apisix: {enable_admin: 1}", "apisix.enable_admin: expected a boolean, got 1"),
        (
            "apisix: {node_listen: [x]}",
            "apisix.node_listen: expected a port, or a list of ports or {ip, port}, got another text",
        ),
        ("portcullis: {compat: {nope: true}}", "portcullis.compat.nope: there is no such difference"),
        ("a: ${{NOPE}}", "failed to handle configuration: can't find environment variable NOPE"),
        ("[1]", "config.yaml: expected a mapping, got a list"),
        ("a: 1\na: 2", "config.yaml: line 2, column 1: duplicate key \"a\""),
        (
            "deployment: {admin: {admin_api_version: v1}}",
            "deployment.admin.admin_api_version: expected \"v3\" or \"v2\", got another text",
        ),
    ] {
        let error = Settings::parse(Some(text), &no_env).expect_err("refused");
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn published_admin_keys_are_refused() {
    let text = "deployment: {admin: {admin_key: [{name: admin, key: edd1c9f034335f136f87ad84b625c8f1, role: admin}]}}";
    let error = Settings::parse(Some(text), &no_env).expect_err("refused");
    assert_eq!(error, SettingsError::ExampleAdminKey("admin".to_owned()));
    assert!(!error.to_string().contains("edd1c9"));
    let (settings, _) = parse(&format!("{text}\nportcullis: {{compat: {{example-admin-key: true}}}}"));
    assert_eq!(settings.admin.keys.len(), 1);
}

#[test]
fn the_environment_is_read() {
    let env = |name: &str| match name {
        "APISIX_WORKER_PROCESSES" => Some("3".to_owned()),
        "PORT" => Some("8000".to_owned()),
        _ => None,
    };
    let (settings, _) =
        Settings::parse(Some("apisix: {node_listen: '${{PORT}}', enable_ipv6: false}"), &env).expect("valid");
    assert_eq!(settings.workers, Some(3));
    assert_eq!(settings.listen.addresses.first().map(ToString::to_string).as_deref(), Some("0.0.0.0:8000"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(key in "(apisix|deployment|nginx_config|portcullis|plugins)", inner in "(admin|ssl|http|limits|node_listen|compat|[a-z]{1,4})", value in "[a-z0-9\\[\\]{}:, ]{0,16}") {
        let _ = Settings::parse(Some(&format!("{key}: {{{inner}: {value}}}")), &no_env);
    }
}
