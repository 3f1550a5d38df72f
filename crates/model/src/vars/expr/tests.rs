use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::json;

use super::*;

struct Request;

impl Lookup for Request {
    fn var(&self, name: &VarName) -> Value<'_> {
        match name.to_string().as_str() {
            "uri" => Value::text("/Foo"),
            "arg_n" => Value::text("10"),
            "arg_s" => Value::text("abc"),
            "arg_e" => Value::text(""),
            "remote_addr" => Value::text("10.1.2.3"),
            "arg_six" => Value::text("2001:db8::1"),
            "arg_bytes" => Value::Str(Cow::Borrowed(b"\xff\xfe")),
            "post_arg.n" => Value::Num(10.0),
            "post_arg.t" => Value::Bool(true),
            "post_arg.f" => Value::Bool(false),
            "graphql_root_fields" => Value::List(vec!["repo".into(), Value::Num(1.0)]),
            _ => Value::Absent,
        }
    }
}

fn eval(rule: &serde_json::Value) -> Result<bool, ExprFault> {
    Expr::compile(rule).unwrap_or_else(|error| panic!("{rule}: {error}")).eval(&Request)
}

#[test]
fn conditions_hold_as_in_lua_resty_expr() {
    for (rule, expected) in [
        (json!([]), true),
        (json!([["arg_s", "==", "abc"]]), true),
        (json!([["arg_s", "abc"]]), true),
        (json!([["arg_s", "ABC"]]), true),
        (json!([["arg_n", 10]]), true),
        (json!([["arg_n", "==", 10]]), true),
        (json!([["arg_n", "==", "10"]]), true),
        (json!([["arg_n", "==", "10.0"]]), false),
        (json!([["arg_n", "==", 10.0]]), true),
        (json!([["post_arg.n", "==", "10"]]), false),
        (json!([["post_arg.n", "==", 10]]), true),
        (json!([["arg_s", "==", 10]]), false),
        (json!([["arg_s", "~=", 10]]), true),
        (json!([["arg_x", "~=", 10]]), true),
        (json!([["arg_x", "~=", "a"]]), true),
        (json!([["arg_x", "==", null]]), true),
        (json!([["arg_e", "==", null]]), false),
        (json!([["arg_s", "~=", null]]), true),
        (json!([["arg_x", "=="]]), true),
        (json!([["post_arg.t", "==", true]]), true),
        (json!([["post_arg.t", "==", "true"]]), false),
        (json!([["arg_n", ">", 9]]), true),
        (json!([["arg_n", ">", "9"]]), true),
        (json!([["arg_n", ">=", 10]]), true),
        (json!([["arg_n", "<", 10]]), false),
        (json!([["arg_n", "<=", 10]]), true),
        (json!([["arg_s", ">", 1]]), false),
        (json!([["arg_s", "!", ">", 1]]), true),
        (json!([["arg_x", "<", 1]]), false),
        (json!([["uri", "~~", "^/F"]]), true),
        (json!([["uri", "~~", "^/f"]]), false),
        (json!([["uri", "~*", "^/f"]]), true),
        (json!([["uri", "!", "~~", "^/f"]]), true),
        (json!([["arg_x", "~~", ".*"]]), false),
        (json!([["arg_x", "!", "~~", ".*"]]), true),
        (json!([["arg_bytes", "~~", "^..$"]]), true),
        (json!([["post_arg.n", "~~", 10]]), true),
        (json!([["post_arg.f", "~~", "f"]]), false),
        (json!([["arg_n", "IN", ["9", "10"]]]), true),
        (json!([["arg_n", "in", [9, 10]]]), false),
        (json!([["arg_n", "!", "in", ["9"]]]), true),
        (json!([["arg_x", "in", [null]]]), false),
        (json!([["arg_n", "in", "10"]]), false),
        (json!([["graphql_root_fields", "has", "repo"]]), true),
        (json!([["graphql_root_fields", "has", "x"]]), false),
        (json!([["graphql_root_fields", "has", 1]]), true),
        (json!([["arg_s", "has", "abc"]]), false),
        (json!([["remote_addr", "ipmatch", "10.0.0.0/8"]]), true),
        (json!([["remote_addr", "ipmatch", ["::1", "10.1.2.3"]]]), true),
        (json!([["remote_addr", "!", "ipmatch", ["::1"]]]), true),
        (json!([["arg_six", "ipmatch", "2001:db8::/32"]]), true),
        (json!([["arg_s", "ipmatch", "0.0.0.0/0"]]), false),
        (json!([["arg_x", "ipmatch", "0.0.0.0/0"]]), false),
        (json!(["AND", ["arg_s", "abc"], ["arg_n", "10"]]), true),
        (json!(["or", ["arg_s", "x"], ["arg_n", "10"]]), true),
        (json!(["!AND", ["arg_s", "x"], ["arg_n", "10"]]), true),
        (json!(["!OR", ["arg_s", "x"], ["arg_n", "11"]]), true),
        (json!(["!OR", ["arg_s", "x"], ["arg_n", "10"]]), false),
        (json!([["OR", ["arg_s", "x"], [["arg_n", "10"], ["arg_s", "abc"]]], ["uri", "==", "/Foo"]]), true),
    ] {
        assert_eq!(eval(&rule), Ok(expected), "{rule}");
    }
}

#[test]
fn refusals_have_the_texts_of_lua_resty_expr() {
    for (rule, expected) in [
        (json!(null), "missing argument rule"),
        (json!(["arg_s", "==", "a"]), "rule should be wrapped inside brackets"),
        (json!([1]), "rule should be wrapped inside brackets"),
        (json!("x"), "rule should be wrapped inside brackets"),
        (json!({"a": 1}), "rule should be wrapped inside brackets"),
        (json!([[]]), "rule too short"),
        (json!(["AND", ["a", "b"]]), "rule too short"),
        (json!([["AND"]]), "rule too short"),
        (json!([["a", "not", "==", "b"]]), "bad 'not' expression"),
        (json!([["a"]]), "invalid expression"),
        (json!([["a", null]]), "invalid expression"),
        (json!(["OR", "a", "b"]), "invalid expression"),
        (json!([["a", "=~", "b"]]), "invalid operator '=~'"),
        (json!([["a", "FOO", null]]), "invalid operator 'foo'"),
        (json!([["a", "ipmatch", ""]]), "invalid ip address"),
        (json!([["a", "ipmatch", []]]), "invalid ip address"),
        (json!([["a", "ipmatch"]]), "invalid ip address"),
        (json!([["a", "ipmatch", "300.1.1.1"]]), "invalid ip address: 300.1.1.1"),
    ] {
        let error = Expr::compile(&rule).expect_err("refused");
        assert_eq!(error.to_string(), expected, "{rule}");
    }
    let error = Expr::compile(&json!([["a", "~~", "("]])).expect_err("refused");
    assert!(error.to_string().starts_with("invalid pattern \"(\": "), "{error}");
}

#[test]
fn what_cannot_be_decided_is_a_fault() {
    assert_eq!(
        eval(&json!([["graphql_root_fields", "!", "~~", "x"]])),
        Err(ExprFault::NotText { name: VarName::GraphqlRootFields })
    );
    assert!(eval(&json!([["post_arg.t", "~~", "x"]])).is_err());
}

#[test]
fn names_are_listed() {
    let expr = Expr::compile(&json!([["uri", "a"], ["OR", ["post_arg_x", "1"], ["host", "b"]]])).expect("valid");
    let names: Vec<_> = expr.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["uri", "post_arg_x", "host"]);
    assert!(!expr.body_need().is_none());
    assert!(Expr::compile(&json!([])).expect("valid").body_need().is_none());
}

fn any_rule() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|truth| json!(truth)),
        any::<f64>().prop_map(|number| json!(number)),
        "(uri|arg_n|AND|OR|!OR|!|==|~=|~~|in|has|ipmatch|[a-z(+]{0,3})".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(|items| json!(items)))
}

proptest! {
    #[test]
    fn any_json_compiles_or_is_refused(rule in any_rule()) {
        if let Ok(expr) = Expr::compile(&rule) {
            let _ = expr.eval(&Request);
        }
    }
}
