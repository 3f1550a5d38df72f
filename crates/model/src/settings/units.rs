//! How single values are written.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::differences::Profile;
use crate::secret::Secret;

/// A type that a setting can have.
pub(super) trait FromSetting: Sized {
    /// What is expected, for the error.
    const EXPECTED: &'static str;

    /// Types of JSON that it is written as; any when there are none.
    const TYPES: &'static [&'static str] = &[];

    /// The value, if it is one.
    fn read(value: &Value) -> Option<Self>;
}

/// A number of bytes: `8192`, `"8k"`, `"10m"`, `"1G"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// `true`, `false`, `"on"` or `"off"`.
pub(super) struct Switch(pub(super) bool);

/// A text that may look like another type: nginx does not care.
pub(super) struct Text(pub(super) String);

/// A number of workers; `None` is `auto`.
pub(super) struct Workers(pub(super) Option<usize>);

impl Workers {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "auto" => Some(Self(None)),
            count => count.parse().ok().filter(|count| *count > 0).map(|count| Self(Some(count))),
        }
    }
}

impl FromSetting for Workers {
    const EXPECTED: &'static str = "a number above 0 or \"auto\"";
    const TYPES: &'static [&'static str] = &["integer", "string"];

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            other => Self::parse(&other.as_u64()?.to_string()),
        }
    }
}

impl FromSetting for bool {
    const EXPECTED: &'static str = "a boolean";
    const TYPES: &'static [&'static str] = &["boolean"];

    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl FromSetting for Switch {
    const EXPECTED: &'static str = "\"on\" or \"off\"";
    const TYPES: &'static [&'static str] = &["boolean", "string"];

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(switch) => Some(Self(*switch)),
            Value::String(word) if word == "on" => Some(Self(true)),
            Value::String(word) if word == "off" => Some(Self(false)),
            _ => None,
        }
    }
}

impl FromSetting for Text {
    const EXPECTED: &'static str = "a text";
    const TYPES: &'static [&'static str] = &["string", "number", "boolean"];

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self(text.clone())),
            Value::Number(number) => Some(Self(number.to_string())),
            // YAML 1.1 reads a bare `off` as false.
            Value::Bool(false) => Some(Self("off".to_owned())),
            Value::Bool(true) => Some(Self("on".to_owned())),
            _ => None,
        }
    }
}

impl FromSetting for u64 {
    const EXPECTED: &'static str = "a whole number that is not negative";
    const TYPES: &'static [&'static str] = &["integer"];

    fn read(value: &Value) -> Option<Self> {
        value.as_u64()
    }
}

impl FromSetting for usize {
    const EXPECTED: &'static str = u64::EXPECTED;
    const TYPES: &'static [&'static str] = &["integer"];

    fn read(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl FromSetting for u32 {
    const EXPECTED: &'static str = u64::EXPECTED;
    const TYPES: &'static [&'static str] = &["integer"];

    fn read(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl FromSetting for u16 {
    const EXPECTED: &'static str = "a port number";
    const TYPES: &'static [&'static str] = &["integer"];

    fn read(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl FromSetting for String {
    const EXPECTED: &'static str = "a text";
    const TYPES: &'static [&'static str] = &["string"];

    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl FromSetting for Secret<String> {
    const EXPECTED: &'static str = "a text";
    const TYPES: &'static [&'static str] = &["string"];

    fn read(value: &Value) -> Option<Self> {
        String::read(value).map(Self::new)
    }
}

impl FromSetting for IpAddr {
    const EXPECTED: &'static str = "an IP address";
    const TYPES: &'static [&'static str] = &["string"];

    fn read(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
    }
}

impl FromSetting for IpNet {
    const EXPECTED: &'static str = "an IP address or network";
    const TYPES: &'static [&'static str] = &["string"];

    fn read(value: &Value) -> Option<Self> {
        match IpAddr::read(value) {
            Some(address) => Some(address.into()),
            None => value.as_str()?.parse().ok(),
        }
    }
}

impl FromSetting for Map<String, Value> {
    const EXPECTED: &'static str = "a mapping";
    const TYPES: &'static [&'static str] = &["object", "array"];

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(map.clone()),
            // APISIX's tables are lists and mappings at once.
            Value::Array(items) if items.is_empty() => Some(Self::new()),
            _ => None,
        }
    }
}

impl<T: FromSetting> FromSetting for Vec<T> {
    const EXPECTED: &'static str = "a list of valid values";
    const TYPES: &'static [&'static str] = &["array"];

    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(T::read).collect()
    }
}

impl FromSetting for Profile {
    const EXPECTED: &'static str = "\"secure\" or \"apisix\"";
    const TYPES: &'static [&'static str] = &["string"];

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "secure" => Some(Self::Secure),
            "apisix" => Some(Self::Apisix),
            _ => None,
        }
    }
}

/// Seconds as a number, or nginx's `500ms`, `60s`, `1h30m`.
impl FromSetting for Duration {
    const EXPECTED: &'static str = "a duration such as 60 or \"60s\"";
    const TYPES: &'static [&'static str] = &["number", "string"];

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(seconds) => Self::try_from_secs_f64(seconds.as_f64()?).ok(),
            Value::String(text) => parse_duration(text.trim()),
            _ => None,
        }
    }
}

/// A duration as settings write it: seconds as a number, or nginx's `500ms`, `60s`, `1h30m`.
pub fn duration(value: &Value) -> Option<Duration> {
    Duration::read(value)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        let count: u64 = digits.parse().ok()?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let part = match unit {
            "ms" => Duration::from_millis(count),
            "s" | "" => Duration::from_secs(count),
            "m" => Duration::from_secs(count.checked_mul(60)?),
            "h" => Duration::from_secs(count.checked_mul(3600)?),
            "d" => Duration::from_secs(count.checked_mul(86_400)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = after.trim_start();
    }
    Some(total)
}

impl FromSetting for ByteSize {
    const EXPECTED: &'static str = "a size such as 8192 or \"8k\"";
    const TYPES: &'static [&'static str] = &["integer", "string"];

    fn read(value: &Value) -> Option<Self> {
        let Value::String(text) = value else {
            return value.as_u64().map(Self);
        };
        let text = text.trim();
        let (digits, factor) = match text.char_indices().last()? {
            (at, 'k' | 'K') => (text.get(..at)?, 1 << 10),
            (at, 'm' | 'M') => (text.get(..at)?, 1 << 20),
            (at, 'g' | 'G') => (text.get(..at)?, 1 << 30),
            _ => (text, 1u64),
        };
        digits.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}
