//! A list of addresses in a file: one address or network on a line, and comments.

use super::networks::{Networks, Ranges};
use plugin::{BadLine, FileContent};

/// Lines that a list may have, and bytes.
const MAX_LINES: usize = 1_000_000;
const MAX_BYTES: u64 = 32 << 20;

impl FileContent for Networks {
    const MAX_BYTES: u64 = MAX_BYTES;

    fn parse(bytes: &[u8]) -> Result<Self, BadLine> {
        let whole = |reason| Err(BadLine { line: 0, reason });
        let Some(lines) = bytes.strip_suffix(b"\n") else {
            return whole(match bytes {
                [] => "it is empty",
                _ => "its last line does not end, so that something may be missing",
            });
        };
        let mut ranges = Ranges::default();
        for (at, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            let bad = |reason| BadLine { line: at + 1, reason };
            if at >= MAX_LINES {
                return Err(bad("a list has 1000000 lines at most"));
            }
            let written = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
            if !written.is_empty() {
                let text = std::str::from_utf8(written).unwrap_or_default();
                ranges.add(text).ok_or_else(|| bad("it is neither an address nor a network"))?;
            }
        }
        let networks = ranges.merge();
        // One that lost its content would otherwise let nobody in, or everybody.
        if networks.len() == 0 { whole("it has no address") } else { Ok(networks) }
    }

    fn len(&self) -> usize {
        self.ranges()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Networks, String> {
        <Networks as FileContent>::parse(text.as_bytes()).map_err(|bad| format!("{}: {}", bad.line, bad.reason))
    }

    #[test]
    fn lists_are_addresses_and_comments() {
        let networks = read("# office\n10.0.0.0/8\r\n\n  2001:db8::1\t# the router\n192.0.2.7\n").unwrap();
        for (address, expected) in
            [("10.1.2.3", true), ("2001:db8::1", true), ("192.0.2.7", true), ("192.0.2.8", false), ("::1", false)]
        {
            assert_eq!(networks.contains(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn what_is_no_list_is_not_taken_for_one() {
        for (text, expected) in [
            ("", "0: it is empty"),
            ("\n", "0: it has no address"),
            ("# nobody\n\n", "0: it has no address"),
            // This one would be a quarter of the Internet.
            ("192.0.2.0/2", "0: its last line does not end, so that something may be missing"),
            ("10.0.0.1\n10.0.0.2\nten\n10.0.0.4\n", "3: it is neither an address nor a network"),
            ("10.0.0.1 10.0.0.2\n", "1: it is neither an address nor a network"),
            ("10.0.0.1,\n", "1: it is neither an address nor a network"),
            ("10.0.0.1/33\n", "1: it is neither an address nor a network"),
            ("\u{feff}10.0.0.1\n", "1: it is neither an address nor a network"),
            ("010.0.0.1\n", "1: it is neither an address nor a network"),
            ("{\"a\":1}\n", "1: it is neither an address nor a network"),
        ] {
            assert_eq!(read(text).map(|networks| networks.len()), Err(expected.to_owned()), "{text:?}");
        }
        assert_eq!(<Networks as FileContent>::parse(b"10.0.0.1\n\xff\n").unwrap_err().line, 2);
        let many = "10.0.0.1\n".repeat(MAX_LINES);
        assert!(read(&many).is_ok());
        assert_eq!(read(&(many + "10.0.0.1\n")).unwrap_err(), "1000001: a list has 1000000 lines at most");
    }
}
