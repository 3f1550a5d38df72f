//! Arguments in a body of the type `multipart/form-data` (RFC 7578).

use memchr::memmem;
use model::vars::Value;
use wire::Fields;

const MEDIA_TYPE: &str = "multipart/form-data";

pub(super) fn is_multipart(fields: &Fields) -> bool {
    fields
        .get("content-type")
        .and_then(|value| value.get(..MEDIA_TYPE.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()))
}

/// The part of this name; of several the last, as APISIX has it.
pub(super) fn arg<'a>(fields: &Fields, body: &[u8], name: &str) -> Value<'a> {
    let Some(boundary) = fields.get("content-type").and_then(|value| parameter(value, b"boundary")) else {
        return Value::Absent;
    };
    let found = Parts::new(body, &boundary).filter(|part| part.name == name.as_bytes()).last();
    found.map(|part| part.content.to_vec()).into()
}

struct Part<'a> {
    name: Vec<u8>,
    content: &'a [u8],
}

/// Complete parts with a name, up to the end or to the first that is malformed.
struct Parts<'a> {
    rest: &'a [u8],
    delimiter: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn new(body: &'a [u8], boundary: &[u8]) -> Self {
        let delimiter = [b"\r\n--", boundary].concat();
        let dashed = delimiter.get(2..).unwrap_or_default();
        // A delimiter begins a line; before the first one there may be text that nobody reads.
        let rest = match body.strip_prefix(dashed) {
            Some(rest) => rest,
            None => after(body, &delimiter).map_or(&[][..], |(_, rest)| rest),
        };
        Self { rest, delimiter }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        loop {
            // `--` behind the delimiter ends the body; white space may stand there otherwise.
            let (padding, part) = after(self.rest, b"\r\n")?;
            if !padding.iter().all(|b| matches!(b, b' ' | b'\t')) {
                return None;
            }
            // A part without fields begins with the empty line.
            let (head, body) = match part.strip_prefix(b"\r\n") {
                Some(body) => (&[][..], body),
                None => after(part, b"\r\n\r\n")?,
            };
            let (content, rest) = match body.strip_prefix(self.delimiter.get(2..)?) {
                Some(rest) => (&[][..], rest),
                None => after(body, &self.delimiter)?,
            };
            self.rest = rest;
            if let Some(name) = name(head) {
                return Some(Part { name, content });
            }
        }
    }
}

/// What is before and what is behind a mark.
fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memmem::find(text, mark)?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

fn name(head: &[u8]) -> Option<Vec<u8>> {
    head.split(|&b| b == b'\n').find_map(|line| {
        let (field, value) = line.split_at_checked(line.iter().position(|&b| b == b':')?)?;
        let is_it = field.trim_ascii().eq_ignore_ascii_case(b"content-disposition");
        is_it.then(|| parameter(value.get(1..)?.trim_ascii(), b"name")).flatten()
    })
}

/// A parameter of a field's value, `value; name="text"`, without its quotes.
fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut rest = value.get(value.iter().position(|&b| b == b';')?..)?;
    while let Some(text) = rest.strip_prefix(b";") {
        let equals = text.iter().position(|&b| b == b'=')?;
        let (key, given) = (text.get(..equals)?.trim_ascii(), text.get(equals + 1..)?.trim_ascii_start());
        let mut out = Vec::new();
        rest = match given.strip_prefix(b"\"") {
            None => {
                let end = given.iter().position(|&b| b == b';').unwrap_or(given.len());
                out.extend_from_slice(given.get(..end)?.trim_ascii());
                given.get(end..)?
            }
            Some(quoted) => {
                let mut bytes = quoted.iter().enumerate();
                let end = loop {
                    match bytes.next()? {
                        (at, b'"') => break at,
                        (_, b'\\') => out.push(*bytes.next()?.1),
                        (_, b) => out.push(*b),
                    }
                };
                quoted.get(end + 1..)?.trim_ascii_start()
            }
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(out);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: &str, body: &str, name: &str) -> Option<String> {
        let fields: Fields = [("Content-Type", kind)].into_iter().collect();
        assert!(is_multipart(&fields));
        let mut out = Vec::new();
        let value = arg(&fields, body.as_bytes(), name);
        value.write_to(&mut out);
        (!value.is_absent()).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn parts_are_found_by_name() {
        let body = "preamble\r\n--x-y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n\
                    --x-y  \r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION: form-data; filename=\"a\"; name=f\r\n\r\n\r\n\
                    --x-y\r\nContent-Disposition: form-data; name=\"q\\\"q\"\r\n\r\nquoted\r\n\
                    --x-y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nlast --x-y\r\n\
                    --x-y\r\n\r\nnameless\r\n--x-y--\r\nepilogue";
        for kind in ["multipart/form-data; boundary=x-y", "Multipart/Form-Data; charset=u; Boundary=\"x-y\""] {
            for (name, value) in
                [("a", Some("last --x-y")), ("f", Some("")), ("q\"q", Some("quoted")), ("b", None), ("", None)]
            {
                assert_eq!(text(kind, body, name).as_deref(), value, "{kind} {name}");
            }
        }
    }

    #[test]
    fn what_is_malformed_has_no_arguments() {
        let part = "\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1";
        for (kind, body) in [
            ("multipart/form-data", format!("--x{part}\r\n--x--")),
            ("multipart/form-data; boundary", format!("--x{part}\r\n--x--")),
            ("multipart/form-data; boundary=\"x", format!("--x{part}\r\n--x--")),
            ("multipart/form-data; boundary=y", format!("--x{part}\r\n--x--")),
            ("multipart/form-data; boundary=x", format!("--x{part}")),
            ("multipart/form-data; boundary=x", format!("--xx{part}\r\n--x--")),
            ("multipart/form-data; boundary=x", format!("--x--{part}\r\n--x--")),
            ("multipart/form-data; boundary=x", String::new()),
        ] {
            assert_eq!(text(kind, &body, "a"), None, "{kind} {body}");
        }
    }
}
