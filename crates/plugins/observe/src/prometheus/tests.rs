use super::*;
use model::vars::{Value, VarName};
use serde_json::json;
use std::time::Duration;

/// An extra label's value that is too long.
const LONG: &str = "0123456789012345678901234567890123456789012345678901234567890123456789\
                    0123456789012345678901234567890123456789012345678901234567890123456789";

struct Vars(&'static str);

impl Lookup for Vars {
    fn var(&self, name: &VarName) -> Value<'_> {
        match name {
            VarName::Arg(_) => Value::text(self.0),
            _ => Value::Absent,
        }
    }
}

fn exchange(route: &str, code: u16) -> Exchange<'_> {
    Exchange {
        code,
        route,
        matched_uri: "/hello",
        matched_host: "",
        service: "",
        consumer: "jack",
        node: Some([127, 0, 0, 1].into()),
        source: "upstream",
        total: Duration::from_millis(7),
        upstream: Some(Duration::from_millis(5)),
        received: 100,
        sent: 200,
        now: Duration::from_secs(1000),
    }
}

fn metrics(attr: &serde_json::Value) -> Metrics {
    let metrics = Metrics::default();
    metrics.configure(&Settings::read(attr).unwrap());
    metrics
}

fn text(metrics: &Metrics, now: u64) -> String {
    String::from_utf8(text::write(metrics, &plugin::Stats::default(), "host", Duration::from_secs(now))).unwrap()
}

#[test]
fn names_labels_and_order_are_those_of_apisix() {
    let metrics = metrics(&json!({ "default_buckets": [10, 5] }));
    metrics.record(&exchange("1", 200), &Disabled::NONE, &Vars(""));
    metrics.record(&exchange("1", 200), &Disabled::NONE, &Vars(""));
    let rest = r#"route="1",service="",consumer="jack",node="127.0.0.1",request_type="traditional_http",request_llm_model="",llm_model="""#;
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        r#"# HELP apisix_bandwidth Total bandwidth in bytes consumed per service in APISIX
# TYPE apisix_bandwidth counter
apisix_bandwidth{{type="egress",{rest}}} 400
apisix_bandwidth{{type="ingress",{rest}}} 200
# HELP apisix_http_latency HTTP request latency in milliseconds per service in APISIX
# TYPE apisix_http_latency histogram
apisix_http_latency_bucket{{type="apisix",{rest},le="5"}} 2
apisix_http_latency_bucket{{type="apisix",{rest},le="10"}} 2
apisix_http_latency_bucket{{type="apisix",{rest},le="+Inf"}} 2
apisix_http_latency_bucket{{type="request",{rest},le="5"}} 0
apisix_http_latency_bucket{{type="request",{rest},le="10"}} 2
apisix_http_latency_bucket{{type="request",{rest},le="+Inf"}} 2
apisix_http_latency_bucket{{type="upstream",{rest},le="5"}} 2
apisix_http_latency_bucket{{type="upstream",{rest},le="10"}} 2
apisix_http_latency_bucket{{type="upstream",{rest},le="+Inf"}} 2
apisix_http_latency_count{{type="apisix",{rest}}} 2
apisix_http_latency_count{{type="request",{rest}}} 2
apisix_http_latency_count{{type="upstream",{rest}}} 2
apisix_http_latency_sum{{type="apisix",{rest}}} 4
apisix_http_latency_sum{{type="request",{rest}}} 14
apisix_http_latency_sum{{type="upstream",{rest}}} 10
# HELP apisix_http_requests_total The total number of client requests since APISIX started
# TYPE apisix_http_requests_total gauge
apisix_http_requests_total 0
# HELP apisix_http_status HTTP status codes per service in APISIX
# TYPE apisix_http_status counter
apisix_http_status{{code="200",route="1",matched_uri="/hello",matched_host="",service="",consumer="jack",node="127.0.0.1",request_type="traditional_http",request_llm_model="",llm_model="",response_source="upstream"}} 2
# HELP apisix_nginx_http_current_connections Number of HTTP connections
# TYPE apisix_nginx_http_current_connections gauge
apisix_nginx_http_current_connections{{state="accepted"}} 0
apisix_nginx_http_current_connections{{state="active"}} 0
apisix_nginx_http_current_connections{{state="handled"}} 0
apisix_nginx_http_current_connections{{state="reading"}} 0
apisix_nginx_http_current_connections{{state="waiting"}} 0
apisix_nginx_http_current_connections{{state="writing"}} 0
# HELP apisix_nginx_metric_errors_total Number of nginx-lua-prometheus errors
# TYPE apisix_nginx_metric_errors_total counter
apisix_nginx_metric_errors_total 0
# HELP apisix_node_info Info of APISIX node
# TYPE apisix_node_info gauge
apisix_node_info{{hostname="host",version="{version}"}} 1
"#
    );
    assert_eq!(text(&metrics, 1000), expected);
}

#[test]
fn extra_labels_come_last_and_are_escaped_and_cut() {
    let attr =
        json!({ "metric_prefix": "p_", "metrics": { "http_status": { "extra_labels": [{ "who": "$arg_who" }] } } });
    let metrics = metrics(&attr);
    metrics.record(&exchange("1", 200), &Disabled::NONE, &Vars("a\"\n\\"));
    assert!(text(&metrics, 0).contains(r#"response_source="upstream",who="a\"\n\\"} 1"#), "{}", text(&metrics, 0));
    metrics.record(&exchange("1", 200), &Disabled::NONE, &Vars(LONG));
    assert!(text(&metrics, 0).contains(&format!(r#",who="{}"}} 1"#, &LONG[..128])));
}

#[test]
fn disabled_labels_are_empty() {
    let disabled: Disabled = serde_json::from_value(
        json!({ "disabled_labels": { "http_status": ["node", "consumer"], "bandwidth": ["route"] } }),
    )
    .unwrap();
    let metrics = metrics(&json!({}));
    metrics.record(&exchange("1", 200), &disabled, &Vars(""));
    let text = text(&metrics, 0);
    assert!(text.contains(r#"service="",consumer="",node="",request_type="#));
    assert!(text.contains(r#"apisix_bandwidth{type="egress",route="","#));
}

#[test]
fn label_sets_are_bounded() {
    let metrics = metrics(&json!({ "max_series": 2 }));
    let routes: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    for route in &routes {
        // Other workers have stripes of their own; the bound is for all of them together.
        std::thread::scope(|scope| {
            scope.spawn(|| metrics.record(&exchange(route, 200), &Disabled::NONE, &Vars("")));
        });
    }
    let text = text(&metrics, 0);
    let series = text.lines().filter(|line| line.starts_with("apisix_http_status{")).collect::<Vec<_>>();
    assert_eq!(series.len(), 3);
    assert!(
        text.contains(r#"code="overflow",route="overflow""#) && series.iter().any(|line| line.ends_with(" 3")),
        "{text}"
    );
}

#[test]
fn series_expire_and_make_room() {
    let metrics = metrics(&json!({ "max_series": 1, "metrics": { "http_status": { "expire": 10 } } }));
    metrics.record(&exchange("1", 200), &Disabled::NONE, &Vars(""));
    assert!(text(&metrics, 1009).contains("apisix_http_status{"));
    assert!(!text(&metrics, 1010).contains("apisix_http_status{"));
    metrics.record(&exchange("2", 200), &Disabled::NONE, &Vars(""));
    assert!(text(&metrics, 1000).contains(r#"code="200",route="2""#));
}

#[test]
fn wrong_settings_say_where() {
    for (attr, at) in [
        (json!({ "metric_prefix": "a-b" }), "metric_prefix"),
        (json!({ "default_buckets": "x" }), "default_buckets"),
        (json!({ "max_series": 0 }), "max_series"),
        (json!({ "metrics": { "bandwidth": { "expire": -1 } } }), "metrics.bandwidth.expire"),
        (
            json!({ "metrics": { "http_latency": { "extra_labels": [{ "le": "$host" }] } } }),
            "metrics.http_latency.extra_labels",
        ),
    ] {
        let error = Settings::read(&attr).unwrap_err().to_string();
        assert!(error.starts_with(&format!("plugin_attr.prometheus.{at} should be")), "{error}");
    }
}

#[test]
fn a_request_is_counted_and_shown() {
    let world = plugin::testing::World::default();
    for (prefer_name, route, source, shown) in [
        (false, true, Source::Upstream, r#"route="r1",matched_uri="",matched_host="",service="s1""#),
        (true, true, Source::Upstream, r#"route="hello",matched_uri="",matched_host="",service="shop""#),
        (false, false, Source::Gateway, r#"response_source="apisix""#),
    ] {
        let (config, attr) = (json!({ "prefer_name": prefer_name }), json!({}));
        let env = BuildEnv {
            shared: &world.shared,
            owner: "/routes/1",
            config: &config,
            attr: &attr,
            compat: model::differences::Compat::default(),
        };
        let plugin = Prometheus::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap();
        let mut cx = world.ctx("GET", "/hello", &[]);
        cx.response.status = 201;
        cx.response.source = source;
        cx.route = route.then(|| {
            Arc::new(plugin::RouteFacts {
                id: "r1".into(),
                name: "hello".into(),
                service_id: Some("s1".into()),
                service_name: Some("shop".into()),
                ..plugin::RouteFacts::default()
            })
        });
        plugin.log(&mut cx);
        let reply = reply(&mut cx);
        let plugin::ReplyBody::Bytes(text) = reply.body else { panic!("no text") };
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains(shown), "{text}");
        assert_eq!(reply.fields.get_str("content-type"), Some("text/plain"));
    }
}
