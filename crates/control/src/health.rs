//! `/v1/healthcheck`: what health checks have seen, for programs and, to who accepts HTML, for eyes.

use super::{ControlApi, NodeHealth, View, found, list, refused};
use model::documents::{Document, Kind};
use plugin::Reply;
use serde_json::{Value, json};

/// The checks of one document's upstream.
struct Checker {
    name: String,
    kind: Option<Value>,
    nodes: Vec<NodeHealth>,
}

impl<V: View> ControlApi<V> {
    pub(super) fn all_health(&self, accept: Option<&[u8]>) -> Reply {
        let kinds = [Kind::Route, Kind::StreamRoute, Kind::Service, Kind::Upstream];
        let documents = kinds.into_iter().flat_map(|kind| self.view.documents(kind));
        let checkers: Vec<Checker> = documents.filter_map(|document| self.checker(&document)).collect();
        match takes_html(accept) {
            true => page(&checkers),
            false => found(&list(checkers.iter().map(Checker::to_json).collect())),
        }
    }

    pub(super) fn health(&self, kind: &str, id: &str, accept: Option<&[u8]>) -> Reply {
        if id.is_empty() {
            return refused(404, &format!("missing src id for src type {kind}"));
        }
        if !matches!(kind, "routes" | "services" | "upstreams" | "stream_routes") {
            return refused(400, &format!("invalid src type {kind}"));
        }
        let Some(document) = self.document(&format!("/{kind}/{id}")) else {
            return refused(404, &format!("{kind}[{id}] not found"));
        };
        match self.checker(&document) {
            None => refused(404, &format!("no checker for {kind}[{id}]")),
            Some(checker) if takes_html(accept) => page(&[checker]),
            Some(checker) => found(&checker.to_json()),
        }
    }

    fn checker(&self, document: &Document) -> Option<Checker> {
        let own = document.value.get("checks");
        let checks = own.or_else(|| document.value.pointer("/upstream/checks"))?;
        let of = |way: &str| Some(checks.get(way)?.get("type").cloned().unwrap_or_else(|| json!("http")));
        Some(Checker {
            name: format!("{}{}", self.prefix, document.key),
            kind: of("active").or_else(|| of("passive")),
            nodes: self.view.health(&document.key),
        })
    }
}

impl Checker {
    fn to_json(&self) -> Value {
        let nodes = self.nodes.iter().map(|node| {
            let mut shown = json!({
                "ip": node.ip,
                "port": node.port,
                "hostname": node.hostname,
                "status": node.status,
                "counter": {
                    "success": node.success,
                    "http_failure": node.http_failure,
                    "tcp_failure": node.tcp_failure,
                    "timeout_failure": node.timeout_failure,
                },
            });
            if let (Some(header), Value::Object(shown)) = (&node.hostheader, &mut shown) {
                shown.insert("hostheader".to_owned(), json!(header));
            }
            shown
        });
        let mut checker = json!({ "name": self.name, "nodes": list(nodes.collect()) });
        if let (Some(kind), Value::Object(checker)) = (&self.kind, &mut checker) {
            checker.insert("type".to_owned(), kind.clone());
        }
        checker
    }
}

fn takes_html(accept: Option<&[u8]>) -> bool {
    accept.is_some_and(|accept| accept.windows(9).any(|part| part == b"text/html"))
}

/// The columns of APISIX's page, in its order: there are programs that read it.
const COLUMNS: [&str; 9] = [
    "Index",
    "Upstream",
    "Check type",
    "Host",
    "Status",
    "Success counts",
    "TCP Failures",
    "HTTP Failures",
    "TIMEOUT Failures",
];

fn page(checkers: &[Checker]) -> Reply {
    let title = "APISIX upstream check status";
    let mut html = format!(
        "<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <table cellspacing=\"0\" cellpadding=\"3\" border=\"1\">\n"
    );
    let head = COLUMNS.map(|column| format!("<th>{column}</th>")).concat();
    html.push_str(&format!("<tr bgcolor=\"#C0C0C0\">{head}</tr>\n"));
    let nodes = checkers.iter().flat_map(|checker| checker.nodes.iter().map(move |node| (checker, node)));
    for (index, (checker, node)) in nodes.enumerate() {
        let is_good = matches!(node.status, "healthy" | "mostly_healthy");
        html.push_str(if is_good { "<tr>" } else { "<tr bgcolor=\"#FF0000\">" });
        for cell in [
            (index + 1).to_string(),
            checker.name.clone(),
            checker.kind.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            format!("{}:{}", node.ip, node.port),
            node.status.to_owned(),
            node.success.to_string(),
            node.tcp_failure.to_string(),
            node.http_failure.to_string(),
            node.timeout_failure.to_string(),
        ] {
            html.push_str(&format!("<td>{}</td>", escape(&cell)));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n</body>\n</html>\n");
    Reply::text(200, html).with("Content-Type", b"text/html")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
