use crate::Ctx;
use model::vars::{Lookup, Value, VarName};
use wire::ResponseHead;

/// Variables as a header filter sees them: those of the response are what its head says now.
#[allow(missing_debug_implementations)]
pub struct ResponseView<'a> {
    /// The request.
    pub cx: &'a Ctx,
    /// The response's head.
    pub head: &'a ResponseHead,
}

impl Lookup for ResponseView<'_> {
    fn var(&self, name: &VarName) -> Value<'_> {
        match name {
            VarName::Status => format!("{:03}", self.head.status).into(),
            VarName::SentHttp(header) => crate::vars::field(&self.head.fields, header),
            name => self.cx.var(name),
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing;
    use wire::Source;

    #[test]
    fn what_the_head_says_counts() {
        let cx = testing::ctx("GET", "/a", &[]);
        let mut head = ResponseHead::new(404, Source::Upstream);
        head.fields.push(b"X-A", b"1");
        let view = ResponseView { cx: &cx, head: &head };
        for (name, expected) in [("status", "404"), ("sent_http_x_a", "1"), ("sent_http_x_b", ""), ("uri", "/a")] {
            let mut text = Vec::new();
            view.var(&VarName::parse(name)).write_to(&mut text);
            assert_eq!(text, expected.as_bytes(), "{name}");
        }
    }
}
