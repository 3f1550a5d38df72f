use model::vars::{Lookup, Template, number::parse_number};
use serde_json::Value;

/// The greatest integer that APISIX can tell from its neighbours.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// A number of requests or seconds: given, or made of variables for each request.
#[derive(Debug)]
pub(crate) struct Amount {
    source: Source,
    least: Least,
}

#[derive(Debug)]
enum Source {
    Given(u64),
    Variable(String, Template),
}

/// The least that an amount may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Least {
    One,
    Zero,
}

impl Amount {
    pub(crate) fn compile(value: &Value, least: Least) -> Self {
        let source = match value {
            Value::String(text) => Source::Variable(text.clone(), Template::compile(text)),
            number => {
                let given = number.as_u64().or(number.as_f64().map(|n| n as u64)).unwrap_or_default();
                Source::Given(if least == Least::One { given.max(1) } else { given })
            }
        };
        Self { source, least }
    }

    /// # Errors
    /// In APISIX's words, what is wrong with the number that the variables make.
    pub(crate) fn resolve(&self, lookup: &dyn Lookup) -> Result<u64, String> {
        let (text, template) = match &self.source {
            Source::Given(number) => return Ok(*number),
            Source::Variable(text, template) => (text, template),
        };
        let mut written = Vec::new();
        template.render(lookup, &mut written);
        let Some(number) = parse_number(&written) else {
            return Err(format!("resolved value of \"{text}\" is not a number"));
        };
        match self.least {
            Least::One if number.is_nan() || number <= 0.0 => {
                return Err(format!("resolved value must be a positive number, got: {number}"));
            }
            Least::Zero if number.is_nan() || number < 0.0 => {
                return Err(format!("resolved value must be a non-negative number, got: {number}"));
            }
            _ => {}
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
