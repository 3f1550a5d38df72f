//! `X-Forwarded-*` as a request arrives: what a client may say of how it came here.

use super::Options;
use plugin::Request;
use wire::ConnectionFacts;

/// Sets `X-Forwarded-Proto`, `-Host` and `-Port` to what is seen here, and removes `Forwarded`, before any plugin runs: a plugin's own
/// value goes upstream. A trusted peer's values stay; the chain in `X-Forwarded-For` stays unless there are trusted peers and this is none.
pub(super) fn arrive(request: &mut Request, connection: &ConnectionFacts, options: &Options) {
    let is_trusted =
        options.trusted_addresses.as_ref().map(|nets| nets.iter().any(|net| net.contains(&connection.peer.0.ip())));
    let fields = &mut request.fields;
    if is_trusted == Some(false) {
        fields.remove("x-forwarded-for");
    }
    let keeps = |value: Option<&[u8]>| is_trusted == Some(true) && value.is_some_and(|value| !value.is_empty());
    if !keeps(fields.get("forwarded")) {
        fields.remove("forwarded");
    }
    if !keeps(fields.get("x-forwarded-proto")) {
        fields.set("X-Forwarded-Proto", request.scheme.as_bytes());
    }
    if !keeps(fields.get("x-forwarded-host")) {
        fields.set("X-Forwarded-Host", &request.authority);
    }
    if !keeps(fields.get("x-forwarded-port")) {
        match port_of(&request.authority) {
            Some(port) => fields.set("X-Forwarded-Port", port),
            None => fields.set("X-Forwarded-Port", &wire::Text::decimal(u64::from(connection.local.port()))),
        }
    }
}

/// The digits behind the last colon, if there is nothing else behind it.
fn port_of(authority: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b':', authority)?;
    authority.get(at + 1..).filter(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_what_stands_behind_the_last_colon() {
        for (authority, port) in
            [("a:81", Some("81")), ("a", None), ("[::1]", None), ("[::1]:8", Some("8")), ("a:", None), ("", None)]
        {
            assert_eq!(port_of(authority.as_bytes()), port.map(str::as_bytes), "{authority}");
        }
    }
}
