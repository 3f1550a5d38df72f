use super::*;
use plugin::testing;

fn plugin(rules: &[&str], sees_decoded: bool) -> UriBlocker {
    let rules: Vec<String> = rules.iter().map(|&rule| rule.to_owned()).collect();
    let rules = Patterns::compile(&rules, Case::Sensitive).unwrap();
    UriBlocker { rules: Some(rules), sees_decoded, refusal: Reply::status(403) }
}

#[test]
fn both_forms_of_a_target_are_seen() {
    for (desc, rule, target, as_sent, decoded) in [
        ("an encoded letter", "^/admin", "/%61dmin", false, true),
        ("in both cases of its digits", "^/j", "/%6A", false, true),
        ("a query that hides behind plus", "a b", "/?q=a+b", false, true),
        ("the encoded form itself", "%61", "/%61", true, true),
        ("bytes that are no text", "\\xff", "/%FF", false, true),
        ("an end that is not one of the path", "/a$", "/a?b", false, false),
        ("what is decoded once stays so", "<", "/%253C", false, false),
    ] {
        let cx = testing::ctx("GET", target, &[]);
        assert_eq!(plugin(&[rule], false).blocks(&cx.request), Ok(as_sent), "{desc}");
        assert_eq!(plugin(&[rule], true).blocks(&cx.request), Ok(decoded), "{desc}");
    }
}
