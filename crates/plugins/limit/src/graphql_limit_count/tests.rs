use super::{
    cost::{self, Charge, Known},
    decorations::Decorations,
    depth,
    document::{BadQuery, Document},
    introspection::Introspection,
    upstream_schema::UpstreamSchema,
};
use model::documents::CostDecoration;
use serde_json::{Value, json};
use std::collections::HashMap;

fn of(query: &str, operation_name: Option<&str>) -> Result<usize, BadQuery> {
    depth::of(&Document::parse(query, operation_name)?)
}

#[test]
fn a_query_is_as_deep_as_its_selections() {
    for (query, expected) in [
        ("{ a }", 1),
        ("{ a b c }", 1),
        ("query { a { b } c }", 2),
        ("query Q($n: Int = 3) { a(first: $n, where: { b: { c: 1 } }) { b { c } } }", 3),
        ("{ ... on T { a { b } } }", 2),
        ("{ ...f } fragment f on T { a { b } }", 2),
        ("{ x { ...f } } fragment f on T { a { ...g } } fragment g on T { b { c } }", 4),
        ("{ ...nowhere }", 1),
        ("{ a @skip(if: true) { b } }", 2),
        ("mutation { a { b } }", 2),
        ("query A { a } query B { a { b { c } } }", 3),
    ] {
        assert_eq!(of(query, None), Ok(expected), "{query}");
    }
}

#[test]
fn the_operation_that_is_named_counts() {
    let query = "query A { a } query B { a { b { c } } } query C { ...f } fragment f on T { a { b } }";
    for (name, expected) in [(Some("A"), 1), (Some("B"), 3), (Some("C"), 2), (Some("D"), 3), (Some(""), 3), (None, 3)] {
        assert_eq!(of(query, name), Ok(expected), "{name:?}");
    }
}

#[test]
fn what_has_no_depth_is_refused() {
    for (query, expected) in [
        ("", BadQuery::Unreadable),
        ("fragment f on T { a }", BadQuery::Empty),
        ("{ a", BadQuery::Unreadable),
        ("{ a } }", BadQuery::Unreadable),
        ("{ ...f } fragment f on T { ...f }", BadQuery::Cycle),
        ("{ ...f } fragment f on T { a { ...g } } fragment g on T { ...f }", BadQuery::Cycle),
        ("{ ...f } fragment f on T { a } fragment f on T { a { b } }", BadQuery::Unreadable),
    ] {
        assert_eq!(of(query, None), Err(expected), "{query}");
    }
}

#[test]
fn documents_made_to_cost_us_are_refused_or_cheap() {
    let nested = "{a".repeat(5_000) + &"}".repeat(5_000);
    assert_eq!(of(&nested, None), Err(BadQuery::Unreadable));
    assert_eq!(of(&"{ a ".repeat(100_000), None), Err(BadQuery::Unreadable));
    // A chain of fragments, each of which has the next.
    let chain = |n: usize| {
        let links = (0..n).map(|i| format!("fragment f{i} on T {{ ...f{} }}", i + 1)).collect::<String>();
        format!("{{ ...f0 }} {links} fragment f{n} on T {{ a {{ b }} }}")
    };
    assert_eq!(of(&chain(100), None), Ok(2));
    assert_eq!(of(&chain(1_000), None), Err(BadQuery::Unreadable));
    // Each has the next twice, so that writing them out would take 2^100 fields.
    let doubled = (0..100)
        .map(|i| format!("fragment f{i} on T {{ a {{ ...f{n} }} b {{ ...f{n} }} }}", n = i + 1))
        .collect::<String>();
    assert_eq!(of(&format!("{{ ...f0 }} {doubled} fragment f100 on T {{ a }}"), None), Ok(101));
}

/// A shop: products with reviews, of which a node is one of both.
fn shop() -> UpstreamSchema {
    let of = |name: &str| json!({ "kind": "OBJECT", "name": name });
    let list_of = |name: &str| json!({ "kind": "NON_NULL", "name": null, "ofType": { "kind": "LIST", "name": null, "ofType": of(name) } });
    let field = |name: &str, result: Value| json!({ "name": name, "args": [], "type": result });
    let counted = |name: &str, result: Value, default: Value| json!({ "name": name, "args": [{ "name": "first", "defaultValue": default }], "type": result });
    let types = json!([
        { "name": "Query", "fields": [
            counted("products", of("Products"), json!("10")), counted("shelf", of("Products"), Value::Null), field("node", of("Node")),
        ] },
        { "name": "Change", "fields": [field("buy", of("Product"))] },
        { "name": "Products", "fields": [field("nodes", list_of("Product"))] },
        { "name": "Node", "fields": [field("id", of("ID"))] },
        { "name": "Product", "fields": [field("id", of("ID")), counted("reviews", of("Reviews"), json!("20")), field("similar", list_of("Product"))] },
        { "name": "Reviews", "fields": [field("nodes", list_of("Review"))] },
        { "name": "Review", "fields": [field("body", of("String"))] },
        { "name": "String", "fields": null },
    ]);
    let schema = json!({ "queryType": { "name": "Query" }, "mutationType": { "name": "Change" }, "subscriptionType": null, "types": types });
    UpstreamSchema::read(json!({ "data": { "__schema": schema } }).to_string().as_bytes()).unwrap()
}

fn decorations(written: &[Value]) -> Decorations {
    let read: Vec<CostDecoration> = written.iter().map(|value| CostDecoration::parse(value).unwrap()).collect();
    Decorations::compile(&read)
}

fn cost(
    charge: Charge,
    decorations: &[Value],
    query: &str,
    variables: &Value,
    uses_defaults: bool,
) -> Result<f64, BadQuery> {
    let (decorations, schema) = (self::decorations(decorations), shop());
    let known = Known {
        decorations: Some(&decorations),
        schema: Some(&schema),
        variables: variables.as_object().filter(|_| uses_defaults),
        uses_defaults,
    };
    cost::of(&Document::parse(query, None)?, charge, known)
}

#[test]
fn without_decorations_every_field_counts_once() {
    let known = Known { decorations: None, schema: None, variables: None, uses_defaults: true };
    for (query, every, quantified) in [
        ("{ a }", 2.0, 0.0),
        ("{ a { b c } d }", 5.0, 0.0),
        ("{ a(first: 1000) { b } }", 3.0, 0.0),
        ("{ ...f ...f } fragment f on T { a { b } }", 5.0, 0.0),
        ("{ ... on T { a } ...nowhere }", 2.0, 0.0),
        ("{ ...f } fragment f on T { a ...f }", 2.0, 0.0),
        ("query A { a } query B { a b c }", 4.0, 0.0),
    ] {
        let document = Document::parse(query, None).unwrap();
        assert_eq!(cost::of(&document, Charge::EveryField, known), Ok(every), "{query}");
        assert_eq!(cost::of(&document, Charge::Quantified, known), Ok(quantified), "{query}");
    }
}

#[test]
fn fields_cost_what_their_decorations_say() {
    let products = || json!({ "field_path": "Query.products", "mul_arguments": ["first"] });
    let reviews = || json!({ "field_path": "Product.reviews", "mul_arguments": ["first"] });
    let both = || vec![products(), reviews()];
    let nested = "{ products(first: 50) { nodes { reviews(first: 20) { nodes { body } } } } }";
    for (desc, list, query, every, quantified) in [
        ("the example of the documentation", both(), nested, 1.0 + 1.0 + 50.0 * (1.0 + (1.0 + 20.0 * 2.0)), 51.0),
        (
            "a field's own cost",
            vec![json!({ "field_path": "Product.id", "add_value": 7 })],
            "{ products { nodes { id } } }",
            10.0,
            0.0,
        ),
        (
            "arguments are added",
            vec![json!({ "field_path": "Query.products", "add_arguments": ["first"] })],
            "{ products(first: 5) }",
            7.0,
            0.0,
        ),
        (
            "a factor",
            vec![json!({ "field_path": "Products.nodes", "mul_value": 3 })],
            "{ products { nodes { id } } }",
            6.0,
            0.0,
        ),
        (
            "a type is every field that gives it",
            vec![json!({ "field_path": "Product", "add_value": 10 })],
            "{ products { nodes { similar { id } } } }",
            1.0 + 1.0 + 10.0 + 10.0 + 1.0,
            0.0,
        ),
        (
            "the type that is the query",
            vec![json!({ "field_path": "Query", "mul_value": 100 })],
            "{ products }",
            101.0,
            0.0,
        ),
        (
            "a chain is only where it leads",
            vec![json!({ "field_path": "Query.products.nodes.reviews", "add_value": 50 })],
            "{ products { nodes { reviews { nodes { body } } } } shelf { nodes { reviews { nodes { body } } } } }",
            1.0 + 5.0 + 49.0 + 5.0,
            0.0,
        ),
        (
            "the longer path counts, part by part",
            vec![json!({ "field_path": "Query.products.nodes.reviews", "add_value": 50 }), reviews()],
            "{ products { nodes { reviews(first: 3) { nodes { body } } } } }",
            1.0 + 1.0 + 1.0 + (3.0 * 2.0 + 50.0),
            50.0,
        ),
        (
            "fragments on a type are of that type",
            both(),
            "{ node { ... on Product { reviews(first: 4) { nodes } } } }",
            1.0 + 1.0 + (4.0 + 1.0),
            1.0,
        ),
        (
            "also beside longer paths",
            vec![json!({ "field_path": "Query.products.nodes.id", "add_value": 9 }), reviews()],
            "{ node { ...p } } fragment p on Product { reviews(first: 4) { nodes } }",
            1.0 + 1.0 + (4.0 + 1.0),
            1.0,
        ),
        (
            "a type that nobody knows is passed over",
            both(),
            "{ products(first: 2) { ... on Martian { nodes { id } } } }",
            1.0 + (2.0 * 2.0 + 1.0),
            1.0,
        ),
        (
            "a mutation begins with its own type",
            vec![json!({ "field_path": "Change.buy", "add_value": 30 })],
            "mutation { buy { id } }",
            32.0,
            0.0,
        ),
        ("what is asked for by another name", both(), "{ cheap: products(first: 9) }", 2.0, 1.0),
    ] {
        // Only written numbers count here, so that defaults of the schema do not.
        assert_eq!(cost(Charge::EveryField, &list, query, &json!({}), false), Ok(every), "{desc}");
        assert_eq!(cost(Charge::Quantified, &list, query, &json!({}), false), Ok(quantified), "{desc}");
    }
}

#[test]
fn counts_come_from_where_the_server_takes_them() {
    let list = [
        json!({ "field_path": "Query.products", "mul_arguments": ["first"] }),
        json!({ "field_path": "Query.shelf", "mul_arguments": ["first"] }),
    ];
    let by_variable = "query Q($n: Int) { products(first: $n) { nodes } }";
    let with_default = "query Q($n: Int = 100) { products(first: $n) { nodes } }";
    for (desc, query, variables, resolved, unresolved) in [
        ("a number", "{ products(first: 7) { nodes } }", json!({}), 9.0, 9.0),
        ("a text that is one", "{ products(first: \"7\") { nodes } }", json!({}), 9.0, 9.0),
        ("a variable", by_variable, json!({ "n": 7 }), 9.0, 3.0),
        ("a variable as a text", by_variable, json!({ "n": "7" }), 9.0, 3.0),
        ("the operation's default", with_default, json!({}), 102.0, 3.0),
        ("a variable before it", with_default, json!({ "n": 3 }), 5.0, 3.0),
        ("the schema's default", "{ products { nodes } }", json!({}), 12.0, 3.0),
        ("also for a variable that is not there", by_variable, json!({}), 12.0, 3.0),
        ("nothing, where there is none", "{ shelf { nodes } }", json!({}), 3.0, 3.0),
        ("null", by_variable, json!({ "n": null }), 3.0, 3.0),
        ("a negative number is no discount", "{ products(first: -1000) { nodes } }", json!({}), 3.0, 3.0),
        ("nor is one in a variable", by_variable, json!({ "n": -1000 }), 3.0, 3.0),
        ("what is no number", "{ products(first: many) { nodes } }", json!({}), 3.0, 3.0),
        ("a list is no number either", "{ products(first: [1]) { nodes } }", json!({}), 12.0, 3.0),
        ("none of them", "{ products(first: 0) { nodes } }", json!({}), 2.0, 2.0),
    ] {
        assert_eq!(cost(Charge::EveryField, &list, query, &variables, true), Ok(resolved), "{desc}");
        assert_eq!(cost(Charge::EveryField, &list, query, &variables, false), Ok(unresolved), "{desc}, unresolved");
    }
    // More than there are numbers for is never nothing.
    let huge = "{ products(first: 1e308) { nodes } again: products(first: 1e308) { nodes { similar } } }";
    let list = [
        json!({ "field_path": "Query.products", "mul_arguments": ["first"] }),
        json!({ "field_path": "Products.nodes", "mul_value": 1e308 }),
    ];
    assert_eq!(cost(Charge::EveryField, &list, huge, &json!({}), true), Ok(f64::INFINITY));
    let list = [
        json!({ "field_path": "Query", "mul_value": 0 }),
        json!({ "field_path": "Query.products", "mul_arguments": ["first"] }),
        json!({ "field_path": "Products.nodes", "mul_value": 1e308 }),
    ];
    assert_eq!(cost(Charge::EveryField, &list, huge, &json!({}), true), Ok(f64::INFINITY));
}

#[test]
fn documents_that_grow_when_fragments_are_written_out_are_refused() {
    let doubled = (0..100)
        .map(|i| format!("fragment f{i} on T {{ a {{ ...f{n} }} b {{ ...f{n} }} }}", n = i + 1))
        .collect::<String>();
    let document = format!("{{ ...f0 }} {doubled} fragment f100 on T {{ a }}");
    assert_eq!(cost(Charge::EveryField, &[], &document, &json!({}), true), Err(BadQuery::TooLarge));
    let chain = (0..500).map(|i| format!("fragment f{i} on T {{ ...f{} }}", i + 1)).collect::<String>();
    let document = format!("{{ ...f0 }} {chain} fragment f500 on T {{ a }}");
    assert_eq!(cost(Charge::Quantified, &[], &document, &json!({}), true), Err(BadQuery::Unreadable));
}

#[test]
fn what_is_no_schema_is_not_taken_for_one() {
    for (answer, expected) in [
        ("", "no schema in JSON"),
        ("{}", "no data"),
        (r#"{"data":null}"#, "no data"),
        (r#"{"data":{}}"#, "no __schema.types"),
        (r#"{"data":{"__schema":null}}"#, "no __schema.types"),
        (r#"{"data":{"__schema":{"types":null}}}"#, "no __schema.types"),
        (r#"{"data":{"__schema":{"types":7}}}"#, "no schema in JSON"),
        (r#"{"errors":[{"message":"not allowed"}]}"#, "no data"),
    ] {
        let error = UpstreamSchema::read(answer.as_bytes()).unwrap_err();
        assert!(error.contains(expected), "{answer}: {error}");
    }
}

#[test]
fn endpoints_and_headers_are_such() {
    for (endpoint, header, expected) in [
        ("http://a", None, ""),
        ("http://a:8080/graphql?x=1", Some(("Authorization", "b")), ""),
        ("http://[::1]:8080", Some(("Host", "b")), ""),
        ("http://[::1]/q", None, ""),
        ("https://a/graphql", None, ""),
        ("ftp://a", None, "neither http:// nor https://"),
        ("http://", None, "no host and port"),
        ("http://a:0", None, "no host and port"),
        ("http://a:70000", None, "no host and port"),
        ("http://user:word@a/", None, "no host and port"),
        ("http://a/ b", None, "has characters"),
        ("http://a/\r\nX: b", None, "has characters"),
        ("http://a", Some(("X Y", "b")), "cannot be sent"),
        ("http://a", Some(("X", "b\r\nY: c")), "cannot be sent"),
        ("http://a", Some(("Content-length", "7")), "not for configurations to set"),
    ] {
        let headers: HashMap<String, String> = header.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let message = Introspection::compile(Some(endpoint), &headers).err().map_or(String::new(), |error| error.0);
        assert!(message.contains(expected) && message.is_empty() == expected.is_empty(), "{endpoint}: {message}");
    }
}
