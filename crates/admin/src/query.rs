//! Arguments of a query string.

use percent_encoding::percent_decode;

/// The decoded arguments, in order. Like nginx, at most 100 are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

const MOST: usize = 100;

impl Query {
    /// Reads a query string.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let arguments = raw.split(|&b| b == b'&').filter(|part| !part.is_empty()).take(MOST);
        Self(
            arguments
                .map(|part| {
                    let mut halves = part.splitn(2, |&b| b == b'=');
                    let name = decode(halves.next().unwrap_or_default());
                    (name, decode(halves.next().unwrap_or_default()))
                })
                .collect(),
        )
    }

    /// The first value of a name.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The last value of a name.
    pub(crate) fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

fn decode(raw: &[u8]) -> String {
    let spaced: Vec<u8> = raw.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_decoded_and_bounded() {
        let q = Query::parse(b"a=1&b=%20x+y&a=2&flag&=v");
        assert_eq!((q.first("a"), q.last("a"), q.first("b")), (Some("1"), Some("2"), Some(" x y")));
        assert_eq!((q.first("flag"), q.first("none")), (Some(""), None));
        assert_eq!(Query::parse("a&".repeat(1000).as_bytes()).0.len(), MOST);
    }
}
