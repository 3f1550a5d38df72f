//! `portcullis check`: everything that is wrong with a configuration, or weaker than it looks.

use crate::{
    args, ask,
    inspect::{self, Subject},
    settings,
    source::Source,
};
use gateway::lint;
use model::settings::Severity;
use serde_json::{Value, json};
use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Something does not work as it is written.
    Error,
    /// Something works and is weak.
    Warning,
    /// Something to know.
    Note,
}

/// One thing to say.
struct Line {
    level: Level,
    /// The file and line, or the settings.
    place: String,
    /// The document or setting.
    at: String,
    /// The rule that found it.
    rule: Option<String>,
    message: String,
}

#[derive(Default)]
struct Report(Vec<Line>);

/// Looks, and says what was found.
///
/// # Errors
/// Nothing could be looked at.
pub(crate) fn run(check: &args::Check) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let name = check.which.settings.config.as_ref().map_or("settings".into(), |path| path.display().to_string());
    match settings::read(check.which.settings.config.as_deref()) {
        Err(error) => report.say(Level::Error, &name, "", None, format!("{error:#}")),
        Ok(read) => {
            report.of_settings(&read);
            let source = Source::of(&read.settings, read.path.as_deref());
            let source = match (source, &check.which.file) {
                (Ok(source), _) => source,
                // The file is looked at whatever the settings would serve.
                (Err(error), Some(_)) => {
                    report.say(Level::Error, &read.name, "", None, format!("{error:#}"));
                    Source::Pushed
                }
                (Err(error), None) => {
                    report.say(Level::Error, &read.name, "", None, format!("{error:#}"));
                    return report.end(check);
                }
            };
            match inspect::open(&read.settings, &source, check.which.file.as_deref())? {
                Subject::Here(here) => report.of_configuration(&here),
                Subject::Running(endpoint) => {
                    report.of_answer(&ask::control(endpoint, "GET", "/v1/portcullis/check", "")?);
                }
            }
        }
    }
    report.end(check)
}

impl Report {
    fn say(&mut self, level: Level, place: &str, at: &str, rule: Option<&str>, message: String) {
        let (place, at, rule) = (place.to_owned(), at.to_owned(), rule.map(str::to_owned));
        self.0.push(Line { level, place, at, rule, message });
    }

    fn of_settings(&mut self, read: &settings::Read) {
        for notice in &read.notices {
            let level = if notice.severity == Severity::Refuse { Level::Error } else { Level::Note };
            self.say(level, &read.name, &notice.path, Some("setting-without-effect"), notice.message.clone());
        }
        for weakness in read.settings.weaknesses() {
            self.say(Level::Warning, &read.name, &weakness.path, Some(weakness.rule), weakness.message);
        }
        let known = catalog::all();
        for name in read.settings.plugins.iter().flatten() {
            if !known.iter().any(|plugin| plugin.name == name) {
                let message = format!("this version has no plugin {name}: what configures it is refused");
                self.say(Level::Note, &read.name, "plugins", Some("unknown-plugin"), message);
            }
        }
    }

    fn of_configuration(&mut self, here: &inspect::Here) {
        for notice in &here.notices {
            self.say(Level::Note, "settings", "plugin_attr", Some("setting-without-effect"), notice.clone());
        }
        if let Some(reason) = &here.refused {
            self.say(Level::Error, "", "", Some("unusable-file"), reason.clone());
        }
        for problem in here.flow.problems() {
            let at = format!("{}{}", problem.key, problem.json_path);
            self.say(Level::Error, &problem.place.unwrap_or_default(), &at, None, problem.message);
        }
        for finding in lint::findings(&here.flow) {
            let at = format!("{}{}", finding.key, finding.json_path);
            let place = finding.place.unwrap_or_default();
            let level = match finding.level {
                lint::Level::Warning => Level::Warning,
                lint::Level::Note => Level::Note,
            };
            self.say(level, &place, &at, Some(finding.rule), finding.message);
        }
    }

    /// The same from a running gateway.
    fn of_answer(&mut self, answer: &Value) {
        for (name, level) in [("problems", Level::Error), ("findings", Level::Warning)] {
            for item in answer[name].as_array().into_iter().flatten() {
                let text = |field: &str| item[field].as_str().unwrap_or_default();
                let at = format!("{}{}", text("key"), text("json_path"));
                let rule = item["rule"].as_str();
                let level = if item["level"] == "note" { Level::Note } else { level };
                self.say(level, text("place"), &at, rule, text("message").to_owned());
            }
        }
    }

    fn end(mut self, check: &args::Check) -> anyhow::Result<ExitCode> {
        self.0.sort_by_key(|line| line.level);
        let count = |level| self.0.iter().filter(|line| line.level == level).count();
        let (errors, warnings) = (count(Level::Error), count(Level::Warning));
        let mut out = io::stdout().lock();
        if check.which.json {
            let lines = self.0.iter().map(|line| {
                json!({ "level": line.level.name(), "place": line.place, "at": line.at, "rule": line.rule, "message": line.message })
            });
            writeln!(out, "{}", json!({ "errors": errors, "warnings": warnings, "lines": lines.collect::<Vec<_>>() }))?;
        } else {
            for line in &self.0 {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "{errors} errors, {warnings} warnings")?;
        }
        let fails = errors > 0 || (check.strict && warnings > 0);
        Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7}", self.level.name())?;
        for part in [&self.place, &self.at].into_iter().filter(|part| !part.is_empty()) {
            write!(f, " {part}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.rule {
            Some(rule) => write!(f, " [{rule}]"),
            None => Ok(()),
        }
    }
}
