use model::vars::{Lookup, Template, number::parse_number};
use serde_json::Value;

/// The greatest integer that APISIX can tell from its neighbours.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// A number of requests or seconds: given, or made of variables for each request.
#[derive(Debug)]
pub(super) enum Amount {
    Given(u64),
    Variable(String, Template),
}

impl Amount {
    pub(super) fn compile(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Variable(text.clone(), Template::compile(text)),
            number => Self::Given(number.as_u64().or(number.as_f64().map(|n| n as u64)).unwrap_or_default().max(1)),
        }
    }

    /// # Errors
    /// In APISIX's words, what is wrong with the number that the variables make.
    pub(super) fn resolve(&self, lookup: &dyn Lookup) -> Result<u64, String> {
        let (text, template) = match self {
            Self::Given(number) => return Ok(*number),
            Self::Variable(text, template) => (text, template),
        };
        let mut written = Vec::new();
        template.render(lookup, &mut written);
        let Some(number) = parse_number(&written) else {
            return Err(format!("resolved value of \"{text}\" is not a number"));
        };
        if number.is_nan() || number <= 0.0 {
            return Err(format!("resolved value must be a positive number, got: {number}"));
        }
        if number.fract() != 0.0 {
            return Err(format!("resolved value must be an integer, got: {number}"));
        }
        if number > MAX_EXACT {
            return Err(format!("resolved value exceeds safe integer range (2^53-1), got: {number}"));
        }
        Ok(number as u64)
    }
}
