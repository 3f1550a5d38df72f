use super::*;

fn passes(kind: Kind, agents: &[&str]) -> Result<bool, StepLimit> {
    let patterns = Patterns::compile(&["^a".to_owned(), "^(?:(?=x)(?:x|xx))+$".to_owned()], Case::Sensitive).unwrap();
    let plugin = UaRestriction { patterns, kind, bypasses_missing: false, refusal: Reply::status(403) };
    plugin.passes(&agents.iter().map(|agent| ("User-Agent", *agent)).collect())
}

#[test]
fn what_is_not_known_does_not_pass() {
    let slow = format!("{}y", "x".repeat(60));
    for (desc, kind, agents, expected) in [
        ("denied and not known", Kind::Denies, vec![&*slow, "a"], Err(StepLimit)),
        ("denied first", Kind::Denies, vec!["a", &slow], Ok(false)),
        ("allowed and not known", Kind::AllowsAll, vec!["a", &slow], Err(StepLimit)),
        ("not known first", Kind::AllowsAny, vec![&slow, "a"], Err(StepLimit)),
        ("one that is allowed", Kind::AllowsAny, vec!["b", "a"], Ok(true)),
        ("white space around", Kind::AllowsAll, vec!["\t a "], Ok(true)),
        ("none", Kind::AllowsAny, vec!["b"], Ok(false)),
    ] {
        assert_eq!(passes(kind, &agents), expected, "{desc}");
    }
}
