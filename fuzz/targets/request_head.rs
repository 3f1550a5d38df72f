//! A request head that we accept means the same to hyper: method, target, host, and where the body ends.
#![no_main]

use engine::{
    Limits,
    h1::{Framing, parse},
};
use wire::RequestHead;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(Some(end)) = parse::find_end(data, &mut 0) else { return };
    let (bytes, rest) = data.split_at(end);
    // Where the end is does not depend on how the bytes arrive.
    let mut scanned = 0;
    let found =
        (1..=data.len()).find_map(|n| parse::find_end(&data[..n], &mut scanned).expect("refused in pieces only"));
    assert_eq!(found, Some(end), "found elsewhere in pieces");

    let mut head = RequestHead::default();
    if parse::request(bytes, &Limits::default(), &mut head).is_err() {
        return;
    }
    let Ok(framing) = Framing::of_request(&head.fields, head.version) else { return };

    // A few bytes are not allowed in a target by RFC 3986, but real clients send them and nginx takes them. hyper does not.
    let line = bytes.iter().position(|&b| b == b'\r').unwrap_or_default();
    let tolerate =
        |b: &u8| if matches!(b, b'"' | b'{' | b'}' | b'<' | b'>' | b'`' | b'^' | b'\\' | b'|') { b'_' } else { *b };
    let input: Vec<u8> =
        bytes[..line].iter().map(tolerate).chain(bytes[line..].iter().copied()).chain(rest.iter().copied()).collect();
    let target: Vec<u8> = head.target.iter().map(tolerate).collect();

    let Some(seen) = oracle::request(&input) else {
        // RFC 3986 allows percent-encoded octets in a host; hyper does not.
        assert!(is_percent_encoded(&head.authority), "hyper refuses what we accept");
        return;
    };
    let mut parts = target.splitn(2, |&b| b == b'?');
    let method: Vec<u8> = head.method.as_str().bytes().map(|b| tolerate(&b)).collect();
    assert_eq!(seen.method.as_bytes(), &method[..]);
    assert_eq!(seen.path.as_bytes(), parts.next().unwrap_or_default());
    assert_eq!(seen.query.as_deref().map(str::as_bytes), parts.next());
    let authority: Vec<u8> = head.authority.iter().map(tolerate).collect();
    match (&seen.authority, &seen.get_all("host")[..]) {
        (Some(found), _) => assert_eq!(found.as_bytes(), &authority[..]),
        (None, [host]) => assert_eq!(*host, &head.authority[..]),
        (None, hosts) => assert!(hosts.is_empty() && head.authority.is_empty()),
    }
    match framing {
        Framing::None => assert_eq!(seen.length, Some(0)),
        Framing::Length(n) => {
            assert_eq!(seen.length, Some(n));
            if let Some(body) = usize::try_from(n).ok().and_then(|n| rest.get(..n)) {
                assert_eq!(seen.body.as_deref(), Some(body));
            }
        }
        Framing::Chunked => {
            assert_eq!(seen.length, None);
            if let Ok(Some((body, _))) = oracle::decode([rest]) {
                assert_eq!(seen.body.as_deref(), Some(&body[..]));
            }
        }
        Framing::UntilClose => panic!("a request without an end"),
    }
});

/// Whether there are percent signs, and each begins an octet.
fn is_percent_encoded(text: &[u8]) -> bool {
    let mut parts = text.split(|&b| b == b'%').skip(1).peekable();
    parts.peek().is_some()
        && parts.all(|part| part.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}
