//! The values of `format` that are checked.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use super::matcher::Matcher;

/// A checked `format`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Email,
    Ipv4,
    Ipv6,
    Hostname,
    Uuid,
    Date,
    DateTime,
    Uri,
}

impl Format {
    /// The format called `name`; other names are not checked.
    pub(super) fn named(name: &str) -> Option<Format> {
        Some(match name {
            "email" => Format::Email,
            "ipv4" => Format::Ipv4,
            "ipv6" => Format::Ipv6,
            "hostname" => Format::Hostname,
            "uuid" => Format::Uuid,
            "date" => Format::Date,
            "date-time" => Format::DateTime,
            "uri" => Format::Uri,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Email => "email",
            Format::Ipv4 => "ipv4",
            Format::Ipv6 => "ipv6",
            Format::Hostname => "hostname",
            Format::Uuid => "uuid",
            Format::Date => "date",
            Format::DateTime => "date-time",
            Format::Uri => "uri",
        }
    }

    /// Whether `text` has this format. Like the library these are shapes, not RFCs.
    pub(super) fn accepts(self, text: &str) -> bool {
        static EMAIL: Shape = Shape::new(r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+\.[A-Za-z]{2,4}$");
        static HOSTNAME: Shape = Shape::new(r"^[a-zA-Z0-9.-]+$");
        static UUID: Shape = Shape::new(r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$");
        static DATE: Shape = Shape::new(r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$");
        static DATE_TIME: Shape = Shape::new(
            r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$",
        );
        static URI: Shape = Shape::new(r"^[a-zA-Z][a-zA-Z0-9+.-]*:\S*$");
        match self {
            Format::Email => EMAIL.accepts(text),
            Format::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Format::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Format::Hostname => HOSTNAME.accepts(text),
            Format::Uuid => UUID.accepts(text),
            Format::Date => DATE.accepts(text),
            Format::DateTime => DATE_TIME.accepts(text),
            Format::Uri => URI.accepts(text),
        }
    }
}

/// A fixed pattern, compiled at first use.
struct Shape {
    pattern: &'static str,
    matcher: OnceLock<Option<Matcher>>,
}

impl Shape {
    const fn new(pattern: &'static str) -> Shape {
        Shape { pattern, matcher: OnceLock::new() }
    }

    fn accepts(&self, text: &str) -> bool {
        let matcher = self.matcher.get_or_init(|| Matcher::new(self.pattern).ok());
        matcher.as_ref().is_some_and(|matcher| matcher.is_match(text) == Ok(true))
    }
}
