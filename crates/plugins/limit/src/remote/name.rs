use super::Policy;
use serde_json::Value;
use std::collections::BTreeMap;

/// The longest value of a key that stands in Redis as it is; of longer ones there is a hash.
const MAX_VALUE: usize = 256;

/// The names of a plugin's keys in Redis: equal on all nodes that have the same document.
pub(crate) struct Names {
    prefix: String,
}

/// What stands between a plugin's prefix and the value of a request.
pub(crate) enum KeyName<'a> {
    /// The document, and the configuration in it.
    Owner(&'a str, &'a Value),
    /// A group.
    Group(&'a str),
}

impl Names {
    pub(crate) fn new(plugin: &str, of: &KeyName<'_>) -> Self {
        let prefix = match of {
            KeyName::Owner(owner, config) => format!("{plugin}:{owner}:{}:", digest(sorted(config, false).as_bytes())),
            KeyName::Group(group) => format!("{plugin}:{group}:"),
        };
        Self { prefix }
    }

    /// What the names begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of a value, for a part of the plugin's configuration (a rule, a window).
    pub(crate) fn key(&self, part: &str, value: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + part.len() + value.len() + 1);
        key.extend_from_slice(self.prefix.as_bytes());
        if !part.is_empty() {
            key.extend_from_slice(part.as_bytes());
            key.push(b':');
        }
        // With its length the hash cannot be mistaken for a value of the client's.
        match value.len() {
            0..=MAX_VALUE => key.extend_from_slice(value),
            length => key.extend_from_slice(format!("sha256:{}:{length}", full_digest(value)).as_bytes()),
        }
        key
    }
}

/// What connections are shared by.
pub(super) fn of_connection(policy: Policy, config: &Value) -> String {
    full_digest(format!("{policy:?}{}", sorted(config, true)).as_bytes())
}

/// A configuration's text in which the order of names does not count: either only what says how Redis is reached, or only what does
/// not, since counters stay when a password is changed.
fn sorted(config: &Value, is_connection: bool) -> String {
    let is_of_connection = |name: &str| name.starts_with("redis_") || name.starts_with("sentinel_");
    let is_of_neither = |name: &str| name == "redis_fallback";
    let kept: BTreeMap<&str, String> = config
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| is_of_connection(name) == is_connection && !is_of_neither(name))
        .map(|(name, value)| (name.as_str(), canonical(value)))
        .collect();
    format!("{kept:?}")
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<&str, String> =
                object.iter().map(|(name, value)| (name.as_str(), canonical(value))).collect();
            format!("{sorted:?}")
        }
        Value::Array(list) => format!("{:?}", list.iter().map(canonical).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

/// Half of a hash is long enough where nobody but an administrator chooses what is hashed.
fn digest(bytes: &[u8]) -> String {
    full_digest(bytes).split_off(32)
}

fn full_digest(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(config: &Value) -> Vec<u8> {
        Names::new("p", &KeyName::Owner("/routes/1", config)).key("1", b"value")
    }

    #[test]
    fn keys_are_the_same_however_the_configuration_is_written() {
        let one = json!({ "count": 1, "rules": [{ "a": 1, "b": 2 }], "redis_password": "x" });
        let same = json!({ "redis_password": "y", "rules": [{ "b": 2, "a": 1 }], "count": 1, "redis_host": "h" });
        let other = json!({ "count": 1, "rules": [{ "a": 1, "b": 3 }] });
        assert_eq!(key(&one), key(&same));
        assert_ne!(key(&one), key(&other));
        assert_ne!(of_connection(Policy::Redis, &one), of_connection(Policy::Redis, &same));
        assert_eq!(of_connection(Policy::Redis, &other), of_connection(Policy::Redis, &json!({})));
        // What is done without Redis changes neither counters nor how it is reached.
        let without =
            json!({ "count": 1, "rules": [{ "a": 1, "b": 2 }], "redis_password": "x", "redis_fallback": "local" });
        assert_eq!(key(&one), key(&without));
        assert_eq!(of_connection(Policy::Redis, &one), of_connection(Policy::Redis, &without));
        assert!(key(&one).starts_with(b"p:/routes/1:") && key(&one).ends_with(b":1:value"));
    }

    #[test]
    fn long_values_take_no_more_room_than_short_ones() {
        let names = Names::new("p", &KeyName::Group("g"));
        assert_eq!(names.key("", b"v"), b"p:g:v");
        let (long, longer) = (names.key("", &[b'a'; 65_536]), names.key("", &[b'a'; 65_537]));
        assert!(long.len() < 100 && long != longer);
        assert_ne!(names.key("", &long[4..]), long.clone().split_off(0)[..4].to_vec());
    }
}
