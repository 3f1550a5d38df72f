use crate::actions;
use model::{differences::DifferenceId, schema::Schema};
use plugin::{BuildEnv, BuildError, Ctx, Description, Hooks, Reply, Step};
use serde_json::{Value, json};

/// What is done with a request.
pub(super) enum Action {
    /// It is answered.
    Return(Reply),
    /// A plugin's phases run.
    Plugin { name: &'static str, hooks: Hooks },
}

impl Action {
    /// Compiles the first of a rule's actions, and checks all of them. Each rule's action has counters of its own.
    pub(super) fn first_of(actions: &[Vec<Value>], rule: usize, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let compiled = actions.iter().map(|action| Self::compile(action, rule, env)).collect::<Result<Vec<_>, _>>()?;
        compiled.into_iter().next().ok_or_else(|| BuildError(format!("rule {rule} has no action")))
    }

    fn compile(written: &[Value], rule: usize, env: &BuildEnv<'_>) -> Result<Self, BuildError> {
        let name = written.first().and_then(Value::as_str).unwrap_or_default();
        let empty = json!({});
        let config = written.get(1).unwrap_or(&empty);
        let compiled = match actions().into_iter().find(|known| known.name == name) {
            _ if name == "return" => answer(config),
            Some(known) => run(&known, config, rule, env).map(|hooks| Self::Plugin { name: known.name, hooks }),
            None => return Err(format!("unsupported action: {}", name.escape_debug()).into()),
        };
        compiled.map_err(|error| BuildError(format!("failed to validate the '{name}' action: {error}")))
    }

    pub(super) fn run<'a>(&'a self, cx: &'a mut Ctx) -> Step<'a> {
        match self {
            Self::Return(reply) => Step::respond(reply.clone()),
            Self::Plugin { name, hooks } => {
                cx.skip_plugin(name);
                hooks.access.as_ref().map_or(Step::NEXT, |access| access.access(cx))
            }
        }
    }

    pub(super) fn hooks(&self) -> Option<&Hooks> {
        match self {
            Self::Return(_) => None,
            Self::Plugin { hooks, .. } => Some(hooks),
        }
    }
}

fn answer(config: &Value) -> Result<Action, BuildError> {
    let schema = json!({
        "type": "object",
        "properties": { "code": { "type": "integer", "minimum": 100, "maximum": 599 } },
        "required": ["code"],
    });
    let schema = Schema::compile(&schema).map_err(|error| BuildError(error.to_string()))?;
    schema.check(config).map_err(|violation| BuildError(violation.to_string()))?;
    let code = config.get("code").and_then(Value::as_f64).unwrap_or_default() as u16;
    if code < 200 {
        return Err(format!("code {code} is no status that ends a response").into());
    }
    Ok(Action::Return(Reply::json(code, &json!({ "error_msg": "rejected by workflow" }))))
}

/// Builds a plugin as the gateway does with what is written.
fn run(known: &Description, config: &Value, rule: usize, env: &BuildEnv<'_>) -> Result<Hooks, BuildError> {
    let file: Value = serde_json::from_str(known.spec.schema).map_err(|error| BuildError(error.to_string()))?;
    let schema = file.get("schema").map(Schema::compile).transpose().map_err(|error| BuildError(error.to_string()))?;
    let mut config = config.clone();
    if let Some(schema) = &schema {
        schema.check_and_fill(&mut config).map_err(|violation| {
            let violation = violation.to_string();
            BuildError((known.reword)(&config, &violation).map_or(violation, str::to_owned))
        })?;
        if env.compat.is_safe(DifferenceId::UnknownPluginField)
            && let Some(unknown) = schema.unknown_fields(&config).first()
        {
            return Err(format!("there is no field {:?}", unknown.name).into());
        }
    }
    if config.get("group").is_some() {
        return Err("group is not supported".to_owned().into());
    }
    let owner = format!("{}/workflow/{rule}", env.owner);
    let env = BuildEnv { owner: &owner, config: &config, ..*env };
    Ok((known.build)(&config, &env)?.hooks)
}
