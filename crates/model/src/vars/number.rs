//! Numbers as LuaJIT reads and writes them.

use std::io::Write as _;

/// The number that `text` spells for Lua's `tonumber`, if it spells one.
///
/// Decimal, exponent, `0x` and `0b` forms, `inf` and `nan`, with white space around.
pub fn parse_number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let magnitude = if let Some(hexadecimal) = lower.strip_prefix("0x") {
        parse_hexadecimal(hexadecimal)?
    } else if let Some(binary) = lower.strip_prefix("0b") {
        parse_radix(binary, 2)?
    } else if matches!(lower.as_str(), "inf" | "infinity") {
        f64::INFINITY
    } else if lower == "nan" {
        f64::NAN
    } else {
        let is_plain = lower.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'));
        let starts_well = matches!(lower.bytes().next(), Some(b'0'..=b'9' | b'.'));
        (is_plain && starts_well).then(|| lower.parse().ok())??
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// `ff`, `1.8p3`
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once('p') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let scale = i32::try_from(fraction.len()).ok()?.checked_mul(-4)?;
    let value = parse_radix(&format!("{whole}{fraction}"), 16)?;
    Some(value * 2f64.powi(exponent.checked_add(scale)?))
}

fn parse_radix(digits: &str, radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0.0, |value, digit| Some(value * f64::from(radix) + f64::from(digit.to_digit(radix)?)))
}

/// Appends `number` as Lua's `tostring` does (`%.14g`).
pub fn write_number(number: f64, out: &mut Vec<u8>) {
    const DIGITS: usize = 14;
    if number.is_nan() {
        out.extend_from_slice(b"nan");
        return;
    }
    if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"inf" } else { b"-inf" });
        return;
    }
    // Writing to a Vec cannot fail.
    let scientific = format!("{number:.precision$e}", precision = DIGITS - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let without_zeros = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    if (-5..DIGITS as i32).contains(&exponent) && exponent != -5 {
        let decimals = usize::try_from(DIGITS as i32 - 1 - exponent).unwrap_or_default();
        let fixed = format!("{number:.decimals$}");
        out.extend_from_slice(without_zeros(&fixed).as_bytes());
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{}e{sign}{:02}", without_zeros(mantissa), exponent.unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_read_as_lua_reads_them() {
        for (text, expected) in [
            ("10", Some(10.0)),
            (" 10 ", Some(10.0)),
            ("-1.5e3", Some(-1500.0)),
            ("+7", Some(7.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("0x10", Some(16.0)),
            ("0x1.8p1", Some(3.0)),
            ("0b101", Some(5.0)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("", None),
            ("-", None),
            ("0x", None),
            ("1a", None),
            ("1 2", None),
            ("1_000", None),
            ("--1", None),
            ("e5", None),
            (".", None),
        ] {
            assert_eq!(parse_number(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_lua_writes_them() {
        for (number, expected) in [
            (0.0, "0"),
            (10.0, "10"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (1e14, "1e+14"),
            (12_345_678_901_234.0, "12345678901234"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::INFINITY, "inf"),
        ] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_number_or_not(text in proptest::collection::vec(any::<u8>(), 0..16)) {
            let _ = parse_number(&text);
        }

        #[test]
        fn whole_numbers_survive(number in -1_000_000_000i32..1_000_000_000) {
            let mut out = Vec::new();
            write_number(f64::from(number), &mut out);
            prop_assert_eq!(parse_number(&out), Some(f64::from(number)));
        }
    }
}
