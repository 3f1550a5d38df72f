//! Text with variables in it.

use super::{BodyNeed, Lookup, Value, VarName};

/// A compiled `"text $var ${var} ${var ?? default}"`.
///
/// A `$` behind a backslash is not a variable; APISIX keeps the backslash, and so does this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable { name: VarName, default: Option<String> },
}

impl Template {
    /// Compiles a template; every text is one.
    pub fn compile(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        let mut escaped = false;
        while let Some(position) = rest.find('$') {
            let (before, at) = rest.split_at(position);
            literal.push_str(before);
            escaped = if before.is_empty() { escaped } else { before.ends_with('\\') };
            match reference(at).filter(|_| !escaped) {
                Some((variable, after)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(variable);
                    rest = after;
                }
                None => {
                    literal.push('$');
                    rest = at.get(1..).unwrap_or_default();
                }
            }
            // A backslash directly before the next `$` can only be found in the text between.
            escaped = false;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self { parts }
    }

    /// The whole text, when there is no variable in it.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text with its variables replaced; absent ones are empty.
    ///
    /// Returns how many variables had a value or a default.
    pub fn render(&self, lookup: &dyn Lookup, out: &mut Vec<u8>) -> usize {
        self.render_with(lookup, out, &|value, out| out.extend_from_slice(value))
    }

    /// Like [`Template::render`], passing each replaced value (not the text around) to `escape`.
    pub fn render_with(&self, lookup: &dyn Lookup, out: &mut Vec<u8>, escape: &dyn Fn(&[u8], &mut Vec<u8>)) -> usize {
        let mut resolved = 0;
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable { name, default } => match (lookup.var(name), default) {
                    (Value::Absent, None) => {}
                    (Value::Absent, Some(default)) => {
                        resolved += 1;
                        escape(default.as_bytes(), out);
                    }
                    (Value::Str(text), _) => {
                        resolved += 1;
                        escape(&text, out);
                    }
                    (value, _) => {
                        resolved += 1;
                        let mut text = Vec::new();
                        value.write_to(&mut text);
                        escape(&text, out);
                    }
                },
            }
        }
        resolved
    }

    /// The variables of the text.
    pub fn names(&self) -> impl Iterator<Item = &VarName> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Variable { name, .. } => Some(name),
        })
    }

    /// The request body that must have been read before rendering.
    pub fn body_need(&self) -> BodyNeed {
        self.names().map(VarName::body_need).fold(BodyNeed::NONE, BodyNeed::and)
    }
}

/// Reads the variable at the start of `text`, which starts with `$`.
fn reference(text: &str) -> Option<(Part, &str)> {
    let after_dollar = text.strip_prefix('$')?;
    if let Some(inside) = after_dollar.strip_prefix('{') {
        let (inside, after) = inside.split_once('}')?;
        if inside.is_empty() {
            return None;
        }
        let mut segments = inside.trim_ascii().split("??").map(str::trim_ascii);
        let name = VarName::parse(segments.next().unwrap_or_default());
        let default = segments.next().map(str::to_owned);
        return Some((Part::Variable { name, default }, after));
    }
    let end = after_dollar
        .bytes()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')))
        .unwrap_or(after_dollar.len());
    let (name, after) = after_dollar.split_at(end);
    (!name.is_empty()).then(|| {
        let name = VarName::parse(name);
        (Part::Variable { name, default: None }, after)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Request;

    impl Lookup for Request {
        fn var(&self, name: &VarName) -> Value<'_> {
            match name {
                VarName::Uri => Value::text("/a b"),
                VarName::Host => Value::text("h"),
                VarName::PostArgPath(path) if path == "n" => Value::Num(1.0),
                _ => Value::Absent,
            }
        }
    }

    #[test]
    fn variables_are_replaced() {
        for (template, expected, count) in [
            ("", "", 0),
            ("plain", "plain", 0),
            ("$uri", "/a b", 1),
            ("$host$uri", "h/a b", 2),
            ("${host}x", "hx", 1),
            ("${ host }", "h", 1),
            ("$host-x", "h-x", 1),
            ("$nope.", "", 0),
            ("$arg_x|", "|", 0),
            ("${arg_x ?? d e}", "d e", 1),
            ("${host??d}", "h", 1),
            ("${arg_x ?? a ?? b}", "a", 1),
            ("\\$host", "\\$host", 0),
            ("\\\\$host", "\\\\$host", 0),
            ("$$host", "$h", 1),
            ("$", "$", 0),
            ("${", "${", 0),
            ("${}", "${}", 0),
            ("${host", "${host", 0),
            ("$post_arg.n", "1", 1),
            ("é$host", "éh", 1),
        ] {
            let mut out = Vec::new();
            let resolved = Template::compile(template).render(&Request, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{template}");
            assert_eq!(resolved, count, "{template}");
        }
    }

    #[test]
    fn only_values_are_escaped() {
        let mut out = Vec::new();
        Template::compile("/ $uri").render_with(&Request, &mut out, &|value, out| {
            out.extend(value.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }));
        });
        assert_eq!(out, b"/ /a+b");
    }

    #[test]
    fn literals_are_recognised() {
        assert_eq!(Template::compile("a\\$b").literal(), Some("a\\$b"));
        assert_eq!(Template::compile("").literal(), Some(""));
        assert_eq!(Template::compile("$a").literal(), None);
        assert!(Template::compile("$post_arg_x").body_need().arguments);
    }

    proptest! {
        #[test]
        fn any_text_is_a_template(text in "[$ {}a-z?\\\\é.]{0,24}") {
            let mut out = Vec::new();
            Template::compile(&text).render(&Request, &mut out);
        }

        #[test]
        fn text_without_dollar_is_literal(text in "[^$]{0,24}") {
            let template = Template::compile(&text);
            prop_assert_eq!(template.literal(), Some(text.as_str()));
        }
    }
}
