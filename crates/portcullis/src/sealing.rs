//! Which strings of a document are sealed at rest.

use gateway::plugins::PluginSet;
use model::{
    documents::{Key, Kind},
    settings::DataEncryption,
};
use serde_json::Value;
use std::sync::Arc;
use store::{ApisixKeyring, DocKey, JsonPath, SealError, SealedFields, Sealing};

/// The keys of APISIX's own `config.yaml`. They are public, and so they only open what APISIX sealed with them.
const PUBLISHED_KEYS: [&str; 2] = ["qeddd145sfvddff3", "edd1c9f0985e76a2"];

/// Private keys are always sealed; the `encrypt_fields` of plugins unless that is switched off. Then APISIX opens none either, and
/// only what we sealed before is opened.
pub(crate) fn of(settings: &DataEncryption, plugins: &Arc<PluginSet>) -> Result<Sealing, SealError> {
    let all = all_fields(plugins.clone());
    if !settings.is_enabled {
        return Ok(Sealing { seal: Arc::new(|key, _| private_keys(key)), open: all, keyring: None });
    }
    let keyring = match &settings.keyring {
        Some(keys) => ApisixKeyring::new(keys.iter().map(|key| key.expose().as_bytes()))?,
        None => ApisixKeyring::new(PUBLISHED_KEYS)?,
    };
    Ok(Sealing { seal: all.clone(), open: all, keyring: Some(keyring) })
}

fn all_fields(plugins: Arc<PluginSet>) -> SealedFields {
    Arc::new(move |key, value| {
        let mut fields = private_keys(key);
        if kind_of(key) == Some(Kind::PluginMetadata) {
            let name = key.as_str().rsplit('/').next().unwrap_or_default();
            fields.extend(plugins.encrypt_fields(name).iter().map(|path| JsonPath::new(path.clone())));
            return fields;
        }
        for name in value.get("plugins").and_then(Value::as_object).into_iter().flat_map(|plugins| plugins.keys()) {
            fields.extend(plugins.encrypt_fields(name).iter().map(|path| {
                let below = ["plugins".to_owned(), name.clone()].into_iter().chain(path.clone());
                JsonPath::new(below)
            }));
        }
        fields
    })
}

/// Private keys, and what opens a secret manager.
fn private_keys(key: &DocKey) -> Vec<JsonPath> {
    match kind_of(key) {
        Some(Kind::Ssl) => vec![JsonPath::new(["key"]), JsonPath::new(["keys"])],
        Some(Kind::Upstream) => vec![JsonPath::new(["tls", "client_key"])],
        Some(Kind::Secret) => [&["token"][..], &["access_key_id"], &["secret_access_key"], &["session_token"]]
            .into_iter()
            .chain([&["auth_config", "private_key"][..]])
            .map(|path| JsonPath::new(path.iter().copied()))
            .collect(),
        Some(Kind::Route | Kind::Service | Kind::StreamRoute) => vec![JsonPath::new(["upstream", "tls", "client_key"])],
        _ => Vec::new(),
    }
}

fn kind_of(key: &DocKey) -> Option<Kind> {
    Key::parse(key.as_str()).ok().map(|key| key.kind())
}
