/// Something that is allowed, and weaker than it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the rule, in kebab-case.
    pub rule: &'static str,
    /// Where, as a JSON pointer into the plugin's configuration.
    pub path: String,
    /// What is weak, and what to do about it. Holds no value of the configuration that could be secret.
    pub message: String,
}

impl Finding {
    /// A finding at an attribute.
    pub fn at(rule: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { rule, path: path.into(), message: message.into() }
    }
}
