//! What is malformed or ambiguous is refused, and nothing more is read from its connection.

use e2e::{Gateway, PATIENCE, Upstream};

#[test]
fn a_refused_target_closes_the_connection() {
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    for target in [
        "/a%2f..%2fb",
        "/a%2Fb/../c",
        "/%2e%2e%2fb",
        "/../a",
        "/%zz",
        "/%",
        "/a%00b",
        "/a\\b",
        "/a%5cb",
        "/caf\u{e9}",
        "http://a.example/a%2f..%2fb",
    ] {
        let before = upstream.requests().len();
        let mut client = gateway.client();
        // The second request must not be looked at: whoever reads the first one differently may see another second one.
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\nGET /second HTTP/1.1\r\nHost: a.example\r\n\r\n"
        ));
        let answer = client.response().unwrap_or_else(|| panic!("{target}: no answer"));
        assert_eq!((answer.status(), answer.get("connection")), (400, Some("close")), "{target}");
        assert_eq!(client.rest(), b"", "{target}");
        assert_eq!(upstream.requests().len(), before, "{target}");
    }
}

#[test]
fn a_refused_target_closes_the_admin_api_too() {
    let gateway = Gateway::with_one_worker();
    let mut client = e2e::Client::connect(gateway.admin);
    let answer = client.ask("GET /apisix/admin/%zz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status(), answer.get("connection")), (400, Some("close")));
    assert!(client.is_closed_within(PATIENCE));
}

#[test]
fn the_server_as_a_whole_has_no_options() {
    // RFC 9110, section 9.3.7, is about what a server does; nginx, and so APISIX, refuses it.
    let upstream = Upstream::hello();
    let gateway = Gateway::before(&upstream);
    for request in ["OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "OPTIONS * HTTP/1.0\r\n\r\n"] {
        let mut client = gateway.client();
        let answer = client.ask(request);
        assert_eq!((answer.status(), answer.get("connection")), (400, Some("close")), "{request}");
        assert!(client.is_closed_within(PATIENCE), "{request}");
    }
    assert_eq!(upstream.connections(), 0);
    // Of one resource, its upstream says.
    let answer = gateway.client().ask("OPTIONS /a HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.requests()[0].start, "OPTIONS /a HTTP/1.1");
}
