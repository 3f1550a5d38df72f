//! A JSON Schema of `config.yaml`, made of what the readers ask for: there is no second list of settings.

use super::Settings;
use super::reader::{Form, Reader};
use super::unhonoured::UNHONOURED;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Documents that make the readers ask for what they ask for only then.
const ASKING: [&str; 3] = [
    "{}",
    r#"{ "deployment": { "role": "data_plane", "etcd": { "host": ["http://127.0.0.1:2379"] } } }"#,
    r#"{ "discovery": { "dns": { "servers": ["127.0.0.1"] } }, "apisix": { "status": { "port": 7085 } } }"#,
];

impl Settings {
    /// A JSON Schema of `config.yaml` for editors. Keys that have no effect here say so.
    pub fn schema() -> Value {
        let mut known: BTreeMap<&str, Form> = BTreeMap::new();
        for written in ASKING {
            let written = serde_json::from_str(written).unwrap_or_default();
            let reader = Reader::new(&written);
            // What is read before a mistake counts as well; there is none here.
            let _ = Self::read(&reader, &|_| None, &mut Vec::new());
            known.extend(reader.into_taken());
        }
        let mut root = section();
        for (path, form) in known {
            insert(&mut root, path, &leaf(form));
        }
        for key in UNHONOURED {
            insert(&mut root, key.path, &json!({ "description": format!("has no effect: {}", key.why) }));
        }
        root["$schema"] = "http://json-schema.org/draft-07/schema#".into();
        root["title"] = "config.yaml of Portcullis".into();
        root
    }
}

fn section() -> Value {
    json!({ "type": ["object", "null"], "properties": {}, "additionalProperties": false })
}

fn leaf(Form { expected, types }: Form) -> Value {
    let mut schema = Map::new();
    if !expected.is_empty() {
        schema.insert("description".to_owned(), expected.into());
    }
    if !types.is_empty() {
        // A value that the environment gives, `${{NAME}}`, is a text until it is put in.
        let types: Vec<&str> = types.iter().copied().chain(["null"]).collect();
        schema.insert("anyOf".to_owned(), json!([{ "type": types }, { "type": "string", "pattern": "\\$\\{\\{" }]));
    }
    Value::Object(schema)
}

/// Puts the schema of a key in its place; a key that is a section as well stays one.
fn insert(root: &mut Value, path: &str, schema: &Value) {
    let mut at = root;
    let mut segments = path.split('.').peekable();
    while let Some(segment) = segments.next() {
        let Some(properties) = at.get_mut("properties").and_then(Value::as_object_mut) else {
            // Below a key that is read as a whole.
            return;
        };
        let is_last = segments.peek().is_none();
        let made = || if is_last { schema.clone() } else { section() };
        at = properties.entry(segment).or_insert_with(made);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{schema::Schema, yaml};

    fn check(text: &str) -> Result<(), String> {
        let schema = Schema::compile(&Settings::schema()).unwrap();
        schema.check(&yaml::parse(text).unwrap()).map_err(|violation| violation.message)
    }

    #[test]
    fn what_is_a_setting_fits_and_what_is_none_does_not() {
        for text in [
            "",
            "apisix: {node_listen: [9080, {port: 81}], enable_ipv6: false, ssl: {enable: true, listen: [{port: 9443}]}}",
            "apisix: {control: {ip: 127.0.0.1, port: 9090}, status: {ip: 0.0.0.0, port: 7085}, id: n}",
            "deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}",
            "deployment: {etcd: {host: ['http://a:2379'], prefix: /apisix, timeout: 30, tls: {verify: true}}}",
            "deployment: {admin: {admin_key: [{name: a, key: k, role: admin}], allow_admin: [127.0.0.0/24]}}",
            "nginx_config: {worker_processes: auto, http: {real_ip_from: [10.0.0.0/8], client_max_body_size: 8m}}",
            "discovery: {dns: {servers: ['127.0.0.1:53'], order: [A]}}",
            "portcullis: {profile: apisix, workers: 2, compat: {server-header: true}, limits: {connections: 10}}",
            "plugins: [key-auth]\nplugin_attr: {prometheus: {export_addr: {ip: 127.0.0.1, port: 9091}}}",
            "portcullis: {workers: '${{WORKERS}}'}",
            "apisix:\n",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in
            ["apisx: {}", "portcullis: {profil: secure}", "apisix: {enable_ipv6: 7}", "deployment: {admin: {key: a}}"]
        {
            assert!(check(text).is_err(), "{text}");
        }
    }

    /// Whatever the parser takes without a word, the schema takes as well.
    #[test]
    fn every_key_is_there() {
        let schema = Settings::schema();
        for key in UNHONOURED {
            let pointer: String = key.path.split('.').map(|segment| format!("/properties/{segment}")).collect();
            assert!(schema.pointer(&pointer).is_some(), "{}", key.path);
        }
    }
}
