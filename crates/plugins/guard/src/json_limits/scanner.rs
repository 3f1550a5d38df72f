//! One look at a JSON text (RFC 8259), byte by byte, without making values of it.

use super::names::Names;
use crate::content::special;

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

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// A first member or item, or the end of what was just opened.
    First,
    Name,
    Colon,
    /// What is behind a value.
    Behind,
}

/// A text in quotes whose end was not seen yet.
#[derive(Debug, Clone, Copy)]
struct Quoted {
    start: usize,
    /// What was looked at of it.
    at: usize,
    has_escapes: bool,
}

/// Looks at a text that has to be one value.
///
/// # Errors
/// The first thing that is wrong.
#[cfg(test)]
pub(crate) fn scan(text: &[u8], limits: &Limits) -> Result<(), Wrong> {
    Scanner::new(*limits).end(text)
}

/// Looks at a text while it comes. Each byte is looked at once, but for a few of a token that is not whole yet.
pub(crate) struct Scanner {
    limits: Limits,
    at: usize,
    /// Up to here it is UTF-8.
    valid: usize,
    next: Next,
    quoted: Option<Quoted>,
    open: Vec<Open>,
    names: Names,
}

impl Scanner {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, at: 0, valid: 0, next: Next::Value, quoted: None, open: Vec::new(), names: Names::default() }
    }

    /// Goes on with all that has come so far, of which more may come.
    ///
    /// # Errors
    /// The first thing that is wrong, whatever is still to come.
    pub(crate) fn advance(&mut self, text: &[u8]) -> Result<(), Wrong> {
        self.utf8(text, false)?;
        Look { scanner: self, text, is_end: false }.run()
    }

    /// Goes on to the end.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn end(mut self, text: &[u8]) -> Result<(), Wrong> {
        self.utf8(text, true)?;
        Look { scanner: &mut self, text, is_end: true }.run()?;
        let is_whole = self.next == Next::Behind && self.open.is_empty() && self.quoted.is_none();
        if is_whole { Ok(()) } else { Err(Wrong::Syntax) }
    }

    fn utf8(&mut self, text: &[u8], is_end: bool) -> Result<(), Wrong> {
        match std::str::from_utf8(text.get(self.valid..).unwrap_or_default()) {
            Ok(_) => self.valid = text.len(),
            Err(error) if error.error_len().is_none() && !is_end => self.valid += error.valid_up_to(),
            Err(_) => return Err(Wrong::Utf8),
        }
        Ok(())
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
        self.next = Next::First;
        Ok(())
    }

    fn leave(&mut self) {
        let is_object = self.open.pop().is_some_and(|open| open.is_object);
        if is_object && !self.limits.allows_duplicates {
            self.names.leave();
        }
        self.at += 1;
        self.next = Next::Behind;
    }

    /// Another member or item begins.
    fn count(&mut self) -> Result<(), Wrong> {
        let Limits { members, items, .. } = self.limits;
        let open = self.open.last_mut().ok_or(Wrong::Syntax)?;
        open.count += 1;
        match open.is_object {
            true if open.count > members => Err(Wrong::Members),
            false if open.count > items => Err(Wrong::Items),
            _ => Ok(()),
        }
    }

    fn is_in_object(&self) -> bool {
        self.open.last().is_some_and(|open| open.is_object)
    }
}

/// A scanner before what there is of its text. What gives `None` needs bytes that have not come.
struct Look<'a> {
    scanner: &'a mut Scanner,
    text: &'a [u8],
    is_end: bool,
}

/// A part of a text that is whole, if it is.
type Whole<T> = Result<Option<T>, Wrong>;

impl<'a> Look<'a> {
    fn run(mut self) -> Result<(), Wrong> {
        while self.step()?.is_some() {}
        Ok(())
    }

    /// Goes over one token.
    fn step(&mut self) -> Whole<()> {
        if self.scanner.quoted.is_none() {
            self.space();
        }
        let Some(byte) = self.peek() else { return Ok(None) };
        match self.scanner.next {
            Next::Value => self.value(byte),
            Next::Name => self.name(),
            Next::First => match (byte, self.scanner.is_in_object()) {
                (b'}', true) | (b']', false) => {
                    self.scanner.leave();
                    Ok(Some(()))
                }
                (b'"', true) | (_, false) => self.begin(),
                _ => Err(Wrong::Syntax),
            },
            Next::Colon => {
                if byte != b':' {
                    return Err(Wrong::Syntax);
                }
                self.scanner.at += 1;
                self.scanner.next = Next::Value;
                Ok(Some(()))
            }
            Next::Behind => match (byte, self.scanner.open.last().map(|open| open.is_object)) {
                (b',', Some(_)) => {
                    self.scanner.at += 1;
                    self.begin()
                }
                (b'}', Some(true)) | (b']', Some(false)) => {
                    self.scanner.leave();
                    Ok(Some(()))
                }
                _ => Err(Wrong::Syntax),
            },
        }
    }

    /// A member or an item.
    fn begin(&mut self) -> Whole<()> {
        self.scanner.next = if self.scanner.is_in_object() { Next::Name } else { Next::Value };
        self.scanner.count()?;
        Ok(Some(()))
    }

    fn value(&mut self, byte: u8) -> Whole<()> {
        let is_whole = match byte {
            // Within a text any byte may come.
            _ if self.scanner.quoted.is_some() => self.string(self.scanner.limits.string, Wrong::String)?.is_some(),
            b'{' | b'[' => {
                self.scanner.enter(byte == b'{')?;
                return Ok(Some(()));
            }
            b'"' => self.string(self.scanner.limits.string, Wrong::String)?.is_some(),
            b't' => self.word(b"true")?.is_some(),
            b'f' => self.word(b"false")?.is_some(),
            b'n' => self.word(b"null")?.is_some(),
            _ => self.number()?.is_some(),
        };
        if !is_whole {
            return Ok(None);
        }
        self.scanner.next = Next::Behind;
        Ok(Some(()))
    }

    fn name(&mut self) -> Whole<()> {
        if self.scanner.quoted.is_none() && self.peek() != Some(b'"') {
            return Err(Wrong::Syntax);
        }
        let Some(quoted) = self.string(self.scanner.limits.name, Wrong::Name)? else { return Ok(None) };
        let Quoted { start, at: end, has_escapes } = quoted;
        let scanner = &mut *self.scanner;
        if !scanner.limits.allows_duplicates && !scanner.names.add(self.text, start..end, has_escapes) {
            return Err(Wrong::Duplicate);
        }
        let name = self.text.get(start..end).unwrap_or_default();
        if has_escapes && memchr::memmem::find(name, b"\\u0000").is_some() {
            return Err(Wrong::Nul);
        }
        scanner.next = Next::Colon;
        Ok(Some(()))
    }

    /// A text in quotes: where it is between them, and whether anything in it is escaped.
    fn string(&mut self, most: usize, wrong: Wrong) -> Whole<Quoted> {
        let start = self.scanner.at + 1;
        let mut quoted = self.scanner.quoted.take().unwrap_or(Quoted { start, at: start, has_escapes: false });
        loop {
            quoted.at = special(self.text, quoted.at);
            let is_whole = match self.text.get(quoted.at) {
                Some(b'"') => true,
                Some(b'\\') => {
                    quoted.has_escapes = true;
                    match self.escape(quoted.at + 1)? {
                        Some(at) => quoted.at = at,
                        None => return self.later(quoted),
                    }
                    false
                }
                Some(_) => return Err(Wrong::Syntax),
                None if self.is_end => return Err(Wrong::Syntax),
                None if quoted.at - quoted.start > most => return Err(wrong),
                None => return self.later(quoted),
            };
            if quoted.at - quoted.start > most {
                return Err(wrong);
            }
            if is_whole {
                self.scanner.at = quoted.at + 1;
                return Ok(Some(quoted));
            }
        }
    }

    /// Goes on there when more has come.
    fn later<T>(&mut self, quoted: Quoted) -> Whole<T> {
        if self.is_end {
            return Err(Wrong::Syntax);
        }
        self.scanner.quoted = Some(quoted);
        Ok(None)
    }

    /// Where the text goes on behind an escape whose backslash is before `at`.
    fn escape(&self, at: usize) -> Whole<usize> {
        let Some(byte) = self.text.get(at) else { return Ok(None) };
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(Some(at + 1)),
            b'u' => match self.unit(at + 1)? {
                None => Ok(None),
                Some(0xDC00..=0xDFFF) => Err(Wrong::Surrogate),
                Some(0xD800..=0xDBFF) => {
                    for (index, expected) in [(at + 5, b'\\'), (at + 6, b'u')] {
                        match self.text.get(index) {
                            Some(byte) if *byte == expected => {}
                            // Half of a pair is what is wrong, also where nothing follows it.
                            None if !self.is_end => return Ok(None),
                            _ => return Err(Wrong::Surrogate),
                        }
                    }
                    match self.unit(at + 7)? {
                        None => Ok(None),
                        Some(0xDC00..=0xDFFF) => Ok(Some(at + 11)),
                        Some(_) => Err(Wrong::Surrogate),
                    }
                }
                Some(_) => Ok(Some(at + 5)),
            },
            _ => Err(Wrong::Syntax),
        }
    }

    /// Four hexadecimal digits.
    fn unit(&self, at: usize) -> Whole<u32> {
        let mut unit = 0;
        for index in at..at + 4 {
            let Some(byte) = self.text.get(index) else { return Ok(None) };
            unit = unit << 4 | char::from(*byte).to_digit(16).ok_or(Wrong::Syntax)?;
        }
        Ok(Some(unit))
    }

    fn number(&mut self) -> Whole<()> {
        let start = self.scanner.at;
        let mut at = start;
        let whole = self.digits_of_number(&mut at)?;
        // Behind its last digit there may be another one.
        let is_whole = whole.is_some() && (self.is_end || at < self.text.len());
        let number = self.text.get(start..at).unwrap_or_default();
        if number.len() > self.scanner.limits.number {
            return Err(Wrong::Number);
        }
        if !is_whole {
            return if self.is_end { Err(Wrong::Syntax) } else { Ok(None) };
        }
        // The largest float has 309 digits.
        let has_exponent = number.iter().any(|b| matches!(b, b'e' | b'E'));
        if (has_exponent || number.len() > 300) && !is_finite(number) {
            return Err(Wrong::Range);
        }
        self.scanner.at = at;
        Ok(Some(()))
    }

    /// As far as there is a number; `None` where a digit has to follow and nothing does.
    fn digits_of_number(&self, at: &mut usize) -> Whole<()> {
        let peek = |at: usize| self.text.get(at);
        if peek(*at) == Some(&b'-') {
            *at += 1;
        }
        match peek(*at) {
            Some(b'0') => *at += 1,
            _ => {
                if self.digits(at)?.is_none() {
                    return Ok(None);
                }
            }
        }
        if peek(*at) == Some(&b'.') {
            *at += 1;
            if self.digits(at)?.is_none() {
                return Ok(None);
            }
        }
        if matches!(peek(*at), Some(b'e' | b'E')) {
            *at += 1;
            if matches!(peek(*at), Some(b'+' | b'-')) {
                *at += 1;
            }
            return self.digits(at);
        }
        Ok(Some(()))
    }

    /// At least one digit.
    fn digits(&self, at: &mut usize) -> Whole<()> {
        let rest = self.text.get(*at..).unwrap_or_default();
        let count = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        *at += count;
        match (count, rest.len()) {
            (0, 0) => Ok(None),
            (0, _) => Err(Wrong::Syntax),
            _ => Ok(Some(())),
        }
    }

    fn word(&mut self, word: &[u8]) -> Whole<()> {
        let rest = self.text.get(self.scanner.at..).unwrap_or_default();
        if rest.starts_with(word) {
            self.scanner.at += word.len();
            return Ok(Some(()));
        }
        if word.starts_with(rest) && !self.is_end { Ok(None) } else { Err(Wrong::Syntax) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.scanner.at += 1;
        }
    }

    /// The byte at which to go on.
    fn peek(&self) -> Option<u8> {
        let at = self.scanner.quoted.map_or(self.scanner.at, |quoted| quoted.at);
        self.text.get(at).copied()
    }
}

fn is_finite(number: &[u8]) -> bool {
    std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite)
}
