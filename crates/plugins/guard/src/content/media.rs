//! What kind of body `Content-Type` announces.

use super::Unreadable;
use wire::Fields;

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

const AMBIGUOUS: Unreadable = Unreadable::new(400, "the content type of the request is ambiguous");
const CHARSET: Unreadable = Unreadable::new(415, "the charset of the request is not supported");

/// Kinds of bodies that can be looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Media {
    /// Pairs of a form.
    Form,
    /// Parts of a form, and what is between them.
    Multipart(Vec<u8>),
    /// Anything else, which is read as JSON.
    Json,
}

impl Media {
    /// What is announced, if all readers will understand the same.
    pub(crate) fn of(fields: &Fields) -> Result<Self, Unreadable> {
        let mut lines = fields.get_all("content-type");
        let (line, second) = (lines.next(), lines.next());
        let Some(line) = line else { return Ok(Self::Json) };
        if second.is_some() {
            return Err(AMBIGUOUS);
        }
        let text = std::str::from_utf8(line).map_err(|_| AMBIGUOUS)?;
        let (name, rest) = text.split_once(';').unwrap_or((text, ""));
        let (mut boundary, mut charset) = (None, None);
        for parameter in parameters(rest).ok_or(AMBIGUOUS)? {
            let place = match parameter.0.to_ascii_lowercase().as_str() {
                "boundary" => &mut boundary,
                "charset" => &mut charset,
                _ => continue,
            };
            if place.replace(parameter.1).is_some() {
                return Err(AMBIGUOUS);
            }
        }
        if charset.is_some_and(|name| !name.eq_ignore_ascii_case("utf-8") && !name.eq_ignore_ascii_case("us-ascii")) {
            return Err(CHARSET);
        }
        let name = name.trim();
        if name.eq_ignore_ascii_case(FORM) {
            return Ok(Self::Form);
        }
        if !name.eq_ignore_ascii_case(MULTIPART) {
            return Ok(Self::Json);
        }
        match boundary {
            Some(boundary) if is_boundary(&boundary) => Ok(Self::Multipart(boundary.into_bytes())),
            _ => Err(AMBIGUOUS),
        }
    }

    /// As APISIX does: what begins like a form is one, and anything else JSON. `None` where there are two fields.
    pub(crate) fn like_apisix(fields: &Fields) -> Option<Self> {
        let mut lines = fields.get_all("content-type");
        let (line, second) = (lines.next(), lines.next());
        let is_form = line
            .and_then(|line| line.get(..FORM.len()))
            .is_some_and(|start| start.eq_ignore_ascii_case(FORM.as_bytes()));
        second.is_none().then_some(if is_form { Self::Form } else { Self::Json })
    }
}

/// Names and values; `None` where they are malformed.
fn parameters(mut rest: &str) -> Option<Vec<(&str, String)>> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return Some(found);
        }
        let (name, after) = rest.split_once('=')?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = after.bytes().position(|b| !is_token(b)).unwrap_or(after.len());
                let (value, after) = after.split_at_checked(end)?;
                if value.is_empty() {
                    return None;
                }
                (value.to_owned(), after)
            }
        };
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(';') {
            return None;
        }
        found.push((name, value));
    }
}

/// A quoted text up to its end, and what is behind it.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// RFC 2046, section 5.1.1.
fn is_boundary(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    (1..=70).contains(&text.len()) && text.bytes().all(is_allowed) && !text.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_understood_in_one_way() {
        let multipart = |boundary: &str| Ok(Media::Multipart(boundary.as_bytes().to_vec()));
        for (lines, expected) in [
            (vec![], Ok(Media::Json)),
            (vec!["application/json"], Ok(Media::Json)),
            (vec!["application/json; charset=UTF-8"], Ok(Media::Json)),
            (vec!["application/json;charset=\"utf-8\" ; a=b"], Ok(Media::Json)),
            (vec!["application/json; charset=utf-16"], Err(CHARSET)),
            (vec!["application/json; charset=utf-7"], Err(CHARSET)),
            (vec!["application/json; charset=utf-8; charset=utf-16"], Err(AMBIGUOUS)),
            (vec!["application/json; charset"], Err(AMBIGUOUS)),
            (vec!["application/json, text/plain"], Ok(Media::Json)),
            (vec!["application/json", "application/json"], Err(AMBIGUOUS)),
            (vec!["Application/X-WWW-Form-Urlencoded"], Ok(Media::Form)),
            (vec!["application/x-www-form-urlencoded; charset=utf-8"], Ok(Media::Form)),
            (vec!["application/x-www-form-urlencodedx"], Ok(Media::Json)),
            (vec!["multipart/form-data; boundary=abc"], multipart("abc")),
            (vec!["multipart/form-data; BOUNDARY=\"a b\\c\""], multipart("a bc")),
            (vec!["multipart/form-data"], Err(AMBIGUOUS)),
            (vec!["multipart/form-data; boundary="], Err(AMBIGUOUS)),
            (vec!["multipart/form-data; boundary=\"a"], Err(AMBIGUOUS)),
            (vec!["multipart/form-data; boundary=a; boundary=b"], Err(AMBIGUOUS)),
            (vec!["multipart/form-data; boundary=\"a \""], Err(AMBIGUOUS)),
            (vec!["multipart/form-data; boundary=a b"], Err(AMBIGUOUS)),
            (vec!["multipart/form-data; boundary*=utf-8''a"], Err(AMBIGUOUS)),
        ] {
            let fields: Fields = lines.iter().map(|line| ("Content-Type", *line)).collect();
            assert_eq!(Media::of(&fields), expected, "{lines:?}");
        }
    }
}
