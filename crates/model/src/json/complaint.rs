//! What APISIX's parser, lua-cjson, says to a text that is no JSON: its clients know these words.

/// How deep lua-cjson reads.
const DEEPEST: usize = 1000;

/// The complaint, or `None` for a text that lua-cjson would take: it is laxer than we are.
pub fn complaint(text: &[u8]) -> Option<String> {
    if matches!(text, [0, _, ..] | [_, 0, ..]) {
        return Some("JSON parser does not support UTF-16 or UTF-32".to_owned());
    }
    let mut tokens = Tokens { text, at: 0 };
    Grammar::default().complaint(&mut tokens)
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    FirstItem,
    AfterItem,
    FirstKey,
    Key,
    Colon,
    AfterField,
    End,
}

impl Next {
    fn name(self) -> &'static str {
        match self {
            Self::Value | Self::FirstItem => "value",
            Self::AfterItem => "comma or array end",
            Self::FirstKey | Self::Key => "object key string",
            Self::Colon => "colon",
            Self::AfterField => "comma or object end",
            Self::End => "the end",
        }
    }
}

/// Reads without recursion: how deep the text is nested is up to who sent it.
struct Grammar {
    next: Next,
    /// Whether the containers around are objects.
    around: Vec<bool>,
}

impl Default for Grammar {
    fn default() -> Self {
        Self { next: Next::Value, around: Vec::new() }
    }
}

impl Grammar {
    fn complaint(mut self, tokens: &mut Tokens<'_>) -> Option<String> {
        loop {
            let (at, token) = tokens.next();
            self.next = match (self.next, token) {
                (Next::End, Token::End) => return None,
                (Next::Value | Next::FirstItem, Token::Open { is_object }) => {
                    self.around.push(is_object);
                    if self.around.len() > DEEPEST {
                        let (depth, end) = (self.around.len(), tokens.at);
                        return Some(format!("Found too many nested data structures ({depth}) at character {end}"));
                    }
                    if is_object { Next::FirstKey } else { Next::FirstItem }
                }
                (Next::Value | Next::FirstItem, Token::String | Token::Number | Token::Boolean | Token::Null) => {
                    self.after_value()
                }
                (Next::FirstItem | Next::AfterItem, Token::Close { is_object: false })
                | (Next::FirstKey | Next::AfterField, Token::Close { is_object: true }) => {
                    self.around.pop();
                    self.after_value()
                }
                (Next::AfterItem, Token::Comma) | (Next::Colon, Token::Colon) => Next::Value,
                (Next::FirstKey | Next::Key, Token::String) => Next::Colon,
                (Next::AfterField, Token::Comma) => Next::Key,
                (expected, found) => {
                    let (expected, found) = (expected.name(), found.name());
                    return Some(format!("Expected {expected} but found {found} at character {}", at + 1));
                }
            };
        }
    }

    fn after_value(&self) -> Next {
        match self.around.last() {
            None => Next::End,
            Some(true) => Next::AfterField,
            Some(false) => Next::AfterItem,
        }
    }
}

#[derive(Clone, Copy)]
enum Token {
    Open {
        is_object: bool,
    },
    Close {
        is_object: bool,
    },
    String,
    Number,
    Boolean,
    Null,
    Colon,
    Comma,
    End,
    /// None, and why.
    Wrong(&'static str),
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Self::Open { is_object: true } => "T_OBJ_BEGIN",
            Self::Open { is_object: false } => "T_ARR_BEGIN",
            Self::Close { is_object: true } => "T_OBJ_END",
            Self::Close { is_object: false } => "T_ARR_END",
            Self::String => "T_STRING",
            Self::Number => "T_NUMBER",
            Self::Boolean => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Wrong(why) => why,
        }
    }
}

struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl Tokens<'_> {
    /// The next token, and where it begins; of a wrong one where it is wrong.
    fn next(&mut self) -> (usize, Token) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let start = self.at;
        let single = match self.peek() {
            // A C string ends there.
            None | Some(0) => return (start, Token::End),
            Some(b'{') => Some(Token::Open { is_object: true }),
            Some(b'[') => Some(Token::Open { is_object: false }),
            Some(b'}') => Some(Token::Close { is_object: true }),
            Some(b']') => Some(Token::Close { is_object: false }),
            Some(b':') => Some(Token::Colon),
            Some(b',') => Some(Token::Comma),
            _ => None,
        };
        if let Some(token) = single {
            self.at += 1;
            return (start, token);
        }
        let rest = self.text.get(start..).unwrap_or_default();
        if rest.first() == Some(&b'"') {
            return match self.string() {
                Ok(()) => (start, Token::String),
                Err(why) => (self.at, Token::Wrong(why)),
            };
        }
        for (word, token) in [("true", Token::Boolean), ("false", Token::Boolean), ("null", Token::Null)] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return (start, token);
            }
        }
        match number(rest) {
            0 if matches!(rest.first(), Some(b'-' | b'0'..=b'9')) => (start, Token::Wrong("invalid number")),
            0 => (start, Token::Wrong("invalid token")),
            length => {
                self.at += length;
                (start, Token::Number)
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Steps over a string, or onto what is wrong in it.
    fn string(&mut self) -> Result<(), &'static str> {
        self.at += 1;
        loop {
            match self.peek() {
                None | Some(0) => return Err("unexpected end of string"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let wrong = "invalid unicode escape code";
                let first = self.unit(self.at).ok_or(wrong)?;
                let length = match first {
                    0xD800..0xDC00 => {
                        let second = self.unit(self.at + 6).ok_or(wrong)?;
                        if !(0xDC00..0xE000).contains(&second) {
                            return Err(wrong);
                        }
                        12
                    }
                    0xDC00..0xE000 => return Err(wrong),
                    _ => 6,
                };
                self.at += length;
            }
            _ => return Err("invalid escape code"),
        }
        Ok(())
    }

    /// The code of `\uXXXX` at a place.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let digits =
            std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    }
}

/// How long the number at the beginning of a text is, as C's `strtod` reads it; of its words and hexadecimal numbers only
/// that they are some.
fn number(text: &[u8]) -> usize {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let unsigned = text.get(sign..).unwrap_or_default();
    let starts_with =
        |word: &str| unsigned.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()));
    if let Some(word) = ["infinity", "inf", "nan"].into_iter().find(|word| starts_with(word)) {
        return sign + word.len();
    }
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if starts_with("0x") {
        let hexadecimal = unsigned.iter().skip(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
        return sign + if hexadecimal > 0 { 2 + hexadecimal } else { 1 };
    }
    let whole = digits(unsigned);
    let mut length = whole;
    if unsigned.get(length) == Some(&b'.') {
        let fraction = digits(unsigned.get(length + 1..).unwrap_or_default());
        if whole + fraction > 0 {
            length += 1 + fraction;
        }
    }
    if length == 0 || matches!(text.first(), Some(b'+')) {
        return 0;
    }
    if matches!(unsigned.get(length), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(unsigned.get(length + 1), Some(b'-' | b'+')));
        let exponent = digits(unsigned.get(length + 1 + signed..).unwrap_or_default());
        if exponent > 0 {
            length += 1 + signed + exponent;
        }
    }
    sign + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lua_cjson_words() {
        for (text, want) in [
            ("", Some("Expected value but found T_END at character 1")),
            ("{}", None),
            (r#"[{"a":[1,-2.5e3,"b",true,false,null,{}]}, []]"#, None),
            ("abc", Some("Expected value but found invalid token at character 1")),
            (" \n[1,]", Some("Expected value but found T_ARR_END at character 6")),
            ("{,}", Some("Expected object key string but found T_COMMA at character 2")),
            (r#"{"a":1,}"#, Some("Expected object key string but found T_OBJ_END at character 8")),
            (r#"{"a" 1}"#, Some("Expected colon but found T_NUMBER at character 6")),
            (r#"{"a":1 "b"}"#, Some("Expected comma or object end but found T_STRING at character 8")),
            ("[1 true]", Some("Expected comma or array end but found T_BOOLEAN at character 4")),
            ("{} null", Some("Expected the end but found T_NULL at character 4")),
            ("[:", Some("Expected value but found T_COLON at character 2")),
            (r#""abc"#, Some("Expected value but found unexpected end of string at character 5")),
            (r#"["a\x"]"#, Some("Expected value but found invalid escape code at character 4")),
            (r#"["\ud800x"]"#, Some("Expected value but found invalid unicode escape code at character 3")),
            (r#"["\ud83d\ude00\u00e4"]"#, None),
            ("-", Some("Expected value but found invalid number at character 1")),
            ("[01, 0x1f, nan, -inf, 1.]", None),
            ("[1.2.3]", Some("Expected comma or array end but found T_NUMBER at character 5")),
            ("+1", Some("Expected value but found invalid token at character 1")),
            ("\0\0", Some("JSON parser does not support UTF-16 or UTF-32")),
        ] {
            assert_eq!(complaint(text.as_bytes()).as_deref(), want, "{text}");
        }
        let deep = complaint("[".repeat(100_000).as_bytes());
        assert_eq!(deep.as_deref(), Some("Found too many nested data structures (1001) at character 1001"));
    }
}
