//! Plain scalars: which text is a number, a boolean or nothing.

use saphyr_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

/// The value of a scalar; the error says why there is none.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    match tag {
        None if style == ScalarStyle::Plain => plain(text),
        None => Ok(Value::String(text.to_owned())),
        Some(tag) => tagged(text, tag),
    }
}

/// Lists and mappings may carry their own tag and no other.
pub(super) fn check_collection_tag(tag: Option<&Tag>, expected: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => Err(unknown_tag(tag)),
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag) -> String {
    format!("unknown tag \"{}{}\"", tag.handle, tag.suffix)
}

fn tagged(text: &str, tag: &Tag) -> Result<Value, String> {
    if tag.handle.is_empty() && tag.suffix == "!" {
        return Ok(Value::String(text.to_owned()));
    }
    if !tag.is_yaml_core_schema() {
        return Err(unknown_tag(tag));
    }
    let value = match tag.suffix.as_str() {
        "str" => return Ok(Value::String(text.to_owned())),
        "null" | "bool" | "int" | "float" => plain(text)?,
        _ => return Err(unknown_tag(tag)),
    };
    let fits = match tag.suffix.as_str() {
        "null" => value.is_null(),
        "bool" => value.is_boolean(),
        _ => value.is_number(),
    };
    if fits { Ok(value) } else { Err(format!("\"{text}\" is not of type {}", tag.suffix)) }
}

fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => {
            return Err(format!("the number \"{text}\" cannot be represented"));
        }
        _ => {}
    }
    match number(text) {
        Some(number) => number.ok_or_else(|| format!("the number \"{text}\" is too large")),
        None => Ok(Value::String(text.to_owned())),
    }
}

/// `None`: not a number. `Some(None)`: a number without end.
fn number(text: &str) -> Option<Option<Value>> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        b'0'..=b'9' | b'.' | b'_' => (false, text),
        _ => return None,
    };
    let spelled = octal(digits)
        .or_else(|| decimal(digits))
        .or_else(|| hexadecimal(digits))
        .or_else(|| binary(digits))
        .or_else(|| sexagesimal(digits));
    if let Some((digits, radix)) = spelled {
        return Some(whole(negative, &digits, radix));
    }
    let magnitude = float(digits).or_else(|| sexagesimal_float(digits))?;
    let value = if negative { -magnitude } else { magnitude };
    Some(Number::from_f64(value).map(Value::Number))
}

/// The digit values of a whole number, and their base.
type Spelled = (Vec<u32>, u32);

fn digit_values(digits: &str, radix: u32) -> Option<Spelled> {
    let values: Option<Vec<u32>> =
        digits.chars().filter(|digit| *digit != '_').map(|digit| digit.to_digit(radix)).collect();
    values.filter(|values| !values.is_empty()).map(|values| (values, radix))
}

/// `010`, `0_7`
fn octal(text: &str) -> Option<Spelled> {
    digit_values(text.strip_prefix('0')?, 8)
}

/// `10`, `1_000`, `09`
fn decimal(text: &str) -> Option<Spelled> {
    digit_values(text, 10)
}

/// `0x1f`
fn hexadecimal(text: &str) -> Option<Spelled> {
    digit_values(text.strip_prefix("0x")?, 16)
}

/// `0b101`; lyaml wants two digits at least.
fn binary(text: &str) -> Option<Spelled> {
    let digits = text.strip_prefix("0b")?;
    (digits.trim_start_matches('_').len() > 1).then(|| digit_values(digits, 2))?
}

/// `1:30`, `190:20:30`
fn sexagesimal(text: &str) -> Option<Spelled> {
    let (first, rest) = text.split_once(':')?;
    let (second, _) = rest.split_once(':').unwrap_or((rest, ""));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let minute: u32 = second.parse().ok().filter(|_| second.len() <= 2)?;
    if !is_digits(first) || !is_digits(second) || minute > 59 {
        return None;
    }
    let parts = text.split(':').filter(|part| !part.is_empty());
    let values: Option<Vec<u32>> = parts.map(|part| is_digits(part).then(|| part.parse().ok())?).collect();
    values.map(|values| (values, 60))
}

/// `1:30.5`
fn sexagesimal_float(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.')?;
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (values, radix) = sexagesimal(whole)?;
    let whole = values.into_iter().fold(0.0, |sum, value| sum * f64::from(radix) + f64::from(value));
    format!("0.{fraction}").parse::<f64>().ok().map(|fraction| whole + fraction)
}

/// `1.5`, `1e3`, `.5`, `1_0.0`
fn float(text: &str) -> Option<f64> {
    let text = text.replace('_', "");
    let is_float = text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
        && matches!(text.bytes().next(), Some(b'0'..=b'9' | b'.'));
    is_float.then(|| text.parse().ok())?
}

/// Exact where 64 bits are enough, rounded where Lua would round as well.
fn whole(negative: bool, digits: &[u32], radix: u32) -> Option<Value> {
    let exact =
        digits.iter().try_fold(0u64, |sum, digit| sum.checked_mul(u64::from(radix))?.checked_add(u64::from(*digit)));
    let exact = exact.and_then(|sum| {
        if negative { 0i64.checked_sub_unsigned(sum).map(Number::from) } else { Some(Number::from(sum)) }
    });
    exact.map(Value::Number).or_else(|| {
        let rounded = digits.iter().fold(0.0, |sum, digit| sum * f64::from(radix) + f64::from(*digit));
        Number::from_f64(if negative { -rounded } else { rounded }).map(Value::Number)
    })
}
