//! Where services are found.

use serde_json::Value;

use super::SettingsError;
use super::reader::Reader;
use super::units::FromSetting;

/// `discovery.dns`: services whose nodes are DNS records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsDiscovery {
    /// Servers, `address` or `address:port`; empty: those of `resolv_conf`.
    pub servers: Vec<String>,
    /// A file with servers and search domains; `None` is the system's.
    pub resolv_conf: Option<String>,
    /// What is asked for, in this order, until there is an answer.
    pub order: Vec<RecordType>,
}

/// A kind of DNS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RecordType {
    Srv,
    A,
    Aaaa,
}

impl DnsDiscovery {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Option<Self>, SettingsError> {
        let servers: Option<Vec<String>> = reader.take("discovery.dns.servers")?;
        let resolv_conf: Option<String> = reader.take("discovery.dns.resolv_conf")?;
        let order: Option<Order> = reader.take("discovery.dns.order")?;
        let wrong = |path: &str, expected, got: &str| SettingsError::Wrong {
            path: path.to_owned(),
            expected,
            got: got.to_owned(),
        };
        match (&servers, &resolv_conf) {
            (None, None) if order.is_none() => return Ok(None),
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err(wrong("discovery.dns", "either servers or resolv_conf", "both or none")),
        }
        let servers = servers.unwrap_or_default();
        if let Some(server) = servers.iter().find(|server| super::proxy::name_server(server).is_none()) {
            return Err(wrong("discovery.dns.servers", "addresses of name servers, with or without port", server));
        }
        let mut order = order.map_or_else(|| vec![RecordType::Srv, RecordType::A, RecordType::Aaaa], |order| order.0);
        if reader.take("apisix.enable_ipv6")? == Some(false) {
            order.retain(|kind| *kind != RecordType::Aaaa);
        }
        Ok(Some(Self { servers, resolv_conf, order }))
    }
}

/// The kinds of records; `last` and `CNAME` change nothing: what was found last is not asked for first, and an alias is
/// always followed.
struct Order(Vec<RecordType>);

impl FromSetting for Order {
    const EXPECTED: &'static str =
        "a list of \"last\", \"SRV\", \"A\", \"AAAA\" and \"CNAME\", with SRV, A or AAAA among them";
    const TYPES: &'static [&'static str] = &["array"];

    fn read(value: &Value) -> Option<Self> {
        let mut order = Vec::new();
        for item in value.as_array()? {
            order.extend(match item.as_str()? {
                "SRV" => Some(RecordType::Srv),
                "A" => Some(RecordType::A),
                "AAAA" => Some(RecordType::Aaaa),
                "last" | "CNAME" => None,
                _ => return None,
            });
        }
        (!order.is_empty()).then_some(Self(order))
    }
}
