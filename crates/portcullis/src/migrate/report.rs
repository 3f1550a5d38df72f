use std::io::{self, Write};

/// What becomes of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// This version cannot do it.
    Refused,
    /// It works, and not exactly as in APISIX.
    Differs,
    /// It was changed in the new files.
    Changed,
    /// To know.
    Note,
    /// As in APISIX.
    Same,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Differs => "differs",
            Self::Changed => "changed",
            Self::Note => "note",
            Self::Same => "same",
        }
    }
}

/// What becomes of everything.
#[derive(Default)]
pub(super) struct Report(Vec<(Outcome, String, String)>);

impl Report {
    pub(super) fn say(&mut self, outcome: Outcome, what: String, message: String) {
        self.0.push((outcome, what, message));
    }

    /// Whether something was said of it.
    pub(super) fn has(&self, what: &str) -> bool {
        self.0.iter().any(|(_, known, _)| known == what)
    }

    pub(super) fn has_refused(&self) -> bool {
        self.0.iter().any(|(outcome, ..)| *outcome == Outcome::Refused)
    }

    /// One line per thing; what is the same only when `all` are asked for.
    pub(super) fn write(&self, out: &mut dyn Write, all: bool) -> io::Result<()> {
        for (outcome, what, message) in &self.0 {
            if *outcome == Outcome::Same && !all {
                continue;
            }
            match message.is_empty() {
                true => writeln!(out, "{:<7} {what}", outcome.name())?,
                false => writeln!(out, "{:<7} {what}: {message}", outcome.name())?,
            }
        }
        let count = |of| self.0.iter().filter(|(outcome, ..)| *outcome == of).count();
        let counts = [Outcome::Same, Outcome::Differs, Outcome::Changed, Outcome::Refused];
        let counts: Vec<_> = counts.iter().map(|of| format!("{} {}", count(*of), of.name())).collect();
        writeln!(out, "{}", counts.join(", "))
    }
}
