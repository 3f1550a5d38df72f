//! Header fields of the configuration whose values may have variables in them.

use model::vars::{Lookup, Template, number::write_number};
use plugin::BuildError;
use serde_json::Value;
use wire::Fields;

/// A field with a value that is made for each request.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) name: String,
    value: Template,
}

impl Header {
    /// A field of a response. nginx writes `-` where one is set by a name with `_`.
    pub(crate) fn of_response(name: &str, value: &Value) -> Result<Self, BuildError> {
        let name = name.replace('_', "-");
        check_name(&name)?;
        Ok(Self { name, value: template(value)? })
    }

    /// A field of a request.
    pub(crate) fn of_request(name: &str, value: &Value) -> Result<Self, BuildError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), value: template(value)? })
    }

    /// The value, fit to be sent.
    pub(crate) fn render(&self, lookup: &dyn Lookup) -> Vec<u8> {
        let mut raw = Vec::new();
        self.value.render(lookup, &mut raw);
        safe(&raw)
    }
}

/// Refuses names that are none, and those that frame the message.
pub(crate) fn check_name(name: &str) -> Result<(), BuildError> {
    if name.is_empty() {
        return Err("invalid field length in header".to_owned().into());
    }
    if !Fields::is_name(name.as_bytes()) {
        return Err("invalid field character in header".to_owned().into());
    }
    if name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding") {
        return Err(format!("header \"{name}\" frames the message and cannot be set").into());
    }
    Ok(())
}

fn template(value: &Value) -> Result<Template, BuildError> {
    match value {
        Value::String(text) if text.bytes().any(|b| b != b'\t' && b.is_ascii_control()) => {
            Err("invalid value character in header".to_owned().into())
        }
        Value::String(text) => Ok(Template::compile(text)),
        Value::Number(number) => {
            let mut text = Vec::new();
            write_number(number.as_f64().unwrap_or_default(), &mut text);
            Ok(Template::compile(&String::from_utf8_lossy(&text)))
        }
        _ => Err("invalid type as header value".to_owned().into()),
    }
}

/// Control bytes are percent-encoded, as nginx does with values that are set; spaces at the ends do not count.
pub(crate) fn safe(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for &b in value.trim_ascii() {
        if Fields::is_value(&[b'x', b, b'x']) {
            out.push(b);
        } else {
            out.extend_from_slice(format!("%{b:02X}").as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::vars::{Value as Var, VarName};
    use serde_json::json;

    struct Vars;

    impl Lookup for Vars {
        fn var(&self, name: &VarName) -> Var<'_> {
            match name {
                VarName::Uri => Var::text(" a\r\nX: y "),
                _ => Var::Absent,
            }
        }
    }

    #[test]
    fn values_cannot_write_lines() {
        let header = Header::of_response("X_A", &json!("$uri")).unwrap();
        assert_eq!((header.name.as_str(), header.render(&Vars)), ("X-A", b"a%0D%0AX: y".to_vec()));
        assert_eq!(Header::of_response("X_A", &json!(1.5)).unwrap().render(&Vars), b"1.5");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (name, value, error) in [
            ("", json!("x"), "invalid field length in header"),
            ("a b", json!("x"), "invalid field character in header"),
            ("a", json!("x\r\ny: z"), "invalid value character in header"),
            ("a", json!([1]), "invalid type as header value"),
            ("content_length", json!("1"), "header \"content-length\" frames the message and cannot be set"),
        ] {
            assert_eq!(Header::of_response(name, &value).unwrap_err().to_string(), error, "{name} {value}");
        }
    }
}
