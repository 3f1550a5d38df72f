#![doc = include_str!("doc.md")]

#[cfg(test)]
mod tests;

use plugin::{
    BuildEnv, BuildError, Ctx, HeaderFilter, Hooks, Plugin, PluginClass, PluginError, Posture, RunPolicy, Spec,
};
use serde::Deserialize;
use std::sync::Arc;
use wire::{Fields, ResponseHead};

/// What is configured.
#[derive(Debug, Deserialize)]
pub struct Config {
    value: String,
}

/// Sets a header of the response.
#[derive(Debug)]
pub struct {{Type}} {
    value: String,
}

impl Plugin for {{Type}} {
    const NAME: &'static str = "{{name}}";
    const PRIORITY: i32 = {{priority}};
    const SPEC: Spec = Spec {
        schema: include_str!("schema.json"),
        version: 0.1,
        class: PluginClass::Other,
        run_policy: RunPolicy::Always,
        posture: Posture { reads_untrusted: false, reads_bodies: false, calls_out: false },
    };
    type Config = Config;
    type Metadata = ();

    fn build(config: Config, _env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        if !Fields::is_value(config.value.as_bytes()) {
            return Err("invalid value character in header".to_owned().into());
        }
        Ok(Self { value: config.value })
    }

    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.header_filter = Some(self);
    }
}

impl HeaderFilter for {{Type}} {
    fn header_filter(&self, _cx: &mut Ctx, head: &mut ResponseHead) -> Result<(), PluginError> {
        self.edit(&mut head.fields);
        Ok(())
    }
}

impl {{Type}} {
    fn edit(&self, fields: &mut Fields) {
        fields.set("X-{{Header}}", self.value.as_bytes());
    }
}
