//! Parts of a form (RFC 7578) as an object. Only what all readers take apart in the same way is taken.

use super::form::add;
use memchr::memmem;
use serde_json::{Map, Value};

/// More parts than a form has.
const MOST_PARTS: usize = 1000;

/// Each name with its content, or a list where it comes several times. What is no UTF-8 in the content of a file is replaced.
///
/// # Errors
/// What is malformed, or could be read in two ways.
pub(crate) fn parse(body: &[u8], boundary: &[u8]) -> Result<Value, &'static str> {
    let delimiter = [b"\r\n--", boundary].concat();
    let mut rest = delimiter.get(2..).and_then(|first| body.strip_prefix(first)).ok_or("text before the first part")?;
    let mut object = Map::new();
    for _ in 0..MOST_PARTS {
        if let Some(end) = rest.strip_prefix(b"--") {
            return if matches!(end, b"" | b"\r\n") { Ok(object.into()) } else { Err("text behind the last part") };
        }
        let part = rest.strip_prefix(b"\r\n").ok_or("a line that only begins like a boundary")?;
        let end = memmem::find(part, &delimiter).ok_or("no end of the last part")?;
        let (part, after) = part.split_at_checked(end).unwrap_or_default();
        rest = after.get(delimiter.len()..).unwrap_or_default();
        let split = memmem::find(part, b"\r\n\r\n").ok_or("a part without a head")?;
        let head = Head::parse(part.get(..split).unwrap_or_default())?;
        let content = part.get(split + 4..).unwrap_or_default();
        let text = match std::str::from_utf8(content) {
            Ok(text) => text.to_owned(),
            Err(_) if head.is_file => String::from_utf8_lossy(content).into_owned(),
            Err(_) => return Err("a part that is no UTF-8"),
        };
        add(&mut object, head.name, Value::String(text));
    }
    Err("too many parts")
}

/// What the head of a part says.
struct Head {
    name: String,
    is_file: bool,
}

impl Head {
    fn parse(head: &[u8]) -> Result<Self, &'static str> {
        let head = std::str::from_utf8(head).map_err(|_| "a head of a part that is no UTF-8")?;
        let mut found = Vec::new();
        for line in head.split("\r\n") {
            if line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) {
                return Err("a head of a part with a bare or folded line");
            }
            let (name, value) = line.split_once(':').ok_or("a head of a part without a name")?;
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" => found.push(Self::disposition(value.trim())?),
                "content-type"
                    if value.trim().get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/")) =>
                {
                    return Err("parts within a part");
                }
                "content-transfer-encoding" => return Err("a part with a transfer encoding"),
                _ => {}
            }
        }
        let (first, second) = (found.pop(), found.pop());
        first.filter(|_| second.is_none()).ok_or("a part without a name, or with two")
    }

    /// `form-data; name="a"; filename="b"`
    fn disposition(value: &str) -> Result<Self, &'static str> {
        let rest = value.get(..9).filter(|kind| kind.eq_ignore_ascii_case("form-data")).and_then(|_| value.get(9..));
        let mut rest = rest.ok_or("a part that is not of a form")?.trim_start();
        let (mut name, mut filename) = (None, None);
        while !rest.is_empty() {
            let parameter = rest.strip_prefix(';').ok_or("a malformed disposition")?.trim_start();
            let (key, after) = parameter.split_once("=\"").ok_or("a disposition that is not quoted")?;
            let (text, after) = after.split_once('"').ok_or("a malformed disposition")?;
            if text.contains('\\') {
                return Err("a backslash in a name");
            }
            let place = match key.to_ascii_lowercase().as_str() {
                "name" => &mut name,
                "filename" => &mut filename,
                // `filename*` would be another name for some readers.
                _ => return Err("a disposition with other parameters"),
            };
            if place.replace(text).is_some() {
                return Err("a part with two names");
            }
            rest = after.trim_start();
        }
        if filename.is_some_and(|name| name.contains('/') || name == "..") {
            return Err("a file name with a path");
        }
        let name = name.filter(|name| !name.is_empty()).ok_or("a part without a name")?;
        Ok(Self { name: name.to_owned(), is_file: filename.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn part(head: &str, content: &str) -> String {
        format!("--B\r\n{head}\r\n\r\n{content}\r\n")
    }

    fn named(name: &str, content: &str) -> String {
        part(&format!("Content-Disposition: form-data; name=\"{name}\""), content)
    }

    #[test]
    fn parts_are_an_object() {
        let file = part(
            "content-disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain",
            "x\r\n--C\r\ny",
        );
        let body = format!("{}{}{}{file}--B--\r\n", named("a", "1"), named("a", ""), named("\u{e9}", "2"));
        assert_eq!(parse(body.as_bytes(), b"B"), Ok(json!({"a": ["1", ""], "\u{e9}": "2", "f": "x\r\n--C\r\ny"})));
        assert_eq!(parse(b"--B--", b"B"), Ok(json!({})));
        let binary = [
            part("Content-Disposition: form-data; name=\"f\"; filename=\"a\"", "").trim_end().as_bytes(),
            b"\r\n\r\n\xff\r\n--B--",
        ]
        .concat();
        assert_eq!(parse(&binary, b"B"), Ok(json!({"f": "\u{fffd}"})));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let end = |part: String| format!("{part}--B--\r\n");
        for (desc, body) in [
            ("nothing", String::new()),
            ("a preamble", format!("x\r\n{}", end(named("a", "1")))),
            ("an epilogue", format!("{}x", end(named("a", "1")))),
            ("no end", named("a", "1")),
            ("half an end", format!("{}--B-", named("a", "1"))),
            ("a longer boundary", end(named("a", "1").replace("--B", "--BB"))),
            ("white space behind a boundary", end(named("a", "1").replace("--B\r\n", "--B \r\n"))),
            ("bare line feeds", end(named("a", "1")).replace("\r\n", "\n")),
            ("no head", end("--B\r\n\r\n1\r\n".to_owned())),
            ("no name", end(part("Content-Type: text/plain", "1"))),
            ("an empty name", end(named("", "1"))),
            ("two names", end(part("Content-Disposition: form-data; name=\"a\"; name=\"b\"", "1"))),
            (
                "two dispositions",
                end(part(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
                    "1",
                )),
            ),
            ("an unquoted name", end(part("Content-Disposition: form-data; name=a", "1"))),
            ("an escaped quote", end(part("Content-Disposition: form-data; name=\"a\\\"b\"", "1"))),
            ("an extended file name", end(part("Content-Disposition: form-data; name=\"a\"; filename*=utf-8''b", "1"))),
            ("a path", end(part("Content-Disposition: form-data; name=\"a\"; filename=\"../b\"", "1"))),
            ("a path of Windows", end(part("Content-Disposition: form-data; name=\"a\"; filename=\"..\\b\"", "1"))),
            ("a folded line", end(part("Content-Disposition: form-data;\r\n name=\"a\"", "1"))),
            (
                "parts within",
                end(part(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: multipart/mixed; boundary=B2",
                    "1",
                )),
            ),
            (
                "a transfer encoding",
                end(part("Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64", "MQ==")),
            ),
            ("an attachment", end(part("Content-Disposition: attachment; name=\"a\"", "1"))),
            ("a NUL", end(part("Content-Disposition: form-data; name=\"a\0b\"", "1"))),
            ("too many", end(named("a", "1").repeat(MOST_PARTS + 1))),
        ] {
            assert!(parse(body.as_bytes(), b"B").is_err(), "{desc}");
        }
        let binary = [named("a", "").trim_end().as_bytes(), b"\r\n\r\n\xff\r\n--B--"].concat();
        assert!(parse(&binary, b"B").is_err());
    }
}
