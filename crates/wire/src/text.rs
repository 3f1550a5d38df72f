use std::{
    io::{Cursor, Write as _},
    net::IpAddr,
    ops::Deref,
};

/// The longest: an IPv6 address with an embedded IPv4 address, and a bit.
const MAX: usize = 48;

/// A short text on the stack. Numbers and addresses are written on each request, mostly more than once; the machinery of
/// `std::fmt` takes several times as long as the digits.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    bytes: [u8; MAX],
    len: u8,
}

impl Text {
    const EMPTY: Self = Self { bytes: [0; MAX], len: 0 };

    /// A number in decimal.
    pub fn decimal(n: u64) -> Self {
        let mut text = Self::EMPTY;
        text.push_decimal(n);
        text
    }

    /// A number of hundredths, without zeros at its end: `12.5`, `7`.
    pub fn hundredths(n: u64) -> Self {
        let mut text = Self::decimal(n / 100);
        let (tenths, hundredths) = ((n / 10 % 10) as u8, (n % 10) as u8);
        if (tenths, hundredths) != (0, 0) {
            text.push(b'.');
            text.push(b'0' + tenths);
            if hundredths != 0 {
                text.push(b'0' + hundredths);
            }
        }
        text
    }

    /// An address, as the standard library writes it.
    pub fn address(ip: IpAddr) -> Self {
        let mut text = Self::EMPTY;
        match ip {
            IpAddr::V4(v4) => {
                for (i, octet) in v4.octets().into_iter().enumerate() {
                    if i > 0 {
                        text.push(b'.');
                    }
                    if octet >= 100 {
                        text.push(b'0' + octet / 100);
                    }
                    if octet >= 10 {
                        text.push(b'0' + octet / 10 % 10);
                    }
                    text.push(b'0' + octet % 10);
                }
            }
            IpAddr::V6(v6) => {
                let mut cursor = Cursor::new(&mut text.bytes[..]);
                // The longest one fits.
                let _ = write!(cursor, "{v6}");
                text.len = cursor.position() as u8;
            }
        }
        text
    }

    fn push_decimal(&mut self, mut n: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            if let Some(slot) = digits.get_mut(at) {
                *slot = b'0' + (n % 10) as u8;
            }
            n /= 10;
            if n == 0 {
                break;
            }
        }
        for &digit in digits.iter().skip(at) {
            self.push(digit);
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = byte;
            self.len += 1;
        }
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_standard_library() {
        for ip in ["0.0.0.0", "127.0.0.1", "10.20.200.255", "100.9.10.99", "::1", "2001:db8::7", "::ffff:1.2.3.4"] {
            assert_eq!(&*Text::address(ip.parse().unwrap()), ip.as_bytes());
        }
        let longest: IpAddr = "1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap();
        assert_eq!(&*Text::address(longest), longest.to_string().as_bytes());
        for n in [0, 7, 10, 99, 100, 65_535, u64::MAX] {
            assert_eq!(&*Text::decimal(n), n.to_string().as_bytes());
        }
        for n in [0u32, 1, 9, 10, 50, 99, 100, 101, 110, 5999, 6000, 123_456] {
            assert_eq!(&*Text::hundredths(u64::from(n)), (f64::from(n) / 100.0).to_string().as_bytes());
        }
    }
}
