//! `portcullis explain`: what would happen to a request, and why.

use crate::{
    args, ask,
    inspect::{self, Subject},
    settings,
    source::Source,
};
use anyhow::{Context, bail};
use gateway::{exchange::explain, options};
use serde_json::{Map, Value, json};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Asks, and says what was answered.
///
/// # Errors
/// The question cannot be asked, or there is no configuration to ask.
pub(crate) fn run(asked: &args::Explain) -> anyhow::Result<ExitCode> {
    let read = settings::read(asked.which.settings.config.as_deref())?;
    let source = match (Source::of(&read.settings, read.path.as_deref()), &asked.which.file) {
        (Ok(source), _) => source,
        (Err(_), Some(_)) => Source::Pushed,
        (Err(error), None) => return Err(error),
    };
    let question = question(asked)?;
    let explanation = match inspect::open(&read.settings, &source, asked.which.file.as_deref())? {
        Subject::Running(endpoint) => ask::control(endpoint, "POST", "/v1/portcullis/explain", &question.to_string())?,
        Subject::Here(here) => {
            if let Some(reason) = here.refused {
                bail!("{reason}");
            }
            let question: explain::Question = serde_json::from_value(question)?;
            let options = options::options(&read.settings);
            json!(here.runtime.block_on(explain::explain(&here.flow, &options, &question))?)
        }
    };
    let mut out = io::stdout().lock();
    if asked.which.json {
        writeln!(out, "{explanation}")?;
    } else {
        write!(out, "{}", text(&explanation))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn question(asked: &args::Explain) -> anyhow::Result<Value> {
    let mut headers = Map::new();
    for field in &asked.headers {
        let (name, value) = field.split_once(':').with_context(|| format!("-H {field}: there is no colon in it"))?;
        headers.insert(name.trim().to_owned(), value.trim().into());
    }
    let mut question = json!({ "method": asked.method, "url": asked.url, "headers": headers, "body": asked.data });
    if let Some(client) = asked.client {
        question["client"] = client.to_string().into();
    }
    if let Some(consumer) = &asked.consumer {
        question["consumer"] = consumer.as_str().into();
    }
    Ok(question)
}

/// For people; one line per thing.
fn text(explanation: &Value) -> String {
    let mut lines = Vec::new();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if let Value::Object(seen) = &explanation["request"] {
        let [method, host, path, client] = ["method", "host", "path", "client"].map(|name| text(&seen[name]));
        lines.push(format!("request   {method} {path} of host {host} from {client}"));
    }
    if let Value::Object(route) = &explanation["route"] {
        let mut line = format!("route     {}", text(&route["key"]));
        if !route["name"].is_null() {
            line += &format!(" ({})", text(&route["name"]));
        }
        line += &format!(": uri {}", text(&route["uri"]));
        if !route["host"].is_null() {
            line += &format!(", host {}", text(&route["host"]));
        }
        line += &format!(", priority {}", route["priority"]);
        lines.push(line);
        for (name, value) in route["parameters"].as_object().into_iter().flatten() {
            lines.push(format!("            {name} = {}", text(value)));
        }
        for (name, label) in [("service", "service  "), ("plugin_config", "config   ")] {
            if !route[name].is_null() {
                lines.push(format!("{label} {}", text(&route[name])));
            }
        }
    } else {
        lines.push("route     none".to_owned());
    }
    for plugin in items(&explanation["plugins"]) {
        let phases = items(&plugin["phases"]).iter().map(text).collect::<Vec<_>>().join(", ");
        let mut line = format!(
            "plugin    {} of {} (priority {}): {phases}",
            text(&plugin["plugin"]),
            text(&plugin["origin"]),
            plugin["priority"]
        );
        if let Some(why) = plugin["idle"].as_str() {
            line += &format!("; does nothing: {why}");
        }
        lines.push(line);
    }
    if let Value::Object(upstream) = &explanation["upstream"] {
        lines.push(format!(
            "upstream  {}: {}, {} nodes",
            text(&upstream["key"]),
            text(&upstream["balancer"]),
            upstream["node_count"]
        ));
        for node in items(&upstream["nodes"]) {
            let health = node["health"].as_str().map(|health| format!(", {health}")).unwrap_or_default();
            let (weight, priority) = (&node["weight"], &node["priority"]);
            lines.push(format!("            {} weight {weight}, priority {priority}{health}", text(&node["address"])));
        }
    }
    if let Value::Object(answer) = &explanation["answer"] {
        lines.push(format!("answer    {}: {}", answer["status"], text(&answer["reason"])));
    }
    for other in items(&explanation["others"]) {
        lines.push(format!("not       {}: {}", text(&other["key"]), text(&other["reason"])));
    }
    if let Some(more) = explanation["others_left_out"].as_u64().filter(|more| *more > 0) {
        lines.push(format!("not       {more} more whose path fits"));
    }
    lines.join("\n") + "\n"
}
