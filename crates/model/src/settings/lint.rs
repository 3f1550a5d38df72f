//! What settings allow and probably do not mean.

use super::{Endpoint, Settings};
use crate::differences::DIFFERENCES;

/// Something that is allowed, and weaker than it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    /// The setting, dotted.
    pub path: String,
    /// The name of the rule, in kebab-case.
    pub rule: &'static str,
    /// What is weak, and what to do about it.
    pub message: String,
}

impl Settings {
    /// What is weak in them. `None` of it keeps the gateway from starting.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        let mut found = Vec::new();
        let mut say = |path: &str, rule, message: String| {
            found.push(Weakness { path: path.to_owned(), rule, message });
        };
        let admin = &self.admin;
        let is_open = |endpoint: Endpoint| !endpoint.0.ip().is_loopback();
        if admin.is_enabled {
            let is_for_all = admin.allow.is_empty() || admin.allow.iter().any(|net| net.prefix_len() == 0);
            if is_open(admin.listen) {
                let whom =
                    if is_for_all { "every address may use it" } else { "allow_admin is all that keeps others out" };
                say(
                    "deployment.admin.admin_listen",
                    "exposed-admin-api",
                    format!(
                        "the Admin API listens on {}, and {whom}; whoever reaches it owns the gateway: use 127.0.0.1 or a \
                         network of its own",
                        admin.listen.0
                    ),
                );
            }
            if !admin.key_required {
                let message = "the Admin API asks for no key: set it to true";
                say("deployment.admin.admin_key_required", "exposed-admin-api", message.to_owned());
            }
            if admin.cors {
                let message = "every web page may talk to the Admin API of its visitor: set it to false";
                say("deployment.admin.enable_admin_cors", "exposed-admin-api", message.to_owned());
            }
            for key in admin.keys.iter().filter(|key| key.is_published()) {
                let message = format!(
                    "the key {} is one that APISIX's documentation prints, the first that an attacker tries: choose another",
                    key.name
                );
                say("deployment.admin.admin_key", "example-key", message);
            }
        }
        if let Some(control) = self.control.filter(|control| is_open(*control)) {
            let message = format!("the control API listens on {} and asks for no key: use 127.0.0.1", control.0);
            say("apisix.control.ip", "exposed-control-api", message);
        }
        if self.real_ip.from.iter().any(|net| net.prefix_len() == 0) {
            let message = "everybody is trusted to say which address a request comes from: name the proxies in front";
            say("nginx_config.http.real_ip_from", "forgeable-address", message.to_owned());
        }
        if !self.data_encryption.is_enabled {
            let message = "secrets of plugins are stored as they are written: set it to true";
            say("apisix.data_encryption.enable_encrypt_fields", "plain-secrets", message.to_owned());
        }
        for difference in DIFFERENCES.iter().filter(|d| d.is_switchable && !self.compat.is_safe(d.id)) {
            let message = format!(
                "as in APISIX, {}; otherwise {}, for {}",
                difference.apisix, difference.portcullis, difference.why
            );
            say(&format!("portcullis.compat.{}", difference.name), "difference-off", message);
        }
        found
    }
}
