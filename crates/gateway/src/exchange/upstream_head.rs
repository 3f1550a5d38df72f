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
    let client = &*wire::Text::address(cx.client.ip());
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
