//! Where the gateway listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value;

use super::SettingsError;
use super::reader::Reader;
use super::units::FromSetting;

/// The listeners for requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The addresses, without duplicates.
    pub addresses: Vec<SocketAddr>,
    /// Whether HTTP/2 is spoken on them.
    pub http2: bool,
    /// `apisix.ssl.enable`
    pub tls: bool,
    /// Ports of `apisix.ssl.listen`, to which redirects to HTTPS lead.
    pub https_ports: Vec<u16>,
}

/// An address of one of the smaller APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint(pub SocketAddr);

const EXPECTED: &str = "a port, or a list of ports or {ip, port}";
const DEFAULT_PORT: u16 = 9080;
const DEFAULT_HTTPS_PORT: u16 = 9443;

impl Listen {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SettingsError> {
        const PATH: &str = "apisix.node_listen";
        let with_v6 = reader.take("apisix.enable_ipv6")?.unwrap_or(true);
        let mut addresses = Vec::new();
        match reader.raw(PATH)? {
            None => every_address(DEFAULT_PORT, with_v6, &mut addresses),
            Some(Value::Array(items)) if !items.is_empty() => {
                for item in items {
                    read_item(item, with_v6, &mut addresses)
                        .ok_or_else(|| SettingsError::wrong(PATH, EXPECTED, item))?;
                }
            }
            Some(port) => {
                let port = read_port(port).ok_or_else(|| SettingsError::wrong(PATH, EXPECTED, port))?;
                every_address(port, with_v6, &mut addresses);
            }
        }
        let mut unique = Vec::with_capacity(addresses.len());
        for address in addresses {
            if !unique.contains(&address) {
                unique.push(address);
            }
        }
        // `null` takes APISIX's default away, and what is left means no.
        let ssl = reader.peek("apisix.ssl")?;
        let is_cleared = ssl.and_then(|ssl| ssl.get("enable")).is_some_and(Value::is_null);
        let tls = reader.take("apisix.ssl.enable")?.unwrap_or(!is_cleared);
        Ok(Self {
            addresses: unique,
            http2: reader.take("apisix.enable_http2")?.unwrap_or(true),
            tls,
            https_ports: if tls { https_ports(reader.peek("apisix.ssl.listen")?) } else { Vec::new() },
        })
    }
}

/// The ports of `apisix.ssl.listen`; what is none there is found by whoever listens on them.
fn https_ports(listen: Option<&Value>) -> Vec<u16> {
    match listen {
        None => vec![DEFAULT_HTTPS_PORT],
        Some(Value::Array(items)) => {
            items.iter().filter_map(|item| read_port(item.get("port").unwrap_or(item))).collect()
        }
        Some(_) => Vec::new(),
    }
}

fn every_address(port: u16, with_v6: bool, addresses: &mut Vec<SocketAddr>) {
    addresses.push((Ipv4Addr::UNSPECIFIED, port).into());
    if with_v6 {
        addresses.push((Ipv6Addr::UNSPECIFIED, port).into());
    }
}

fn read_item(item: &Value, with_v6: bool, addresses: &mut Vec<SocketAddr>) -> Option<()> {
    let Value::Object(map) = item else {
        every_address(read_port(item)?, with_v6, addresses);
        return Some(());
    };
    // `enable_http2` per listener is what APISIX 3.8 and older had.
    if map.keys().any(|key| !matches!(key.as_str(), "ip" | "port" | "enable_http2")) {
        return None;
    }
    let port = map.get("port").map_or(Some(DEFAULT_PORT), read_port)?;
    match map.get("ip") {
        None | Some(Value::Null) => every_address(port, with_v6, addresses),
        Some(ip) => addresses.push((IpAddr::read(ip)?, port).into()),
    }
    Some(())
}

fn read_port(value: &Value) -> Option<u16> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => u16::read(other),
    }
}

/// The control API: on by default, on the loopback address only.
pub(super) fn read_control(reader: &Reader<'_>) -> Result<Option<Endpoint>, SettingsError> {
    let is_on = reader.take("apisix.enable_control")?.unwrap_or(true);
    let ip = reader.take("apisix.control.ip")?;
    let port: Option<u16> = reader.take("apisix.control.port")?;
    let endpoint = Endpoint(SocketAddr::new(ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port.unwrap_or(9090)));
    Ok(is_on.then_some(endpoint))
}

/// The status endpoint: on when `apisix.status` is written.
pub(super) fn read_status(reader: &Reader<'_>) -> Result<Option<Endpoint>, SettingsError> {
    let ip: Option<IpAddr> = reader.take("apisix.status.ip")?;
    let port: Option<u16> = reader.take("apisix.status.port")?;
    Ok((ip.is_some() || port.is_some())
        .then(|| Endpoint(SocketAddr::new(ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port.unwrap_or(7085)))))
}
