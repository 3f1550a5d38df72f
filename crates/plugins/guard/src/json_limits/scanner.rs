//! One look at a JSON text (RFC 8259), byte by byte, without making values of it.

use super::names::Names;

/// How much a text may have of what costs its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) depth: usize,
    pub(crate) members: usize,
    pub(crate) items: usize,
    pub(crate) string: usize,
    pub(crate) name: usize,
    pub(crate) number: usize,
    pub(crate) allows_duplicates: bool,
}

/// What is wrong with a text, in a closed set of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("the JSON is nested too deeply")]
    Depth,
    #[error("an object of the JSON has too many members")]
    Members,
    #[error("an array of the JSON has too many items")]
    Items,
    #[error("a text of the JSON is too long")]
    String,
    #[error("a name of the JSON is too long")]
    Name,
    #[error("a number of the JSON is too long")]
    Number,
    #[error("a number of the JSON is out of range")]
    Range,
    #[error("a name of the JSON comes twice in its object")]
    Duplicate,
    #[error("the JSON is no UTF-8")]
    Utf8,
    #[error("half a surrogate pair is escaped in the JSON")]
    Surrogate,
    #[error("a name of the JSON has a NUL in it")]
    Nul,
    #[error("the body is not JSON")]
    Syntax,
}

/// An object or an array that is not closed yet.
struct Open {
    is_object: bool,
    count: usize,
}

/// Looks at a text that has to be one value.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn scan(text: &[u8], limits: &Limits) -> Result<(), Wrong> {
    std::str::from_utf8(text).map_err(|_| Wrong::Utf8)?;
    Scanner { text, at: 0, limits, open: Vec::new(), names: Names::default() }.run()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    limits: &'a Limits,
    open: Vec<Open>,
    names: Names<'a>,
}

impl<'a> Scanner<'a> {
    fn run(mut self) -> Result<(), Wrong> {
        self.space();
        loop {
            // A value begins here.
            match self.peek().ok_or(Wrong::Syntax)? {
                b'{' => {
                    self.enter(true)?;
                    if self.peek() == Some(b'}') {
                        self.leave();
                    } else {
                        self.name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.enter(false)?;
                    if self.peek() == Some(b']') {
                        self.leave();
                    } else {
                        self.item()?;
                        continue;
                    }
                }
                b'"' => drop(self.string(self.limits.string, Wrong::String)?),
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            if !self.next_value()? {
                return Ok(());
            }
        }
    }

    /// Goes on behind a value: to the next one, or to the end of the text.
    fn next_value(&mut self) -> Result<bool, Wrong> {
        loop {
            self.space();
            let Some(open) = self.open.last() else {
                return if self.at == self.text.len() { Ok(false) } else { Err(Wrong::Syntax) };
            };
            match (self.peek(), open.is_object) {
                (Some(b','), true) => {
                    self.at += 1;
                    self.space();
                    self.name()?;
                    return Ok(true);
                }
                (Some(b','), false) => {
                    self.at += 1;
                    self.space();
                    self.item()?;
                    return Ok(true);
                }
                (Some(b'}'), true) | (Some(b']'), false) => self.leave(),
                _ => return Err(Wrong::Syntax),
            }
        }
    }

    fn enter(&mut self, is_object: bool) -> Result<(), Wrong> {
        if self.open.len() >= self.limits.depth {
            return Err(Wrong::Depth);
        }
        self.open.push(Open { is_object, count: 0 });
        if is_object && !self.limits.allows_duplicates {
            self.names.enter();
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn leave(&mut self) {
        let is_object = self.open.pop().is_some_and(|open| open.is_object);
        if is_object && !self.limits.allows_duplicates {
            self.names.leave();
        }
        self.at += 1;
    }

    fn item(&mut self) -> Result<(), Wrong> {
        self.count(self.limits.items, Wrong::Items)
    }

    fn count(&mut self, most: usize, wrong: Wrong) -> Result<(), Wrong> {
        let open = self.open.last_mut().ok_or(Wrong::Syntax)?;
        open.count += 1;
        if open.count > most { Err(wrong) } else { Ok(()) }
    }

    /// A name and its colon.
    fn name(&mut self) -> Result<(), Wrong> {
        if self.peek() != Some(b'"') {
            return Err(Wrong::Syntax);
        }
        self.count(self.limits.members, Wrong::Members)?;
        let (name, has_escapes) = self.string(self.limits.name, Wrong::Name)?;
        if !self.limits.allows_duplicates && !self.names.add(name, has_escapes) {
            return Err(Wrong::Duplicate);
        }
        if has_escapes && memchr::memmem::find(name, b"\\u0000").is_some() {
            return Err(Wrong::Nul);
        }
        self.space();
        if self.peek() != Some(b':') {
            return Err(Wrong::Syntax);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// A text in quotes: what is between them, and whether anything in it is escaped.
    fn string(&mut self, most: usize, wrong: Wrong) -> Result<(&'a [u8], bool), Wrong> {
        let start = self.at + 1;
        let (mut at, mut has_escapes) = (start, false);
        loop {
            at = special(self.text, at);
            match self.text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    at = self.escape(at + 1)?;
                }
                _ => return Err(Wrong::Syntax),
            }
            if at - start > most {
                return Err(wrong);
            }
        }
        if at - start > most {
            return Err(wrong);
        }
        self.at = at + 1;
        Ok((self.text.get(start..at).unwrap_or_default(), has_escapes))
    }

    /// Where the text goes on behind an escape whose backslash is before `at`.
    fn escape(&self, at: usize) -> Result<usize, Wrong> {
        match self.text.get(at).ok_or(Wrong::Syntax)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 1),
            b'u' => match self.unit(at + 1)? {
                0xDC00..=0xDFFF => Err(Wrong::Surrogate),
                0xD800..=0xDBFF => {
                    let is_escape = self.text.get(at + 5..at + 7) == Some(b"\\u");
                    match is_escape.then(|| self.unit(at + 7)).ok_or(Wrong::Surrogate)?? {
                        0xDC00..=0xDFFF => Ok(at + 11),
                        _ => Err(Wrong::Surrogate),
                    }
                }
                _ => Ok(at + 5),
            },
            _ => Err(Wrong::Syntax),
        }
    }

    /// Four hexadecimal digits.
    fn unit(&self, at: usize) -> Result<u32, Wrong> {
        let digits = self.text.get(at..at + 4).ok_or(Wrong::Syntax)?;
        digits.iter().try_fold(0, |unit, &b| {
            let digit = char::from(b).to_digit(16).ok_or(Wrong::Syntax)?;
            Ok(unit << 4 | digit)
        })
    }

    fn number(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = self.text.get(start..self.at).unwrap_or_default();
        if number.len() > self.limits.number {
            return Err(Wrong::Number);
        }
        // The largest float has 309 digits.
        if (has_exponent || number.len() > 300) && !is_finite(number) {
            return Err(Wrong::Range);
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(Wrong::Syntax) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Wrong> {
        if self.text.get(self.at..self.at + word.len()) != Some(word) {
            return Err(Wrong::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

fn is_finite(number: &[u8]) -> bool {
    std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite)
}

/// The place of the next quote, backslash or control character, or the end of the text; eight bytes at a time.
fn special(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    /// A high bit at least where a byte is zero; the lowest one is exact.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGH
    }
    while let Some(word) = text.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes) {
        let quotes = zeros(word ^ (ONES * b'"' as u64));
        let backslashes = zeros(word ^ (ONES * b'\\' as u64));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = quotes | backslashes | controls;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\').unwrap_or(rest.len())
}
