//! What an operation may answer.

use super::{
    Wrong,
    body::{Body, Judged, Look},
    parameter::Parameter,
    spec::{Checked, Invalid, Part},
};
use serde_json::Value;
use wire::Fields;

/// The answers of an operation.
pub(super) struct Answers {
    exact: Vec<(u16, Answer)>,
    /// By the first digit.
    ranges: Vec<(u16, Answer)>,
    default: Option<Answer>,
}

/// One of them.
pub(super) struct Answer {
    headers: Vec<Parameter>,
    body: Body,
}

impl Answers {
    pub(super) fn compile<'d>(part: &mut Part<'d>, operation: &'d Value, at: &str) -> Result<Self, Invalid> {
        let (mut exact, mut ranges, mut default) = (Vec::new(), Vec::new(), None);
        for (status, source) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
            if status.starts_with("x-") {
                continue;
            }
            let at = format!("{at}/responses/{status}");
            let answer = Answer::compile(part, part.resolve(source, &at)?, &at)?;
            match status.as_bytes() {
                b"default" => default = Some(answer),
                [digit @ b'1'..=b'5', b'X' | b'x', b'X' | b'x'] => ranges.push((u16::from(digit - b'0'), answer)),
                [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => exact.push((status.parse().unwrap_or_default(), answer)),
                _ => return Err(Invalid::new(&at, "is no status, no range such as 2XX and not default")),
            }
        }
        Ok(Self { exact, ranges, default })
    }

    /// What an answer of this status has to be.
    pub(super) fn find(&self, status: u16) -> Option<&Answer> {
        let of = |list: &'_ [(u16, Answer)], number| list.iter().position(|(known, _)| *known == number);
        if let Some(at) = of(&self.exact, status) {
            return self.exact.get(at).map(|(_, answer)| answer);
        }
        let range = of(&self.ranges, status / 100).and_then(|at| self.ranges.get(at)).map(|(_, answer)| answer);
        range.or(self.default.as_ref())
    }
}

impl Answer {
    fn compile<'d>(part: &mut Part<'d>, source: &'d Value, at: &str) -> Result<Self, Invalid> {
        let mut headers = Vec::new();
        for (name, header) in source.get("headers").and_then(Value::as_object).into_iter().flatten() {
            // It is said by `content`.
            if name.eq_ignore_ascii_case("content-type") {
                continue;
            }
            let at = format!("{at}/headers/{}", super::convert::escape(name));
            headers.push(Parameter::header(part, name, part.resolve(header, &at)?, &at)?);
        }
        Ok(Self { headers, body: Body::compile(part, source, at)? })
    }

    /// Checks the headers.
    pub(super) fn check_headers(&self, checked: &Checked, fields: &Fields) -> Result<(), Wrong> {
        self.headers.iter().try_for_each(|header| header.check_header(&checked.schemas, fields))
    }

    /// Whether its body has to be there to be judged; `None` where it is of no kind that there may be.
    pub(super) fn is_read(&self, fields: &Fields) -> Option<bool> {
        self.body.is_read(fields)
    }

    /// Judges a body that is not empty.
    pub(super) fn judge(&self, checked: &Checked, fields: &Fields, bytes: &[u8], look: Look) -> Judged {
        self.body.judge(checked, fields, bytes, look)
    }

    /// Whether it says that there is a body.
    pub(super) fn has_body(&self) -> bool {
        self.body.has_media()
    }
}
