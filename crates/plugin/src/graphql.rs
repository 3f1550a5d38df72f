use crate::Request;
use apollo_parser::{
    Parser,
    cst::{Definition, Document, FragmentDefinition, OperationDefinition, Selection, SelectionSet},
};
use serde::Deserialize;
use std::collections::HashSet;
use wire::Method;

/// How deep selections may be nested in each other.
const MAX_DEPTH: usize = 100;
/// How many tokens a document may have; routers of GraphQL allow about as many.
const MAX_TOKENS: usize = 15_000;

/// What a request's GraphQL document says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Graphql {
    /// There is none, or it is wrong.
    Absent,
    /// It is nested too deep or too long to be looked into.
    TooComplex,
    /// The operation that will be executed.
    Operation {
        /// Its name, or nothing.
        name: String,
        /// `query`, `mutation` or `subscription`.
        operation: &'static str,
        /// What it selects at its root. A fragment is there by its name, as in APISIX, and with the fields that it stands for.
        root_fields: Vec<String>,
    },
}

/// A request as it is sent in JSON.
#[derive(Deserialize)]
struct Sent {
    query: String,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
}

impl Graphql {
    /// Reads the document of a request: the argument `query` of a GET, or the body of a POST, as JSON or as it is.
    pub(crate) fn of(request: &Request) -> Self {
        let max = request.body.limits().graphql;
        let sent = match (&request.method, request.body.buffered()) {
            (Method::Get, _) => request.arg(b"query").and_then(|query| {
                let operation_name = request.arg(b"operationName").and_then(|name| String::from_utf8(name).ok());
                Some(Sent { query: String::from_utf8(query).ok()?, operation_name })
            }),
            (Method::Post, Some(body)) if body.len() as u64 > max => return Self::TooComplex,
            (Method::Post, Some(body)) if is_json(request) => serde_json::from_slice(body).ok(),
            (Method::Post, Some(body)) => {
                std::str::from_utf8(body).ok().map(|text| Sent { query: text.to_owned(), operation_name: None })
            }
            _ => None,
        };
        sent.map_or(Self::Absent, |sent| Self::parse(&sent))
    }

    fn parse(sent: &Sent) -> Self {
        let tree = Parser::new(&sent.query).recursion_limit(MAX_DEPTH).token_limit(MAX_TOKENS).parse();
        if tree.errors().any(apollo_parser::Error::is_limit) {
            return Self::TooComplex;
        }
        if tree.errors().next().is_some() {
            return Self::Absent;
        }
        let document = tree.document();
        let named =
            |operation: &OperationDefinition| name_of(operation) == sent.operation_name.as_deref().unwrap_or("");
        let mut operations = document.definitions().filter_map(|definition| match definition {
            Definition::OperationDefinition(operation) => Some(operation),
            _ => None,
        });
        // The server executes the one that is named. Without a name APISIX looks at the first.
        let wants_name = sent.operation_name.as_deref().is_some_and(|name| !name.is_empty());
        let Some(operation) = (if wants_name { operations.find(named) } else { operations.next() }) else {
            return Self::Absent;
        };
        let mut root_fields = Vec::new();
        if let Some(selections) = operation.selection_set() {
            collect(&document, &selections, &mut HashSet::new(), &mut root_fields);
        }
        let kind = operation.operation_type();
        Self::Operation {
            name: name_of(&operation),
            operation: match kind {
                Some(kind) if kind.mutation_token().is_some() => "mutation",
                Some(kind) if kind.subscription_token().is_some() => "subscription",
                _ => "query",
            },
            root_fields,
        }
    }
}

/// The fields of a selection, also those behind fragments, each fragment once.
fn collect(document: &Document, selections: &SelectionSet, seen: &mut HashSet<String>, fields: &mut Vec<String>) {
    for selection in selections.selections() {
        match selection {
            Selection::Field(field) => fields.extend(field.name().map(|name| name.text().to_string())),
            Selection::FragmentSpread(spread) => {
                let Some(name) = spread.fragment_name().and_then(|name| name.name()) else { continue };
                let name = name.text().to_string();
                if !seen.insert(name.clone()) {
                    continue;
                }
                let selections = fragment(document, &name).and_then(|fragment| fragment.selection_set());
                fields.push(name);
                if let Some(selections) = selections {
                    collect(document, &selections, seen, fields);
                }
            }
            Selection::InlineFragment(inline) => {
                if let Some(selections) = inline.selection_set() {
                    collect(document, &selections, seen, fields);
                }
            }
        }
    }
}

fn fragment(document: &Document, name: &str) -> Option<FragmentDefinition> {
    document.definitions().find_map(|definition| match definition {
        Definition::FragmentDefinition(fragment) => {
            let is_it = fragment.fragment_name().and_then(|own| own.name()).is_some_and(|own| own.text() == name);
            is_it.then_some(fragment)
        }
        _ => None,
    })
}

fn name_of(operation: &OperationDefinition) -> String {
    operation.name().map(|name| name.text().to_string()).unwrap_or_default()
}

/// APISIX compares the whole field; a parameter such as a charset must not hide the document.
fn is_json(request: &Request) -> bool {
    request.fields.get_str("content-type").is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    })
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing;
    use bytes::Bytes;

    fn operation(name: &str, operation: &'static str, fields: &[&str]) -> Graphql {
        let root_fields = fields.iter().map(|field| (*field).to_owned()).collect();
        Graphql::Operation { name: name.to_owned(), operation, root_fields }
    }

    fn post(kind: &str, body: &str) -> Graphql {
        let mut cx = testing::ctx("POST", "/", &[("Content-Type", kind)]);
        cx.request.body.replace(Bytes::copy_from_slice(body.as_bytes()));
        Graphql::of(&cx.request)
    }

    #[test]
    fn documents_are_understood() {
        let frag = "fragment F on Query { secret ...G ...F } fragment G on Query { deep }";
        for (document, want) in [
            ("{ a b }", operation("", "query", &["a", "b"])),
            ("query Q($x: Int = 1) @d { alias: a(x: $x) { c } }", operation("Q", "query", &["a"])),
            ("mutation M { do }", operation("M", "mutation", &["do"])),
            ("subscription { s }", operation("", "subscription", &["s"])),
            ("query A { a } mutation B { b }", operation("A", "query", &["a"])),
            ("{ ... on Query { a } ... { b } }", operation("", "query", &["a", "b"])),
            (&format!("{frag} {{ x ...F }}"), operation("", "query", &["x", "F", "secret", "G", "deep"])),
            ("{ ...Nothing }", operation("", "query", &["Nothing"])),
            ("", Graphql::Absent),
            ("{ a", Graphql::Absent),
            ("fragment F on Q { a }", Graphql::Absent),
            ("type T { a: Int }", Graphql::Absent),
            ("a=1&b=2", Graphql::Absent),
        ] {
            assert_eq!(post("application/graphql", document), want, "{document}");
        }
    }

    #[test]
    fn a_document_is_found_where_it_is_sent() {
        let a = operation("A", "query", &["a"]);
        let json = |document: &str, name: &str| {
            serde_json::json!({ "query": document, "operationName": name, "variables": {} }).to_string()
        };
        let two = "query A { a } mutation B { b }";
        assert_eq!(post("application/json", &json("query A { a }", "")), a);
        assert_eq!(post("Application/JSON; charset=utf-8", &json(two, "A")), a);
        assert_eq!(post("application/json", &json(two, "B")), operation("B", "mutation", &["b"]));
        assert_eq!(post("application/json", &json(two, "C")), Graphql::Absent);
        assert_eq!(post("application/json", "[]"), Graphql::Absent);
        assert_eq!(post("application/json", "query A { a }"), Graphql::Absent);
        let get = testing::ctx("GET", "/?query=query+A+%7B+a+%7D", &[]);
        assert_eq!(Graphql::of(&get.request), a);
        let get = testing::ctx("GET", "/?query=query+A%7Ba%7D+mutation+B%7Bb%7D&operationName=B", &[]);
        assert_eq!(Graphql::of(&get.request), operation("B", "mutation", &["b"]));
        assert_eq!(Graphql::of(&testing::ctx("GET", "/", &[]).request), Graphql::Absent);
        assert_eq!(Graphql::of(&testing::ctx("DELETE", "/?query=%7Ba%7D", &[]).request), Graphql::Absent);
    }

    #[test]
    fn what_is_too_complex_is_not_taken_for_nothing() {
        let deep = |depth: usize| format!("{}x{}", "{ a".repeat(depth), "}".repeat(depth));
        assert!(matches!(post("application/graphql", &deep(50)), Graphql::Operation { .. }));
        for depth in [200, 100_000] {
            assert_eq!(post("application/graphql", &deep(depth)), Graphql::TooComplex, "{depth}");
        }
        assert_eq!(post("application/graphql", &format!("{{ {} }}", "a ".repeat(20_000))), Graphql::TooComplex);
        assert_eq!(post("application/graphql", &format!("{{ a }} # {}", "x".repeat(2 << 20))), Graphql::TooComplex);
    }
}
