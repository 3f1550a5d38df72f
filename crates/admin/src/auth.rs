//! Who may use the Admin API.

use crate::{Settings, errors::Refusal, query::Query};
use std::net::IpAddr;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use wire::{Fields, Method};

/// What the holder of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read.
    Viewer,
}

/// One entry of `deployment.admin.admin_key`.
#[derive(Clone)]
#[allow(missing_debug_implementations)] // it holds a secret
pub struct AdminKey {
    /// The key.
    pub key: String,
    /// Its role.
    pub role: Role,
}

pub(crate) fn check_address(settings: &Settings, peer: IpAddr) -> Result<(), Refusal> {
    let peer = peer.to_canonical();
    let is_allowed = settings.allow.is_empty() || settings.allow.iter().any(|net| net.contains(&peer));
    if is_allowed { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}

pub(crate) fn check_key(settings: &Settings, method: &Method, fields: &Fields, query: &Query) -> Result<(), Refusal> {
    if !settings.is_key_required {
        return Ok(());
    }
    let header = fields.get("x-api-key").map(<[u8]>::to_vec);
    let sent = if settings.is_key_in_query_allowed {
        let argument = query.first("api_key").map(|key| key.as_bytes().to_vec());
        // nginx's variable also takes the spelling with underscores.
        let header = header.or_else(|| fields.get("x_api_key").map(<[u8]>::to_vec));
        argument.or(header).or_else(|| cookie(fields, b"x_api_key"))
    } else {
        header
    };
    let Some(sent) = sent else { return Err(Refusal::Token("missing apikey")) };
    match role(&settings.keys, &sent) {
        None => Err(Refusal::Token("wrong apikey")),
        Some(Role::Viewer) if *method != Method::Get => Err(Refusal::Token("invalid method for role viewer")),
        Some(_) => Ok(()),
    }
}

/// The role of the first key that equals `sent`. Takes the same time whichever key it is.
fn role(keys: &[AdminKey], sent: &[u8]) -> Option<Role> {
    let mut found = u32::MAX;
    for (at, row) in keys.iter().enumerate() {
        // An empty key in the settings is no key.
        let is_usable = Choice::from(u8::from(!row.key.is_empty()));
        let is_equal = row.key.as_bytes().ct_eq(sent) & is_usable & found.ct_eq(&u32::MAX);
        found = u32::conditional_select(&found, &u32::try_from(at).unwrap_or(u32::MAX), is_equal);
    }
    keys.get(found as usize).map(|row| row.role)
}

fn cookie(fields: &Fields, name: &[u8]) -> Option<Vec<u8>> {
    let pairs = fields.get_all("cookie").flat_map(|line| line.split(|&b| b == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
        Some(value.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            keys: vec![
                AdminKey { key: "admin-key".to_owned(), role: Role::Admin },
                AdminKey { key: "view-key".to_owned(), role: Role::Viewer },
                AdminKey { key: String::new(), role: Role::Admin },
            ],
            ..Settings::default()
        }
    }

    #[test]
    fn keys() {
        let rows: [(&str, Method, Result<(), &str>); 7] = [
            ("admin-key", Method::Put, Ok(())),
            ("view-key", Method::Get, Ok(())),
            ("view-key", Method::Put, Err("invalid method for role viewer")),
            ("view-key", Method::Head, Err("invalid method for role viewer")),
            ("admin-ke", Method::Get, Err("wrong apikey")),
            ("admin-key ", Method::Get, Err("wrong apikey")),
            ("", Method::Get, Err("wrong apikey")),
        ];
        for (key, method, want) in rows {
            let fields: Fields = [("x-api-key", key)].into_iter().collect();
            let got = check_key(&settings(), &method, &fields, &Query::default());
            assert_eq!(got, want.map_err(Refusal::Token), "{key:?} {method}");
        }
        let missing = check_key(&settings(), &Method::Get, &Fields::new(), &Query::default());
        assert_eq!(missing, Err(Refusal::Token("missing apikey")));
    }

    #[test]
    fn query_and_cookie_only_where_allowed() {
        let query = Query::parse(b"api_key=admin-key");
        let cookie: Fields = [("cookie", "a=b; x_api_key=admin-key")].into_iter().collect();
        let none = Err(Refusal::Token("missing apikey"));
        assert_eq!(check_key(&settings(), &Method::Get, &Fields::new(), &query), none);
        assert_eq!(check_key(&settings(), &Method::Get, &cookie, &Query::default()), none);
        let compat = Settings { is_key_in_query_allowed: true, ..settings() };
        assert_eq!(check_key(&compat, &Method::Get, &Fields::new(), &query), Ok(()));
        assert_eq!(check_key(&compat, &Method::Get, &cookie, &Query::default()), Ok(()));
        // The argument comes before the header, as in APISIX.
        let header: Fields = [("x-api-key", "admin-key")].into_iter().collect();
        let wrong = check_key(&compat, &Method::Get, &header, &Query::parse(b"api_key=x"));
        assert_eq!(wrong, Err(Refusal::Token("wrong apikey")));
    }

    #[test]
    fn addresses() {
        let s = Settings { allow: vec!["127.0.0.0/24".parse().unwrap()], ..Settings::default() };
        for (peer, is_allowed) in
            [("127.0.0.1", true), ("::ffff:127.0.0.9", true), ("127.0.1.1", false), ("::1", false)]
        {
            assert_eq!(check_address(&s, peer.parse().unwrap()).is_ok(), is_allowed, "{peer}");
        }
        assert!(check_address(&Settings { allow: vec![], ..s }, "9.9.9.9".parse().unwrap()).is_ok());
    }
}
