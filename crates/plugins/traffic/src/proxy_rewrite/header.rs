//! Changes to the request's header.

use crate::header::{check_name, safe};
use model::{
    differences::{Compat, DifferenceId},
    pattern::split_digits,
    vars::{Lookup, Template, number::write_number},
};
use plugin::BuildError;
use serde_json::{Map, Value};
use wire::Fields;

/// What is added, set and removed, in this order.
#[derive(Debug, Default)]
pub(super) struct Headers {
    add: Vec<(String, Vec<Text>)>,
    set: Vec<(String, Vec<Text>)>,
    remove: Vec<String>,
}

/// A value with `$1` (a group of `regex_uri`) and `$name` in it.
#[derive(Debug)]
struct Text {
    parts: Vec<Part>,
    /// Whether what a group brings in is read as a template again, so that a client can choose variables: as in APISIX.
    rereads: bool,
}

#[derive(Debug)]
enum Part {
    Template { source: String, compiled: Template },
    Group(usize),
}

/// Rendered changes.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    add: Vec<(&'a str, Vec<Vec<u8>>)>,
    set: Vec<(&'a str, Vec<Vec<u8>>)>,
    remove: &'a [String],
}

impl Headers {
    pub(super) fn compile(written: &Map<String, Value>, compat: Compat) -> Result<Self, BuildError> {
        let rereads = !compat.is_safe(DifferenceId::CapturedTemplates);
        let part = |name: &str| written.get(name).and_then(Value::as_object);
        let remove = written.get("remove").and_then(Value::as_array);
        if part("add").is_none() && part("set").is_none() && remove.is_none() {
            return Ok(Self { set: compile_flat(written, rereads)?, ..Self::default() });
        }
        let compile = |part: Option<&Map<String, Value>>| {
            part.into_iter()
                .flatten()
                .map(|(name, value)| {
                    check_name(name)?;
                    let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    Ok((name.clone(), values.iter().map(|value| text(value, rereads)).collect::<Result<_, _>>()?))
                })
                .collect::<Result<Vec<_>, BuildError>>()
        };
        let remove: Vec<String> =
            remove.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        Ok(Self { add: compile(part("add"))?, set: compile(part("set"))?, remove })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.add.is_empty() && self.set.is_empty() && self.remove.is_empty()
    }

    pub(super) fn render<'a>(&'a self, captures: &[Vec<u8>], lookup: &dyn Lookup) -> Changes<'a> {
        let render = |lines: &'a [(String, Vec<Text>)]| {
            let values = |texts: &[Text]| texts.iter().map(|text| text.render(captures, lookup)).collect();
            lines.iter().map(|(name, texts)| (name.as_str(), values(texts))).collect()
        };
        Changes { add: render(&self.add), set: render(&self.set), remove: &self.remove }
    }
}

impl Changes<'_> {
    /// Makes the changes; gives back the value of `Host` when that is among them, since it is no field of its own.
    pub(super) fn apply(self, fields: &mut Fields) -> Option<String> {
        let mut host = None;
        let add = self.add.into_iter().map(|line| (false, line));
        let set = self.set.into_iter().map(|line| (true, line));
        for (is_set, (name, values)) in add.chain(set) {
            if name.eq_ignore_ascii_case("host") {
                host = values.into_iter().next_back().and_then(|value| String::from_utf8(value).ok());
                continue;
            }
            if is_set {
                fields.remove(name);
            }
            for value in values {
                fields.push(name.as_bytes(), &value);
            }
        }
        for name in self.remove {
            fields.remove(name);
        }
        host.filter(|host| !host.is_empty())
    }
}

/// The form `{ name: value }`, which APISIX checks more strictly than the newer one.
fn compile_flat(written: &Map<String, Value>, rereads: bool) -> Result<Vec<(String, Vec<Text>)>, BuildError> {
    written
        .iter()
        .map(|(name, value)| {
            check_name(name)?;
            if value.as_str().is_some_and(|text| !text.bytes().all(|b| matches!(b, b' '..=b'~'))) {
                return Err("invalid value character in header".to_owned().into());
            }
            Ok((name.clone(), vec![text(value, rereads)?]))
        })
        .collect()
}

fn text(value: &Value, rereads: bool) -> Result<Text, BuildError> {
    match value {
        Value::String(text) if text.bytes().any(|b| b != b'\t' && b.is_ascii_control()) => {
            Err("invalid value character in header".to_owned().into())
        }
        Value::String(text) => Ok(Text::compile(text, rereads)),
        Value::Number(number) => {
            let mut text = Vec::new();
            write_number(number.as_f64().unwrap_or_default(), &mut text);
            Ok(Text::compile(&String::from_utf8_lossy(&text), rereads))
        }
        _ => Err("invalid type as header value".to_owned().into()),
    }
}

impl Text {
    /// `$1`, `${1}`, and as APISIX reads them `$1}` and `${1`, are groups; a backslash before the `$` prevents it.
    fn compile(text: &str, rereads: bool) -> Self {
        let template = |source: String| Part::Template { compiled: Template::compile(&source), source };
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            let (digits, behind) = split_digits(after.strip_prefix('{').unwrap_or(after));
            let group = digits.parse().ok().filter(|_| !literal.ends_with('\\'));
            let Some(group) = group else {
                literal.push('$');
                rest = after;
                continue;
            };
            if !literal.is_empty() {
                parts.push(template(std::mem::take(&mut literal)));
            }
            parts.push(Part::Group(group));
            rest = behind.strip_prefix('}').unwrap_or(behind);
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(template(literal));
        }
        Self { parts, rereads }
    }

    fn render(&self, captures: &[Vec<u8>], lookup: &dyn Lookup) -> Vec<u8> {
        let captured = |index: usize| captures.get(index).map_or(&[][..], Vec::as_slice);
        let mut raw = Vec::new();
        for part in &self.parts {
            match part {
                Part::Template { source, .. } if self.rereads => raw.extend_from_slice(source.as_bytes()),
                Part::Template { compiled, .. } => drop(compiled.render(lookup, &mut raw)),
                Part::Group(index) => raw.extend_from_slice(captured(*index)),
            }
        }
        if self.rereads {
            // What is not text has no variables in it that APISIX could find.
            let source = String::from_utf8_lossy(&raw).into_owned();
            raw.clear();
            Template::compile(&source).render(lookup, &mut raw);
        }
        safe(&raw)
    }
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
                VarName::Uri => Var::text("/a\r\nX: y"),
                VarName::Host => Var::text("h"),
                _ => Var::Absent,
            }
        }
    }

    fn compile(written: &Value) -> Result<Headers, BuildError> {
        Headers::compile(written.as_object().unwrap(), Compat::default())
    }

    fn run(written: &Value) -> (String, Option<String>) {
        let mut fields: Fields = [("A", "1"), ("B", "2"), ("a", "3")].into_iter().collect();
        let captures = [b"whole".to_vec(), b"one".to_vec(), b"$host".to_vec()];
        let host = compile(written).unwrap().render(&captures, &Vars).apply(&mut fields);
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .collect();
        (lines.join(" "), host)
    }

    #[test]
    fn fields_are_added_set_and_removed() {
        for (desc, written, expected) in [
            ("add", json!({"add": {"A": "x"}}), "A=1 B=2 a=3 A=x"),
            ("add several", json!({"add": {"C": ["x", 1]}}), "A=1 B=2 a=3 C=x C=1"),
            ("set", json!({"set": {"a": "x"}}), "B=2 a=x"),
            ("set several", json!({"set": {"a": ["x", "y"]}}), "B=2 a=x a=y"),
            ("remove", json!({"remove": ["a", "none"]}), "B=2"),
            ("add, set, remove", json!({"remove": ["C"], "set": {"B": "x"}, "add": {"C": "y"}}), "A=1 a=3 B=x"),
            ("the old form sets", json!({"A": "x", "C": 1.5}), "B=2 A=x C=1.5"),
            ("an old header named add", json!({"add": "x"}), "A=1 B=2 a=3 add=x"),
            ("variables", json!({"set": {"C": "$host-${arg_x ?? d}-$nope"}}), "A=1 B=2 a=3 C=h-d-"),
            ("groups", json!({"set": {"C": "$1 ${1}-$9"}}), "A=1 B=2 a=3 C=one one-"),
            ("groups are not templates", json!({"set": {"C": "$2"}}), "A=1 B=2 a=3 C=$host"),
            ("text beyond ASCII", json!({"set": {"C": "\u{fc}"}}), "A=1 B=2 a=3 C=\u{fc}"),
            ("no injection", json!({"set": {"C": "$uri"}}), "A=1 B=2 a=3 C=/a%0D%0AX: y"),
        ] {
            assert_eq!(run(&written), (expected.to_owned(), None), "{desc}");
        }
    }

    #[test]
    fn host_is_the_authority() {
        assert_eq!(run(&json!({"set": {"HOST": "$1.test"}})).1.as_deref(), Some("one.test"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (written, error) in [
            (json!({"": "x"}), "invalid field length in header"),
            (json!({"a b": "x"}), "invalid field character in header"),
            (json!({"a": "x\r\ny: z"}), "invalid value character in header"),
            (json!({"a": "\u{fc}"}), "invalid value character in header"),
            (json!({"add": {"a\r": "x"}}), "invalid field character in header"),
            (json!({"set": {"a": ["x", "\n"]}}), "invalid value character in header"),
            (json!({"Content-Length": "1"}), "header \"Content-Length\" frames the message and cannot be set"),
            (
                json!({"set": {"Transfer-Encoding": "x"}}),
                "header \"Transfer-Encoding\" frames the message and cannot be set",
            ),
        ] {
            assert_eq!(compile(&written).unwrap_err().to_string(), error, "{written}");
        }
    }
}
