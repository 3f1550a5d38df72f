//! Several patterns, any of which may match.

use model::pattern::{Case, Pattern, PatternError, StepLimit};

/// A list of patterns as one.
#[derive(Debug)]
pub(crate) struct Patterns {
    /// One alternation of all where that can be had, otherwise each for itself.
    list: Vec<Pattern>,
}

impl Patterns {
    /// Compiles each, so that what is wrong is said of the one that is wrong.
    pub(crate) fn compile(sources: &[String], case: Case) -> Result<Self, PatternError> {
        let list: Vec<Pattern> =
            sources.iter().map(|source| Pattern::compile(source, case)).collect::<Result<_, _>>()?;
        let may_join =
            list.len() > 1 && list.iter().all(|pattern| pattern.is_linear() && stays_inside(pattern.as_str()));
        if may_join {
            let joined: Vec<String> = sources.iter().map(|source| format!("(?:{source})")).collect();
            // It may be too large as one.
            if let Some(one) = Pattern::compile(&joined.join("|"), case).ok().filter(Pattern::is_linear) {
                return Ok(Self { list: vec![one] });
            }
        }
        Ok(Self { list })
    }

    /// Whether any of them occurs in the subject.
    pub(crate) fn is_match(&self, subject: &[u8]) -> Result<bool, StepLimit> {
        let mut is_known = true;
        for pattern in &self.list {
            match pattern.is_match(subject) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(StepLimit) => is_known = false,
            }
        }
        if is_known { Ok(false) } else { Err(StepLimit) }
    }
}

/// Whether a pattern means the same between parentheses: nothing in it, such as a quotation or a comment, can reach over its end.
fn stays_inside(source: &str) -> bool {
    let has_flags = source.split("(?").skip(1).any(|rest| {
        rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '-' || first == '#')
            && !rest.starts_with("i)")
    });
    !source.contains("\\Q") && !has_flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(sources: &[&str]) -> Patterns {
        let sources: Vec<String> = sources.iter().map(|&source| source.to_owned()).collect();
        Patterns::compile(&sources, Case::Sensitive).unwrap()
    }

    #[test]
    fn a_list_matches_where_one_of_it_does() {
        for (desc, sources, count, subject, expected) in [
            ("joined", vec!["^a$", "b+"], 1, "xbb", true),
            ("anchors stay with their own", vec!["^a", "b$"], 1, "xa", false),
            ("an alternation stays together", vec!["a|b", "^c"], 1, "xc", false),
            ("flags end with their pattern", vec!["(?i)a", "b"], 1, "B", false),
            ("flags hold in their pattern", vec!["(?i)a", "b"], 1, "A", true),
            ("a quotation is not joined", vec!["\\Qa)", "[)]\\E)|(?:b"], 0, "b", false),
            ("an extended pattern is not joined", vec!["(?s)a.b", "c"], 2, "a\nb", true),
            ("look-around is not joined", vec!["a(?=b)", "c"], 2, "ab", true),
            ("one", vec!["a"], 1, "a", true),
            ("none", vec![], 0, "a", false),
        ] {
            let owned: Vec<String> = sources.iter().map(|&source| source.to_owned()).collect();
            let Ok(patterns) = Patterns::compile(&owned, Case::Sensitive) else {
                assert_eq!(count, 0, "{desc}");
                continue;
            };
            assert_eq!(patterns.list.len(), count, "{desc}");
            assert_eq!(patterns.is_match(subject.as_bytes()), Ok(expected), "{desc}");
        }
    }

    #[test]
    fn a_match_counts_more_than_a_limit() {
        let slow = "^(?:(?=a)(?:a|aa))+$";
        let subject = format!("{}b", "a".repeat(60));
        assert_eq!(compiled(&[slow, "c"]).is_match(subject.as_bytes()), Err(StepLimit));
        assert_eq!(compiled(&[slow, "b"]).is_match(subject.as_bytes()), Ok(true));
    }
}
