//! What gzip and brotli have in common: whether a response is to be compressed, and what its head says then.

use serde::Deserialize;
use wire::{Fields, ResponseHead, Version};

/// `types` as configured.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Types {
    /// These.
    Listed(Vec<String>),
    /// This one, or all where it is `"*"`.
    One(String),
}

/// Which responses are compressed.
#[derive(Debug)]
pub(crate) struct Choice {
    /// `None` is every type.
    types: Option<Vec<String>>,
    min_length: u64,
    oldest: Version,
    adds_vary: bool,
}

impl Choice {
    pub(crate) fn new(types: Types, min_length: u64, http_version: f64, vary: Option<bool>) -> Self {
        Self {
            types: match types {
                Types::Listed(types) => Some(types),
                Types::One(star) if star == "*" => None,
                Types::One(only) => Some(vec![only]),
            },
            min_length,
            oldest: if http_version < 1.1 { Version::Http10 } else { Version::Http11 },
            adds_vary: vary == Some(true),
        }
    }

    /// Whether a response is one of them. One without a type, as in nginx, is not.
    pub(crate) fn is_for(&self, head: &ResponseHead, version: Version) -> bool {
        let Some(content_type) = head.fields.get("content-type") else { return false };
        let content_type = content_type.split(|&b| b == b';').next().unwrap_or_default();
        let is_of_type = self.types.as_ref().is_none_or(|types| types.iter().any(|t| t.as_bytes() == content_type));
        let is_long = length(head).is_none_or(|length| length >= self.min_length);
        is_of_type && is_long && version >= self.oldest
    }

    /// Says that the response depends on what the client accepts, where that is wanted.
    pub(crate) fn vary(&self, fields: &mut Fields) {
        if self.adds_vary {
            fields.push(b"Vary", b"Accept-Encoding");
        }
    }
}

/// The length of a body, if the head says it.
pub(crate) fn length(head: &ResponseHead) -> Option<u64> {
    head.fields.get_str("content-length").and_then(|length| length.parse().ok())
}

/// Changes a head to that of a body in another coding.
pub(crate) fn recode(fields: &mut Fields, coding: &str) {
    fields.remove("Content-Length");
    fields.remove("Accept-Ranges");
    fields.set("Content-Encoding", coding.as_bytes());
    // The body's bytes are not those that the tag was given to (RFC 9110, section 8.8.1).
    let weak = match fields.get("etag") {
        Some(tag) if tag.starts_with(b"W/\"") => return,
        Some(tag) if tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"") => [b"W/", tag].concat(),
        Some(_) => {
            fields.remove("ETag");
            return;
        }
        None => return,
    };
    fields.set("ETag", &weak);
}

/// Whether a client accepts a coding by its name, or by `*` where that counts.
pub(crate) fn is_accepted(fields: &Fields, coding: &str, with_star: bool) -> bool {
    let mut by_star = false;
    for item in fields.get_all("accept-encoding").flat_map(|line| line.split(|&b| b == b',')) {
        let mut parts = item.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| {
            let value = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="))?;
            std::str::from_utf8(value).ok()?.trim_ascii().parse::<f32>().ok()
        });
        let is_wanted = quality.is_none_or(|quality| quality > 0.0);
        if name.eq_ignore_ascii_case(coding.as_bytes()) {
            return is_wanted;
        }
        by_star |= with_star && name == b"*" && is_wanted;
    }
    by_star
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Source;

    #[test]
    fn a_coding_is_accepted_by_its_name_or_a_star() {
        for (value, with_star, expected) in [
            ("gzip", false, true),
            ("br, GZIP;q=0.5", false, true),
            ("gzip;q=0", false, false),
            ("gzip; q=0.000, *", true, false),
            ("x-gzip", false, false),
            ("*", false, false),
            ("*", true, true),
            ("*;q=0", true, false),
            ("", true, false),
        ] {
            let fields: Fields = [("Accept-Encoding", value)].into_iter().collect();
            assert_eq!(is_accepted(&fields, "gzip", with_star), expected, "{value}");
        }
    }

    #[test]
    fn responses_are_chosen_by_type_length_and_version() {
        let listed = || Types::Listed(vec!["text/html".to_owned()]);
        let every = || Types::One("*".to_owned());
        for (desc, types, min_version, fields, version, expected) in [
            ("its type", listed(), 1.1, &[("Content-Type", "text/html; charset=x")][..], Version::Http11, true),
            ("another type", listed(), 1.1, &[("Content-Type", "text/plain")], Version::Http11, false),
            ("every type", every(), 1.1, &[("Content-Type", "text/plain")], Version::Http2, true),
            ("no type", every(), 1.1, &[], Version::Http11, false),
            ("long", every(), 1.1, &[("Content-Type", "a"), ("Content-Length", "20")], Version::Http11, true),
            ("short", every(), 1.1, &[("Content-Type", "a"), ("Content-Length", "19")], Version::Http11, false),
            ("old", every(), 1.1, &[("Content-Type", "a")], Version::Http10, false),
            ("old, which is allowed", every(), 1.0, &[("Content-Type", "a")], Version::Http10, true),
        ] {
            let mut head = ResponseHead::new(200, Source::Upstream);
            head.fields = fields.iter().copied().collect();
            assert_eq!(Choice::new(types, 20, min_version, None).is_for(&head, version), expected, "{desc}");
        }
    }

    #[test]
    fn tags_become_weak() {
        for (tag, expected) in [("\"a\"", Some("W/\"a\"")), ("W/\"a\"", Some("W/\"a\"")), ("a", None), ("\"", None)] {
            let mut fields: Fields = [("ETag", tag), ("Content-Length", "1")].into_iter().collect();
            recode(&mut fields, "br");
            assert_eq!(fields.get_str("etag"), expected, "{tag}");
            assert_eq!((fields.get_str("content-encoding"), fields.get("content-length")), (Some("br"), None));
        }
    }
}
