//! The collections under `/apisix/admin/` and what each allows.

use wire::Method;

/// A collection of documents of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    /// `routes`
    Routes,
    /// `services`
    Services,
    /// `upstreams`
    Upstreams,
    /// `consumers`
    Consumers,
    /// `consumers/{username}/credentials`
    Credentials,
    /// `consumer_groups`
    ConsumerGroups,
    /// `global_rules`
    GlobalRules,
    /// `plugin_configs`
    PluginConfigs,
    /// `plugin_metadata`
    PluginMetadata,
}

impl Collection {
    /// Every collection.
    pub const ALL: [Self; 9] = [
        Self::Routes,
        Self::Services,
        Self::Upstreams,
        Self::Consumers,
        Self::Credentials,
        Self::ConsumerGroups,
        Self::GlobalRules,
        Self::PluginConfigs,
        Self::PluginMetadata,
    ];

    /// The collection of a path segment.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|collection| collection.name() == name)
    }

    /// The path segment.
    pub fn name(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::Services => "services",
            Self::Upstreams => "upstreams",
            Self::Consumers => "consumers",
            Self::Credentials => "credentials",
            Self::ConsumerGroups => "consumer_groups",
            Self::GlobalRules => "global_rules",
            Self::PluginConfigs => "plugin_configs",
            Self::PluginMetadata => "plugin_metadata",
        }
    }

    /// The kind in APISIX's messages.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Routes => "route",
            Self::Services => "service",
            Self::Upstreams => "upstream",
            Self::Consumers => "consumer",
            Self::Credentials => "credential",
            Self::ConsumerGroups => "consumer group",
            Self::GlobalRules => "global rule",
            Self::PluginConfigs => "plugin config",
            Self::PluginMetadata => "plugin_metadata",
        }
    }

    /// The name of its JSON schema.
    pub fn schema(self) -> &'static str {
        match self {
            Self::ConsumerGroups => "consumer_group",
            Self::GlobalRules => "global_rule",
            Self::PluginConfigs => "plugin_config",
            other => other.kind(),
        }
    }

    /// Whether it has the method, of those that the API routes at all.
    pub fn supports(self, method: &Method) -> bool {
        match method {
            Method::Post => matches!(self, Self::Routes | Self::Services | Self::Upstreams),
            Method::Patch => !matches!(self, Self::Consumers | Self::Credentials | Self::PluginMetadata),
            _ => true,
        }
    }

    /// Whether its documents carry their id.
    pub fn has_id(self) -> bool {
        !matches!(self, Self::Consumers | Self::PluginMetadata)
    }

    /// Whether APISIX answers an empty list; where not, an empty list is "Key not found".
    pub fn may_be_empty(self) -> bool {
        self != Self::Credentials
    }

    /// The fields that `filter=` accepts.
    pub fn filters(self) -> &'static [&'static str] {
        if self == Self::Routes { &["service_id", "upstream_id"] } else { &[] }
    }
}
