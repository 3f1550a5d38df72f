use std::fmt;
use std::sync::OnceLock;

use crate::json;
use crate::schema::Schema;

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Conditions of a request, and what is done with those that meet them.
    Route,
    /// What several routes share.
    Service,
    /// Where requests are sent.
    Upstream,
    /// Somebody who is known to the gateway.
    Consumer,
    /// One way in which a consumer proves who it is.
    Credential,
    /// Plugins that several consumers share.
    ConsumerGroup,
    /// Plugins that run for every request.
    GlobalRule,
    /// Plugins that several routes share.
    PluginConfig,
    /// Settings of a plugin that are the same wherever it is used.
    PluginMetadata,
    /// A certificate.
    Ssl,
    /// Conditions of a connection below HTTP, and where it is sent.
    StreamRoute,
    /// A protobuf definition.
    Proto,
    /// Access to a secret manager.
    Secret,
    /// What a field of a service's GraphQL schema costs.
    CostDecoration,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 14] = [
        Kind::Route,
        Kind::Service,
        Kind::Upstream,
        Kind::Consumer,
        Kind::Credential,
        Kind::ConsumerGroup,
        Kind::GlobalRule,
        Kind::PluginConfig,
        Kind::PluginMetadata,
        Kind::Ssl,
        Kind::StreamRoute,
        Kind::Proto,
        Kind::Secret,
        Kind::CostDecoration,
    ];

    /// The singular name in error messages, such as `missing plugin config id`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Route => "route",
            Kind::Service => "service",
            Kind::Upstream => "upstream",
            Kind::Consumer => "consumer",
            Kind::Credential => "credential",
            Kind::ConsumerGroup => "consumer group",
            Kind::GlobalRule => "global rule",
            Kind::PluginConfig => "plugin config",
            Kind::PluginMetadata => "plugin_metadata",
            Kind::Ssl => "ssl",
            Kind::StreamRoute => "stream route",
            Kind::Proto => "proto",
            Kind::Secret => "secret",
            Kind::CostDecoration => "graphql cost decoration",
        }
    }

    /// The name of its schema, as in `/apisix/admin/schema/plugin_config`.
    pub fn schema_name(self) -> &'static str {
        match self {
            Kind::ConsumerGroup => "consumer_group",
            Kind::GlobalRule => "global_rule",
            Kind::PluginConfig => "plugin_config",
            Kind::StreamRoute => "stream_route",
            Kind::CostDecoration => "graphql_cost_decoration",
            kind => kind.as_str(),
        }
    }

    /// The plural name in paths and files. Credentials live below their consumer, cost decorations below their
    /// service, secrets below their manager.
    pub fn collection(self) -> &'static str {
        match self {
            Kind::Route => "routes",
            Kind::Service => "services",
            Kind::Upstream => "upstreams",
            Kind::Consumer => "consumers",
            Kind::Credential => "credentials",
            Kind::ConsumerGroup => "consumer_groups",
            Kind::GlobalRule => "global_rules",
            Kind::PluginConfig => "plugin_configs",
            Kind::PluginMetadata => "plugin_metadata",
            Kind::Ssl => "ssls",
            Kind::StreamRoute => "stream_routes",
            Kind::Proto => "protos",
            Kind::Secret => "secrets",
            Kind::CostDecoration => "graphql_cost_decorations",
        }
    }

    /// The kind of the documents that live below one of this kind, and go with it.
    pub fn owned(self) -> Option<Kind> {
        match self {
            Kind::Consumer => Some(Kind::Credential),
            Kind::Service => Some(Kind::CostDecoration),
            _ => None,
        }
    }

    /// The kind whose [`Kind::collection`] is `name`.
    pub fn from_collection(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.collection() == name)
    }

    /// The kind whose [`Kind::schema_name`] is `name`.
    pub fn from_schema_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.schema_name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An embedded schema, compiled at first use.
struct Embedded {
    text: &'static str,
    schema: OnceLock<Schema>,
}

impl Embedded {
    const fn new(text: &'static str) -> Embedded {
        Embedded { text, schema: OnceLock::new() }
    }

    fn get(&self) -> &Schema {
        self.schema.get_or_init(|| {
            let source = json::parse(self.text.as_bytes(), json::Limits::default());
            let source = source.expect("embedded schemas are JSON, as a test proves");
            Schema::compile(&source).expect("embedded schemas compile, as a test proves")
        })
    }
}

/// The schema of a kind, as APISIX publishes it. Metadata of plugins and secrets have theirs elsewhere (with the plugin,
/// and in [`secret_schema`]); here they are objects of any content.
pub fn schema(kind: Kind) -> &'static Schema {
    static ROUTE: Embedded = Embedded::new(include_str!("route.schema.json"));
    static SERVICE: Embedded = Embedded::new(include_str!("service.schema.json"));
    static UPSTREAM: Embedded = Embedded::new(include_str!("upstream.schema.json"));
    static CONSUMER: Embedded = Embedded::new(include_str!("consumer.schema.json"));
    static CREDENTIAL: Embedded = Embedded::new(include_str!("credential.schema.json"));
    static CONSUMER_GROUP: Embedded = Embedded::new(include_str!("consumer_group.schema.json"));
    static GLOBAL_RULE: Embedded = Embedded::new(include_str!("global_rule.schema.json"));
    static PLUGIN_CONFIG: Embedded = Embedded::new(include_str!("plugin_config.schema.json"));
    static PLUGIN_METADATA: Embedded = Embedded::new(include_str!("plugin_metadata.schema.json"));
    static SSL: Embedded = Embedded::new(include_str!("ssl.schema.json"));
    static STREAM_ROUTE: Embedded = Embedded::new(include_str!("stream_route.schema.json"));
    static PROTO: Embedded = Embedded::new(include_str!("proto.schema.json"));
    static SECRET: Embedded = Embedded::new(include_str!("secret.schema.json"));
    static COST_DECORATION: Embedded = Embedded::new(include_str!("cost_decoration.schema.json"));
    match kind {
        Kind::Route => ROUTE.get(),
        Kind::Service => SERVICE.get(),
        Kind::Upstream => UPSTREAM.get(),
        Kind::Consumer => CONSUMER.get(),
        Kind::Credential => CREDENTIAL.get(),
        Kind::ConsumerGroup => CONSUMER_GROUP.get(),
        Kind::GlobalRule => GLOBAL_RULE.get(),
        Kind::PluginConfig => PLUGIN_CONFIG.get(),
        Kind::PluginMetadata => PLUGIN_METADATA.get(),
        Kind::Ssl => SSL.get(),
        Kind::StreamRoute => STREAM_ROUTE.get(),
        Kind::Proto => PROTO.get(),
        Kind::Secret => SECRET.get(),
        Kind::CostDecoration => COST_DECORATION.get(),
    }
}

/// The schema of a [`Kind::Secret`] of one manager: `vault`, `aws` or `gcp`.
pub fn secret_schema(manager: &str) -> Option<&'static Schema> {
    static VAULT: Embedded = Embedded::new(include_str!("secret_vault.schema.json"));
    static AWS: Embedded = Embedded::new(include_str!("secret_aws.schema.json"));
    static GCP: Embedded = Embedded::new(include_str!("secret_gcp.schema.json"));
    match manager {
        "vault" => Some(VAULT.get()),
        "aws" => Some(AWS.get()),
        "gcp" => Some(GCP.get()),
        _ => None,
    }
}

/// The schema that `key` of a chash upstream must fit, by `hash_on`.
pub(super) mod hash_key {
    use super::{Embedded, Schema};
    use crate::documents::upstream::HashOn;

    /// `None` where any key, or none, will do.
    pub(in crate::documents) fn schema(hash_on: HashOn) -> Option<&'static Schema> {
        static VARS: Embedded = Embedded::new(include_str!("hash_vars.schema.json"));
        static HEADER: Embedded = Embedded::new(include_str!("hash_header.schema.json"));
        match hash_on {
            HashOn::Vars => Some(VARS.get()),
            HashOn::Header | HashOn::Cookie => Some(HEADER.get()),
            HashOn::VarsCombinations | HashOn::Consumer => None,
        }
    }
}
