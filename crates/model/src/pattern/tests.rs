use proptest::prelude::*;

use super::*;

fn check(pattern: &str, subject: &str, expected: Option<&str>) {
    let compiled = Pattern::compile(pattern, Case::Sensitive).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let captures = compiled.captures(subject.as_bytes()).expect("within the limit");
    let found = captures.and_then(|captures| captures.group(0)).and_then(|range| subject.get(range));
    assert_eq!(found, expected, "{pattern} on {subject:?}");
    assert_eq!(
        compiled.is_match(subject.as_bytes()).expect("within the limit"),
        expected.is_some(),
        "{pattern} on {subject:?}"
    );
}

#[test]
fn patterns_mean_what_pcre_means() {
    for (pattern, subject, expected) in [
        ("^/foo/.*$", "/foo/bar", Some("/foo/bar")),
        ("a$", "a\n", Some("a")),
        ("a$", "a\n\n", None),
        ("a\\z", "a\n", None),
        ("a\\Z", "a\n", Some("a")),
        ("a$\\n", "a\n", Some("a\n")),
        ("([^/]*)$", "abc\n", Some("abc\n")),
        ("^(.*)$", "abc\n", Some("abc")),
        ("a(?=b)", "ab", Some("a")),
        ("(?<!x)b$", "ab\n", Some("b")),
        ("(a)\\1", "aa", Some("aa")),
        ("(?<q>a)\\k<q>", "xaa", Some("aa")),
        ("a++b", "aaab", Some("aaab")),
        ("a++a", "aaa", None),
        ("a*+a", "aaa", None),
        ("(?>a+)a", "aaa", None),
        ("\\<b\\>", "<b>", Some("<b>")),
        ("a{,2}", "a{,2}", Some("a{,2}")),
        ("{x}", "{x}", Some("{x}")),
        ("[[a]", "[", Some("[")),
        ("[]a]+", "]a", Some("]a")),
        ("[^]a]", "]b", Some("b")),
        ("[a&&b]+", "a&b", Some("a&b")),
        ("[--a]+", "Z-", Some("Z-")),
        ("[+--]+", "+,-", Some("+,-")),
        ("[\\w.-]+", "a.b-c/", Some("a.b-c")),
        ("[\\w-.]+", "a-./", Some("a-.")),
        ("[a-c-e]+", "b-ed", Some("b-e")),
        ("[a-\\d]+", "a-1", Some("a-1")),
        ("[a-]+", "a-b", Some("a-")),
        ("[-a]+", "a-b", Some("a-")),
        ("[[:digit:]-z]+", "1-z", Some("1-z")),
        ("[a\\-z]+", "a-z", Some("a-z")),
        ("[\\x41-\\x43]+", "ABCD", Some("ABC")),
        ("[\\]-a]+", "]^a", Some("]^a")),
        ("[a~~b]", "~", Some("~")),
        ("[[:alpha:]_]+", "a_1", Some("a_")),
        ("[\\b]", "\u{8}", Some("\u{8}")),
        ("\\Qa.b\\E+", "a.bb", Some("a.bb")),
        ("\\Qa.b\\E", "axb", None),
        ("\\x41\\x{42}\\103\\0", "ABC\0", Some("ABC\0")),
        ("\\d+", "\u{661}1", Some("1")),
        ("\\w+", "é", None),
        ("é", "café", Some("é")),
        (".", "\n", None),
        ("(?s).", "\n", Some("\n")),
        ("(?i)ABC", "xabc", Some("abc")),
        ("(?m)^b$", "a\nb\nc", Some("b")),
        ("(?#note)a", "a", Some("a")),
        ("a\\Kb", "ab", Some("b")),
        ("\\ca", "\u{1}", Some("\u{1}")),
        ("a\\-b\\/c\\_\\\"", "a-b/c_\"", Some("a-b/c_\"")),
        ("", "abc", Some("")),
    ] {
        check(pattern, subject, expected);
    }
}

#[test]
fn what_cannot_be_translated_is_refused() {
    for pattern in [
        "(", ")", "[a", "\\", "a**", "*a", "(?R)", "(?1)(a)", "(?|a|b)", "(*FAIL)", "\\p{L}", "\\X", "\\G", "\\u0041",
        "(?x) a", "(?U)a*", "\\x{100}", "(?P>a)", "\\g1",
    ] {
        assert!(Pattern::compile(pattern, Case::Sensitive).is_err(), "{pattern} should be refused");
    }
}

#[test]
fn case_folds_ascii_only() {
    let pattern = Pattern::compile("straße", Case::Insensitive).expect("valid");
    assert_eq!(pattern.is_match("STRAßE".as_bytes()), Ok(true));
    let pattern = Pattern::compile("é", Case::Insensitive).expect("valid");
    assert_eq!(pattern.is_match("É".as_bytes()), Ok(false));
}

#[test]
fn any_bytes_can_be_matched() {
    let pattern = Pattern::compile("^.{3}$", Case::Sensitive).expect("valid");
    assert_eq!(pattern.is_match(b"\xff\xfe\x80"), Ok(true));
    let pattern = Pattern::compile("(?=\\xff).\\x80", Case::Sensitive).expect("valid");
    assert_eq!(pattern.is_match(b"\xff\x80"), Ok(true));
}

#[test]
fn runaway_backtracking_is_a_fault() {
    let pattern = Pattern::compile("^(?=a)(a|aa)+\\1?$", Case::Sensitive).expect("valid");
    let subject = format!("{}b", "a".repeat(64));
    assert_eq!(pattern.is_match(subject.as_bytes()), Err(StepLimit));
}

#[test]
fn searching_goes_on_from_a_position() {
    let pattern = Pattern::compile("(b)(x)?", Case::Sensitive).expect("valid");
    let captures = pattern.captures_at(b"abab", 2).expect("in limit").expect("match");
    assert_eq!(captures.group(0), Some(3..4));
    assert_eq!(captures.group(1), Some(3..4));
    assert_eq!(captures.group(2), None);
    assert_eq!(captures.count(), 3);
    assert_eq!(pattern.captures_at(b"ab", 9), Ok(None));
}

proptest! {
    #[test]
    fn any_text_compiles_or_is_refused(pattern in ".{0,24}", subject in proptest::collection::vec(any::<u8>(), 0..32)) {
        if let Ok(pattern) = Pattern::compile(&pattern, Case::Insensitive) {
            let _ = pattern.captures(&subject);
        }
    }

    #[test]
    fn syntax_soup_compiles_or_is_refused(pattern in "[a-b\\\\\\[\\](){}?*+|^$.,:&~<>=!0-2dQEPk-]{0,16}", subject in "[ab\n-]{0,8}") {
        if let Ok(pattern) = Pattern::compile(&pattern, Case::Sensitive) {
            let _ = pattern.captures(subject.as_bytes());
        }
    }

    #[test]
    fn quoted_text_matches_itself(text in "[ -~]{0,16}") {
        prop_assume!(!text.contains("\\E"));
        let pattern = Pattern::compile(&format!("^\\Q{text}\\E$"), Case::Sensitive).expect("valid");
        prop_assert_eq!(pattern.is_match(text.as_bytes()), Ok(true));
    }
}
