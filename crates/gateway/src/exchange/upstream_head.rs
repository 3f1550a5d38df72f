//! The head that goes upstream: built anew for each attempt.

use plugin::{Ctx, UpstreamHead};

/// Builds the head. `host` is what `pass_host` came to.
pub(super) fn build(cx: &Ctx, host: Vec<u8>, takes_trailers: bool) -> UpstreamHead {
    let request = &cx.request;
    // Room for the forwarding fields, so that they cost no second allocation.
    let mut fields = request.fields.clone_with_room(4, 128);
    addresses(cx, &mut fields);
    if takes_trailers {
        fields.push(b"TE", b"trailers");
    }
    UpstreamHead {
        method: cx.upstream.method.clone().unwrap_or_else(|| request.method.clone()),
        target: cx.upstream.target.clone().unwrap_or_else(|| request.target.clone()),
        host: cx.upstream.host.clone().map_or(host, String::into_bytes),
        fields,
    }
}

/// `X-Real-IP`, and the client's address at the end of `X-Forwarded-For`. The other forwarding fields were set when the request
/// arrived (see [`super::forwarded`]), so that plugins may change them.
fn addresses(cx: &Ctx, fields: &mut wire::Fields) {
    let client = &address(cx.client.ip());
    fields.set("X-Real-IP", client);
    if fields.contains("x-forwarded-for") {
        let mut chain = Vec::new();
        for value in fields.get_all("x-forwarded-for") {
            chain.extend_from_slice(value);
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(client);
        fields.set("X-Forwarded-For", &chain);
    } else {
        fields.set("X-Forwarded-For", client);
    }
}

/// The address as text; IPv4, which is most, without the machinery of formatting.
fn address(ip: std::net::IpAddr) -> smallvec::SmallVec<[u8; 46]> {
    let mut text = smallvec::SmallVec::new();
    match ip {
        std::net::IpAddr::V4(v4) => {
            for (i, octet) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    text.push(b'.');
                }
                decimal(&mut text, octet);
            }
        }
        std::net::IpAddr::V6(v6) => text.extend_from_slice(v6.to_string().as_bytes()),
    }
    text
}

fn decimal(text: &mut smallvec::SmallVec<[u8; 46]>, n: u8) {
    let mut divisor = 100;
    while divisor > 1 && n < divisor {
        divisor /= 10;
    }
    while divisor > 0 {
        text.push(b'0' + (n / divisor % 10));
        divisor /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_library_writes_them() {
        for ip in ["0.0.0.0", "127.0.0.1", "10.20.200.255", "100.9.10.99", "::1", "2001:db8::7", "::ffff:1.2.3.4"] {
            assert_eq!(address(ip.parse().unwrap()).as_slice(), ip.as_bytes());
        }
    }
}
