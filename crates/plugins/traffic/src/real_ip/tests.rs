use super::*;
use plugin::testing;

/// The client of a request from 127.0.0.1:50000.
fn run(source: &str, trusted: Option<&[&str]>, recursive: bool, target: &str, fields: &[(&str, &str)]) -> String {
    let shared = Arc::default();
    let null = serde_json::Value::Null;
    let compat = model::differences::Compat::default();
    let env = BuildEnv { shared: &shared, owner: "/routes/1", config: &null, attr: &null, compat };
    let trusted_addresses = trusted.map(|nets| nets.iter().map(|&net| net.to_owned()).collect());
    let plugin = RealIp::build(Config { source: source.to_owned(), trusted_addresses, recursive }, &env).unwrap();
    let mut cx = testing::ctx("GET", target, fields);
    assert!(testing::ready(plugin.rewrite(&mut cx)).is_ok());
    cx.client.0.to_string()
}

#[test]
fn addresses_are_taken_from_variables() {
    for (desc, target, expected) in [
        ("an address", "/?a=1.2.3.4", "1.2.3.4:0"),
        ("with a port", "/?a=1.2.3.4:80", "1.2.3.4:80"),
        ("with a port that is none", "/?a=1.2.3.4:0", "127.0.0.1:50000"),
        ("with a port that is too much", "/?a=1.2.3.4:65536", "127.0.0.1:50000"),
        ("IPv6", "/?a=2001:db8::1", "[2001:db8::1]:0"),
        ("IPv6 in brackets", "/?a=[::1]", "[::1]:0"),
        ("IPv6 with a port", "/?a=[::1]:80", "[::1]:80"),
        ("IPv4 in IPv6", "/?a=::ffff:1.2.3.4", "1.2.3.4:0"),
        ("a name", "/?a=localhost", "127.0.0.1:50000"),
        ("nothing", "/?a=", "127.0.0.1:50000"),
        ("not there", "/", "127.0.0.1:50000"),
    ] {
        assert_eq!(run("arg_a", None, false, target, &[]), expected, "{desc}");
    }
}

#[test]
fn only_trusted_peers_are_believed() {
    for (trusted, expected) in [
        (&["127.0.0.1"][..], "1.2.3.4:0"),
        (&["10.0.0.0/8", "127.0.0.0/24"], "1.2.3.4:0"),
        (&["10.0.0.0/8"], "127.0.0.1:50000"),
    ] {
        assert_eq!(run("arg_a", Some(trusted), false, "/?a=1.2.3.4", &[]), expected, "{trusted:?}");
    }
}

#[test]
fn chains_are_read_from_the_right() {
    let trusted = Some(&["127.0.0.1", "10.0.0.0/8"][..]);
    for (desc, lines, recursive, expected) in [
        ("one", &["1.1.1.1"][..], false, "1.1.1.1:0"),
        ("the last", &["1.1.1.1, 10.0.0.1"], false, "10.0.0.1:0"),
        ("the last that is not trusted", &["1.1.1.1,2.2.2.2 , 10.0.0.1"], true, "2.2.2.2:0"),
        ("all are trusted", &["10.0.0.2, 10.0.0.1"], true, "10.0.0.2:0"),
        ("the last line", &["1.1.1.1", "2.2.2.2, 10.0.0.1"], true, "2.2.2.2:0"),
        ("what is none is not trusted", &["1.1.1.1, x, 10.0.0.1"], true, "127.0.0.1:50000"),
        ("empty", &[""], true, "127.0.0.1:50000"),
    ] {
        let fields: Vec<_> = lines.iter().map(|&line| ("X-Forwarded-For", line)).collect();
        assert_eq!(run("http_x_forwarded_for", trusted, recursive, "/", &fields), expected, "{desc}");
    }
}
