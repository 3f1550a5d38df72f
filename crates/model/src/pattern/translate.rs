//! From PCRE's syntax to that of the Rust engines.
//!
//! The two look alike and differ quietly: `a++`, `\<`, `\v`, `[[a]`, `[a&&b]`, `$`. Everything that
//! differs is rewritten here or refused; nothing is passed on in the hope that it means the same.

use std::fmt::Write as _;

/// The engine a pattern is translated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// No look-around, no back-references.
    Linear,
    /// Everything, under a step limit.
    Backtracking,
}

/// A pattern in the engine's own syntax.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) source: String,
    /// A `$` was written as "the very end"; the matcher also tries before a final newline.
    pub(super) has_dollar: bool,
}

/// Why a pattern was not translated.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("needs backtracking")]
    NeedsBacktracking,
    #[error("`{0}` is not supported")]
    Unsupported(String),
    #[error("{0}")]
    Malformed(&'static str),
}

/// Rewrites `pattern` for `engine`.
pub(super) fn translate(pattern: &str, engine: Engine) -> Result<Translated, Refusal> {
    if pattern.starts_with("(*") {
        return Err(unsupported("(*VERB)"));
    }
    let mut translation = Translation {
        rest: pattern.as_bytes(),
        engine,
        groups: pattern.bytes().filter(|byte| *byte == b'(').count(),
        out: String::with_capacity(pattern.len() + 8),
        has_dollar: false,
        has_end: false,
        multi_line: false,
    };
    translation.run()?;
    if engine == Engine::Linear && translation.has_dollar && translation.has_end {
        return Err(Refusal::NeedsBacktracking);
    }
    Ok(Translated { source: translation.out, has_dollar: translation.has_dollar })
}

struct Translation<'p> {
    rest: &'p [u8],
    engine: Engine,
    /// Upper bound of the number of groups, to tell `\12` from an octal character.
    groups: usize,
    out: String,
    has_dollar: bool,
    has_end: bool,
    multi_line: bool,
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), Refusal> {
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => self.escape()?,
                b'[' => self.class()?,
                b'(' => self.group()?,
                b'$' if self.multi_line => self.out.push('$'),
                b'$' => self.end_of_subject()?,
                b'*' | b'+' | b'?' => {
                    self.out.push(char::from(byte));
                    self.quantifier_suffix()?;
                }
                b'{' => match self.counted() {
                    Some(counted) => {
                        self.out.push_str(&counted);
                        self.quantifier_suffix()?;
                    }
                    None => self.out.push_str("\\{"),
                },
                b'}' => self.out.push_str("\\}"),
                byte => self.literal(byte),
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn eat(&mut self, prefix: &[u8]) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn needs_backtracking(&self) -> Result<(), Refusal> {
        match self.engine {
            Engine::Linear => Err(Refusal::NeedsBacktracking),
            Engine::Backtracking => Ok(()),
        }
    }

    /// A character that has no meaning outside of a class.
    fn literal(&mut self, byte: u8) {
        if byte.is_ascii() {
            self.out.push(char::from(byte));
        } else {
            self.code(byte);
        }
    }

    /// A byte by its number.
    fn code(&mut self, byte: u8) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "\\x{byte:02X}");
    }

    /// `$` and `\Z`: the end, or before a final newline.
    fn end_of_subject(&mut self) -> Result<(), Refusal> {
        match self.engine {
            Engine::Backtracking => self.out.push_str("(?=\\n?\\z)"),
            Engine::Linear => {
                // Something that could match the newline behind the `$` needs a real look-ahead.
                if !matches!(self.peek(), None | Some(b')' | b'|')) {
                    return Err(Refusal::NeedsBacktracking);
                }
                self.out.push_str("\\z");
            }
        }
        self.has_dollar = true;
        Ok(())
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else behind `{` is literal in PCRE.
    fn counted(&mut self) -> Option<String> {
        let close = self.rest.iter().position(|byte| *byte == b'}')?;
        let inside = std::str::from_utf8(self.rest.get(..close)?).ok()?;
        let (low, high) = match inside.split_once(',') {
            Some((low, high)) => (low, Some(high)),
            None => (inside, None),
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(low) || !high.is_none_or(|high| high.is_empty() || is_number(high)) {
            return None;
        }
        self.rest = self.rest.get(close + 1..)?;
        Some(format!("{{{inside}}}"))
    }

    /// `?` (lazy) and `+` (possessive) behind a quantifier.
    fn quantifier_suffix(&mut self) -> Result<(), Refusal> {
        if self.eat(b"?") {
            self.out.push('?');
        } else if self.eat(b"+") {
            self.needs_backtracking()?;
            if self.out.ends_with('}') {
                return Err(unsupported("{n,m}+"));
            }
            self.out.push('+');
        }
        if matches!(self.peek(), Some(b'*' | b'+' | b'?')) {
            return Err(Refusal::Malformed("nothing to repeat"));
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Refusal> {
        let Some(byte) = self.next() else {
            return Err(Refusal::Malformed("\\ at end of pattern"));
        };
        match byte {
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' | b'b' | b'B' | b'A' | b'n' | b'r' | b't' | b'f' | b'a' => {
                self.out.push('\\');
                self.out.push(char::from(byte));
                if matches!(byte, b'b' | b'B') && self.peek() == Some(b'{') {
                    // `\b{start}` is a word boundary of the Rust engine only.
                    self.next();
                    self.out.push_str("(?:)\\{");
                }
            }
            b'z' => {
                self.has_end = true;
                self.out.push_str("\\z");
            }
            b'Z' => self.end_of_subject()?,
            b'h' => self.out.push_str("[\\t \\xA0]"),
            b'H' => self.out.push_str("[^\\t \\xA0]"),
            b'v' => self.out.push_str("[\\n\\x0B\\x0C\\r\\x85]"),
            b'V' => self.out.push_str("[^\\n\\x0B\\x0C\\r\\x85]"),
            b'R' => self.out.push_str("(?:\\r\\n|[\\n\\x0B\\x0C\\r\\x85])"),
            b'N' if self.peek() != Some(b'{') => self.out.push_str("[^\\n]"),
            b'K' => {
                self.needs_backtracking()?;
                self.out.push_str("\\K");
            }
            b'k' => self.named_reference()?,
            b'Q' => self.quoted(),
            b'E' => {}
            b'1'..=b'9' => self.numbered(byte)?,
            _ => {
                let code = self.character(byte)?;
                self.code_or_literal(code);
            }
        }
        Ok(())
    }

    fn code_or_literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.out.push(char::from(byte));
        } else {
            self.code(byte);
        }
    }

    /// An escape that stands for one byte, inside or outside of a class.
    fn character(&mut self, byte: u8) -> Result<u8, Refusal> {
        match byte {
            b'n' => Ok(b'\n'),
            b'r' => Ok(b'\r'),
            b't' => Ok(b'\t'),
            b'f' => Ok(0x0C),
            b'a' => Ok(0x07),
            b'e' => Ok(0x1B),
            b'x' => self.hexadecimal(),
            b'0'..=b'7' => Ok(self.octal(byte)),
            b'c' => match self.next() {
                Some(control) if control.is_ascii_graphic() => Ok(control.to_ascii_uppercase() ^ 0x40),
                _ => Err(Refusal::Malformed("\\c must be followed by a character")),
            },
            byte if byte.is_ascii_alphanumeric() => Err(unsupported(&format!("\\{}", char::from(byte)))),
            byte => Ok(byte),
        }
    }

    fn hexadecimal(&mut self) -> Result<u8, Refusal> {
        let digits = if self.eat(b"{") {
            let close =
                self.rest.iter().position(|byte| *byte == b'}').ok_or(Refusal::Malformed("missing } after \\x{"))?;
            let (digits, rest) = self.rest.split_at(close);
            self.rest = rest.get(1..).unwrap_or_default();
            digits
        } else {
            let length = self.rest.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let (digits, rest) = self.rest.split_at(length);
            self.rest = rest;
            digits
        };
        if digits.is_empty() {
            return Ok(0);
        }
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or(Refusal::Malformed("character value in \\x{} is too large"))
    }

    fn octal(&mut self, first: u8) -> u8 {
        let mut value = u32::from(first - b'0');
        for _ in 0..2 {
            match self.peek() {
                Some(digit @ b'0'..=b'7') => {
                    value = value * 8 + u32::from(digit - b'0');
                    self.next();
                }
                _ => break,
            }
        }
        // PCRE keeps the low eight bits in byte mode.
        value.to_le_bytes()[0]
    }

    /// `\1` and friends: a back-reference, or an octal character when there are not that many groups.
    fn numbered(&mut self, first: u8) -> Result<(), Refusal> {
        let more = self.rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        let number = self
            .rest
            .iter()
            .take(more)
            .fold(usize::from(first - b'0'), |number, digit| number * 10 + usize::from(digit - b'0'));
        if more > 0 && number > self.groups {
            if first > b'7' {
                return Err(Refusal::Malformed("reference to non-existent group"));
            }
            let code = self.octal(first);
            self.code_or_literal(code);
            return Ok(());
        }
        self.needs_backtracking()?;
        self.rest = self.rest.get(more..).unwrap_or_default();
        let _ = write!(self.out, "\\{number}");
        Ok(())
    }

    fn named_reference(&mut self) -> Result<(), Refusal> {
        self.needs_backtracking()?;
        let close = match self.next() {
            Some(b'<') => b'>',
            Some(b'{') => b'}',
            Some(b'\'') => b'\'',
            _ => return Err(Refusal::Malformed("\\k is not followed by a name")),
        };
        let name = self.name_until(close)?;
        let _ = write!(self.out, "\\k<{name}>");
        Ok(())
    }

    fn name_until(&mut self, close: u8) -> Result<String, Refusal> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some(byte) if byte == close && !name.is_empty() => return Ok(name),
                Some(byte) if byte == b'_' || byte.is_ascii_alphanumeric() => {
                    name.push(char::from(byte));
                }
                _ => return Err(Refusal::Malformed("malformed group name")),
            }
        }
    }

    /// `\Q...\E`
    fn quoted(&mut self) {
        while !self.rest.is_empty() && !self.eat(b"\\E") {
            if let Some(byte) = self.next() {
                self.code_or_literal(byte);
            }
        }
    }

    fn group(&mut self) -> Result<(), Refusal> {
        if self.peek() == Some(b'*') {
            return Err(unsupported("(*VERB)"));
        }
        if !self.eat(b"?") {
            self.out.push('(');
            return Ok(());
        }
        if self.eat(b"#") {
            while let Some(byte) = self.next() {
                if byte == b')' {
                    return Ok(());
                }
            }
            return Err(Refusal::Malformed("missing ) after comment"));
        }
        if self.eat(b":") {
            self.out.push_str("(?:");
            return Ok(());
        }
        for special in ["=", "!", "<=", "<!", ">", "("] {
            if self.eat(special.as_bytes()) {
                self.needs_backtracking()?;
                self.out.push_str("(?");
                self.out.push_str(special);
                return Ok(());
            }
        }
        if self.eat(b"P=") {
            self.needs_backtracking()?;
            let name = self.name_until(b')')?;
            let _ = write!(self.out, "\\k<{name}>");
            return Ok(());
        }
        for (open, close) in [("P<", b'>'), ("<", b'>'), ("'", b'\'')] {
            if self.eat(open.as_bytes()) {
                let name = self.name_until(close)?;
                let _ = write!(self.out, "(?<{name}>");
                return Ok(());
            }
        }
        self.inline_options()
    }

    /// `(?i)`, `(?s-m:`; only the options that mean the same in the Rust engines.
    fn inline_options(&mut self) -> Result<(), Refusal> {
        self.out.push_str("(?");
        let mut on = true;
        while let Some(byte) = self.next() {
            match byte {
                b'i' | b's' => {}
                b'm' => self.multi_line |= on,
                b'-' => on = false,
                b')' | b':' => {
                    self.out.push(char::from(byte));
                    return Ok(());
                }
                byte => return Err(unsupported(&format!("(?{}", char::from(byte)))),
            }
            self.out.push(char::from(byte));
        }
        Err(Refusal::Malformed("missing )"))
    }

    fn class(&mut self) -> Result<(), Refusal> {
        self.out.push('[');
        if self.eat(b"^") {
            self.out.push('^');
        }
        let mut first = true;
        let mut last = Last::Set;
        loop {
            let Some(byte) = self.next() else {
                return Err(Refusal::Malformed("missing terminating ] for character class"));
            };
            last = match byte {
                b']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                b'[' if self.peek() == Some(b':') && self.posix_class() => Last::Set,
                b'[' if matches!(self.peek(), Some(b'.' | b'=')) => {
                    return Err(unsupported("POSIX collating elements"));
                }
                b'-' if last == Last::Character && !self.at_set_or_end() => {
                    self.out.push('-');
                    Last::OpenRange
                }
                b'\\' if self.class_escape()? => Last::Set,
                byte => {
                    if byte != b'\\' {
                        self.code_or_literal(byte);
                    }
                    match last {
                        Last::OpenRange => Last::Set,
                        Last::Character | Last::Set => Last::Character,
                    }
                }
            };
            first = false;
        }
    }

    /// Whether `\d`, `[:digit:]` or the end of the class follows: a `-` before it is literal.
    fn at_set_or_end(&self) -> bool {
        match self.rest {
            [b']', ..] | [b'[', b':', ..] => true,
            [b'\\', letter, ..] => matches!(letter, b'd' | b'D' | b'w' | b'W' | b's' | b'S' | b'h' | b'v'),
            _ => false,
        }
    }

    /// `[:alpha:]`; whether there was one.
    fn posix_class(&mut self) -> bool {
        let Some(close) = memchr::memmem::find(self.rest, b":]") else {
            return false;
        };
        let name = self.rest.get(1..close).unwrap_or_default();
        let word = name.strip_prefix(b"^").unwrap_or(name);
        if word.is_empty() || !word.iter().all(u8::is_ascii_alphabetic) {
            return false;
        }
        let name = String::from_utf8_lossy(name).into_owned();
        self.rest = self.rest.get(close + 2..).unwrap_or_default();
        let _ = write!(self.out, "[:{name}:]");
        true
    }

    /// Writes what stands behind a backslash; whether it is a set rather than one character.
    fn class_escape(&mut self) -> Result<bool, Refusal> {
        let Some(byte) = self.next() else {
            return Err(Refusal::Malformed("\\ at end of pattern"));
        };
        match byte {
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' => {
                self.out.push('\\');
                self.out.push(char::from(byte));
                return Ok(true);
            }
            b'h' => {
                self.out.push_str("\\t \\xA0");
                return Ok(true);
            }
            b'v' => {
                self.out.push_str("\\n\\x0B\\x0C\\r\\x85");
                return Ok(true);
            }
            b'b' => self.code(0x08),
            b'8' | b'9' => self.code_or_literal(byte),
            byte => {
                let code = self.character(byte)?;
                self.code_or_literal(code);
            }
        }
        Ok(false)
    }
}

/// What the last item of a class means for a `-` behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// A character, from which a range can start.
    Character,
    /// A character and a `-`: the next one ends the range.
    OpenRange,
    /// A set, a finished range or nothing: a `-` is literal.
    Set,
}

fn unsupported(syntax: &str) -> Refusal {
    Refusal::Unsupported(syntax.to_owned())
}
