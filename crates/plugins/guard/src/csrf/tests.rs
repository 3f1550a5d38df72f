use super::*;
use base64::{Engine, engine::general_purpose::STANDARD};

fn key(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[test]
fn a_token_is_valid_for_its_time() {
    let token = token::issue(0.5, 1000, &key("k"));
    for (desc, now, expires, with, expected) in [
        ("at once", 1000, 60, "k", true),
        ("in the last second", 1060, 60, "k", true),
        ("after it", 1061, 60, "k", false),
        ("for ever", u64::MAX / 2, 0, "k", true),
        ("for ever, below zero", u64::MAX / 2, -1, "k", true),
        ("issued later than now", 900, 60, "k", true),
        ("with another key", 1000, 60, "l", false),
        ("with no key", 1000, 60, "", false),
    ] {
        assert_eq!(token::is_valid(token.as_bytes(), now, expires, &key(with)), expected, "{desc}");
    }
}

#[test]
fn a_token_is_apisixs() {
    // The expected one was made with Python by the formula of apisix/plugins/csrf.lua.
    let text = STANDARD
        .decode(token::issue(0.724_216_275_738_56, 1_700_000_000, &key("edd1c9f034335f136f87ad84b625c8f1")))
        .unwrap();
    let expected = "{\"random\":0.72421627573856,\"expires\":1700000000,\"sign\":\"d7011f51d4a42e12d7a51c8000d53b92a3af82f19ec69892f51d5e4415510b1f\"}";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

#[test]
fn what_is_no_token_is_refused() {
    let valid = String::from_utf8(STANDARD.decode(token::issue(0.5, 1000, &key("k"))).unwrap()).unwrap();
    let is_valid = |text: &str| token::is_valid(STANDARD.encode(text).as_bytes(), 1000, 60, &key("k"));
    assert!(is_valid(&valid));
    for text in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        valid.replace("0.5", "\"0.5\""),
        valid.replace("0.5", "0.51"),
        valid.replace("1000", "1e400"),
        valid.replace("1000", "1001"),
        valid.replace("\"sign\":\"", "\"sign\":\"0"),
        format!("{valid}x"),
        format!("{}{valid}", "[".repeat(100_000)),
    ] {
        assert!(!is_valid(&text), "{}", text.get(..80).unwrap_or(&text));
    }
    for token in [&b""[..], b"=", b"!!!", b"\xff", b"eyJ"] {
        assert!(!token::is_valid(token, 1000, 60, &key("k")));
    }
    // As ngx.decode_base64, without padding too.
    let token = token::issue(0.25, 1000, &key("k"));
    assert!(token::is_valid(token.trim_end_matches('=').as_bytes(), 1000, 60, &key("k")));
}

#[test]
fn dates_are_those_of_nginx() {
    for (seconds, expected) in [
        (0, "Thu, 01-Jan-70 00:00:00 GMT"),
        (1_290_079_655, "Thu, 18-Nov-10 11:27:35 GMT"),
        (2_145_916_799, "Thu, 31-Dec-37 23:59:59 GMT"),
        (2_145_916_800, "Fri, 01-Jan-2038 00:00:00 GMT"),
        (i64::MAX, "Fri, 31-Dec-9999 23:59:59 GMT"),
        (i64::MIN, "Thu, 01-Jan-70 00:00:00 GMT"),
    ] {
        assert_eq!(cookie_time(seconds), expected);
    }
}
