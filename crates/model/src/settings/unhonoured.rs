//! Settings of APISIX that are known and not honoured.

use serde_json::Value;

use super::notice::{Notice, Severity};

/// A key that has no effect here.
pub(super) struct Unhonoured {
    pub(super) path: &'static str,
    /// APISIX's default as JSON; writing it again is no request. Empty: there is none.
    default: &'static str,
    severity: Severity,
    pub(super) why: &'static str,
}

const fn ignored(path: &'static str, default: &'static str, why: &'static str) -> Unhonoured {
    Unhonoured { path, default, severity: Severity::Ignored, why }
}

const fn refused(path: &'static str, default: &'static str, why: &'static str) -> Unhonoured {
    Unhonoured { path, default, severity: Severity::Refuse, why }
}

const NGINX_ONLY: &str = "has a meaning inside nginx only";
const NO_SNIPPETS: &str = "nginx configuration cannot be honoured outside of nginx; what it protects would be gone";
const NO_TLS: &str = "TLS is not supported yet: nothing listens there";
const NO_STREAM: &str = "stream proxying is not supported yet: nothing listens there";

/// Every key of APISIX's `config.yaml` that is not honoured.
pub(super) static UNHONOURED: &[Unhonoured] = &[
    ignored("apisix.enable_dev_mode", "false", "use portcullis.workers"),
    ignored("apisix.enable_reuseport", "true", "each worker always has its own socket"),
    ignored("apisix.extra_lua_path", "\"\"", "Lua modules are not loaded"),
    ignored("apisix.extra_lua_cpath", "\"\"", "Lua modules are not loaded"),
    refused("apisix.lua_module_hook", "", "Lua modules are not loaded; what the hook protects would be gone"),
    ignored(
        "apisix.proxy_cache",
        r#"{"cache_ttl":"10s","zones":[{"name":"disk_cache_one","memory_size":"50m","disk_size":"1G","disk_path":"/tmp/disk_cache_one","cache_levels":"1:2"},{"name":"memory_cache","memory_size":"50m"}]}"#,
        "cache zones are not supported yet",
    ),
    ignored("apisix.router.ssl", "\"radixtree_sni\"", "there is one way to match server names"),
    ignored("apisix.proxy_mode", "\"http\"", NO_STREAM),
    ignored("apisix.stream_proxy", "", NO_STREAM),
    refused("apisix.proxy_protocol", "", "the PROXY protocol is not supported yet; client addresses would be wrong"),
    ignored("apisix.enable_resolv_search_opt", "true", "search domains are always used"),
    ignored("apisix.ssl.listen", r#"[{"port":9443,"enable_http3":false}]"#, NO_TLS),
    ignored("apisix.ssl.ssl_protocols", "\"TLSv1.2 TLSv1.3\"", NO_TLS),
    ignored(
        "apisix.ssl.ssl_ciphers",
        "\"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384\"",
        NO_TLS,
    ),
    ignored("apisix.ssl.ssl_session_tickets", "false", NO_TLS),
    ignored("apisix.ssl.fallback_sni", "", NO_TLS),
    ignored("apisix.disable_sync_configuration_during_start", "false", NGINX_ONLY),
    ignored("apisix.worker_startup_time_threshold", "60", NGINX_ONLY),
    ignored(
        "apisix.lru",
        r#"{"secret":{"ttl":300,"count":512,"neg_ttl":60,"neg_count":512}}"#,
        "caches are bounded on their own",
    ),
    ignored("apisix.tracing", "false", "only spans of whole requests are collected"),
    ignored("nginx_config.user", "", "start the program as the user it should run as"),
    ignored("nginx_config.enable_cpu_affinity", "false", NGINX_ONLY),
    ignored("nginx_config.worker_rlimit_nofile", "20480", "the limit of the process is raised as far as it may be"),
    ignored("nginx_config.max_pending_timers", "16384", NGINX_ONLY),
    ignored("nginx_config.max_running_timers", "4096", NGINX_ONLY),
    ignored("nginx_config.event", r#"{"worker_connections":10620}"#, "use portcullis.limits.connections"),
    ignored("nginx_config.envs", "", "the environment is not filtered"),
    ignored("nginx_config.meta", "", NGINX_ONLY),
    ignored("nginx_config.stream.real_ip_from", "", NO_STREAM),
    ignored("nginx_config.stream.enable_access_log", "false", NO_STREAM),
    ignored("nginx_config.stream.access_log", "\"logs/access_stream.log\"", NO_STREAM),
    ignored("nginx_config.stream.access_log_format", "", NO_STREAM),
    ignored("nginx_config.stream.access_log_format_escape", "\"default\"", NO_STREAM),
    ignored("nginx_config.stream.metrics_zone_size", "", NGINX_ONLY),
    ignored("nginx_config.stream.lua_shared_dict", "", NGINX_ONLY),
    refused("nginx_config.main_configuration_snippet", "\"\"", NO_SNIPPETS),
    refused("nginx_config.http_configuration_snippet", "\"\"", NO_SNIPPETS),
    refused("nginx_config.http_server_configuration_snippet", "\"\"", NO_SNIPPETS),
    refused("nginx_config.http_server_location_configuration_snippet", "\"\"", NO_SNIPPETS),
    refused("nginx_config.http_admin_configuration_snippet", "\"\"", NO_SNIPPETS),
    refused("nginx_config.http_end_configuration_snippet", "\"\"", NO_SNIPPETS),
    refused("nginx_config.stream_configuration_snippet", "\"\"", NO_SNIPPETS),
    ignored("nginx_config.http.access_log_buffer", "16384", "the access log is always buffered"),
    ignored("nginx_config.http.variables_hash_max_size", "2048", NGINX_ONLY),
    ignored("nginx_config.http.lua_shared_dict", "", NGINX_ONLY),
    ignored("nginx_config.http.custom_lua_shared_dict", "", NGINX_ONLY),
    ignored("nginx_config.http.proxy_ssl_server_name", "true", "the server name is always sent to upstreams"),
    refused("wasm", "", "WebAssembly plugins are not supported"),
    refused("xrpc", "", "xRPC is not supported"),
    refused("discovery.eureka", "", "service discovery is only supported in DNS yet"),
    refused("discovery.nacos", "", "service discovery is only supported in DNS yet"),
    refused("discovery.consul", "", "service discovery is only supported in DNS yet"),
    refused("discovery.consul_kv", "", "service discovery is only supported in DNS yet"),
    refused("discovery.kubernetes", "", "service discovery is only supported in DNS yet"),
    refused("discovery.tars", "", "service discovery is only supported in DNS yet"),
    refused("ext-plugin", "", "external plugins are not supported"),
    ignored("deployment.admin.enable_admin_ui", "true", "there is no embedded dashboard"),
    refused("deployment.admin.https_admin", "false", "the Admin API would be served without TLS"),
    refused(
        "deployment.admin.admin_api_mtls",
        r#"{"admin_ssl_cert":"","admin_ssl_cert_key":"","admin_ssl_ca_cert":""}"#,
        "the Admin API would be served without client certificates",
    ),
    refused("deployment.certs", "", "certificates between planes are not supported"),
    ignored("deployment.etcd.resync_delay", "5", "the delay grows with each failure"),
    ignored("deployment.etcd.health_check_timeout", "10", "deployment.etcd.timeout is used"),
];

impl Unhonoured {
    pub(super) fn notice(&self) -> Notice {
        Notice { path: self.path.to_owned(), message: self.why.to_owned(), severity: self.severity }
    }

    /// Whether `value` asks for nothing but the default.
    pub(super) fn is_restated_by(&self, value: &Value) -> bool {
        match value {
            Value::String(text) if self.path.ends_with("_snippet") => {
                text.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#'))
            }
            _ => serde_json::from_str(self.default).is_ok_and(|default: Value| is_part_of(value, &default)),
        }
    }
}

/// Whether everything that is said in `value` is said in `default` as well.
fn is_part_of(value: &Value, default: &Value) -> bool {
    match (value, default) {
        (Value::Null, _) => true,
        (Value::Object(map), Value::Object(default)) => {
            map.iter().all(|(key, item)| default.get(key).is_some_and(|default| is_part_of(item, default)))
        }
        (Value::Array(items), Value::Array(default)) => {
            items.len() == default.len() && items.iter().zip(default).all(|(item, default)| is_part_of(item, default))
        }
        (value, default) => value == default,
    }
}
