use super::depth::{BadQuery, of};

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
