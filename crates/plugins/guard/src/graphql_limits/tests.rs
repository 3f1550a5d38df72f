use super::{document::Wrong, *};

const LIMITS: Limits =
    Limits { depth: 5, fields: 100, aliases: 10, directives: 10, tokens: 100_000, allows_introspection: false };

fn check(text: &str) -> Result<(), Wrong> {
    document::check(text, false, &LIMITS)
}

#[test]
fn fragments_count_each_time_that_they_are_used() {
    for (desc, text, expected) in [
        ("depth through a fragment", "{ a { b { ...F } } } fragment F on T { c { d { e } } }", Ok(())),
        (
            "too deep through a fragment",
            "{ a { b { ...F } } } fragment F on T { c { d { e { f } } } }",
            Err(Wrong::Depth),
        ),
        ("inline fragments add no depth", "{ a { ... on T { ... { b { c { d { e } } } } } } }", Ok(())),
        ("aliases of a fragment", "{ ...F ...F } fragment F on T { a: x b: x c: x d: x e: x }", Ok(())),
        (
            "too many aliases of a fragment",
            "{ ...F ...F ...F } fragment F on T { a: x b: x c: x d: x e: x }",
            Err(Wrong::Aliases),
        ),
        ("a circle", "{ ...F } fragment F on T { a { ...G } } fragment G on T { ...F }", Err(Wrong::Fragment)),
        ("a circle of one", "{ ...F } fragment F on T { ...F }", Err(Wrong::Fragment)),
        ("nothing", "{ ...F }", Err(Wrong::Fragment)),
        ("two of a name", "{ ...F } fragment F on T { a } fragment F on T { b }", Err(Wrong::Ambiguous)),
        ("any operation counts", "query A { a } query B { a { b { c { d { e { f } } } } } }", Err(Wrong::Depth)),
        ("directives of variables", "query A($a: Int @x @x @x @x @x @x @x @x @x @x @x) { a }", Err(Wrong::Directives)),
        ("directives of an operation", "query A @x @x @x @x @x @x @x @x @x @x @x { a }", Err(Wrong::Directives)),
        (
            "directives of a fragment",
            "{ ...F @x @x @x @x @x @x } fragment F on T @x @x @x @x @x { a }",
            Err(Wrong::Directives),
        ),
        (
            "the schema below a fragment",
            "{ ...F } fragment F on Query { a: __schema { types { name } } }",
            Err(Wrong::Introspection),
        ),
        ("types", "type T { a: Int }", Err(Wrong::Types)),
        ("types beside a query", "{ a } extend type T { a: Int }", Err(Wrong::Types)),
        ("only fragments", "fragment F on T { a }", Err(Wrong::Empty)),
        ("nothing at all", "", Err(Wrong::Syntax)),
        ("half a query", "{ a", Err(Wrong::Syntax)),
    ] {
        assert_eq!(check(text), expected, "{desc}");
    }
}

#[test]
fn bombs_are_refused_in_little_time() {
    // Each fragment uses the next one twice: 2^200 fields.
    let fragments: String =
        (0..150).map(|n| format!("fragment F{n} on T {{ ...F{} ...F{} }} ", n + 1, n + 1)).collect();
    assert_eq!(check(&format!("{{ ...F0 }} {fragments} fragment F150 on T {{ a }}")), Err(Wrong::Fields));
    let chain: String = (0..5000).map(|n| format!("fragment F{n} on T {{ ...F{} }} ", n + 1)).collect();
    assert_eq!(check(&format!("{{ ...F0 }} {chain} fragment F5000 on T {{ a }}")), Err(Wrong::Depth));
    for open in ["{a", "{a(x:[", "{a(x:{b:", "{...{"] {
        assert!(check(&open.repeat(50_000)).is_err(), "{open}");
    }
    assert_eq!(
        check(&format!("query($a: {}Int{}) {{ a }}", "[".repeat(30_000), "]".repeat(30_000))),
        Err(Wrong::Tokens)
    );
    let nested = |depth: usize| format!("{}{}", "{a".repeat(depth), "}".repeat(depth));
    assert_eq!(check(&nested(5)), Ok(()));
    assert_eq!(check(&nested(6)), Err(Wrong::Depth));
    assert_eq!(check(&nested(1000)), Err(Wrong::Tokens));
}
