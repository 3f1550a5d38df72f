//! The head that goes upstream: built anew for each attempt.

use super::Options;
use plugin::{Ctx, UpstreamHead};
use std::io::Write;

/// Builds the head. `host` is what `pass_host` came to.
pub(super) fn build(cx: &Ctx, host: Vec<u8>, takes_trailers: bool, options: &Options) -> UpstreamHead {
    let request = &cx.request;
    let mut fields = request.fields.clone();
    forwarded(cx, &mut fields, options);
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

/// `X-Real-IP` and `X-Forwarded-*` as APISIX sends them.
fn forwarded(cx: &Ctx, fields: &mut wire::Fields, options: &Options) {
    let mut text = [0u8; 64];
    let client = render(&mut text, cx.client.ip());
    fields.set("X-Real-IP", client);
    let is_trusted =
        options.trusted_addresses.as_ref().map(|nets| nets.iter().any(|net| net.contains(&cx.peer.0.ip())));
    let keeps_own = is_trusted == Some(true);
    if fields.contains("x-forwarded-for") && is_trusted != Some(false) {
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
    fields.remove("forwarded");
    if !(keeps_own && fields.contains("x-forwarded-proto")) {
        fields.set("X-Forwarded-Proto", cx.request.scheme.as_bytes());
    }
    if !(keeps_own && fields.contains("x-forwarded-host")) {
        fields.set("X-Forwarded-Host", cx.request.host.as_bytes());
    }
    if !(keeps_own && fields.contains("x-forwarded-port")) {
        let port = render(&mut text, cx.local.port());
        fields.set("X-Forwarded-Port", port);
    }
}

fn render(buf: &mut [u8; 64], value: impl std::fmt::Display) -> &[u8] {
    let mut cursor = std::io::Cursor::new(&mut buf[..]);
    // The longest address has 45 characters.
    let _ = write!(cursor, "{value}");
    let n = usize::try_from(cursor.position()).unwrap_or_default();
    buf.get(..n).unwrap_or_default()
}
