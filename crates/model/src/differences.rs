//! Where Portcullis is safer than APISIX: the one list.
//!
//! `portcullis.profile: apisix` turns every entry off, `portcullis.compat.<id>: true` a single one.
//! The documentation is generated from this table and the tests read it.

/// Which side of the list a node starts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Every difference is in force.
    #[default]
    Secure,
    /// APISIX's behaviour, also where it is unsafe.
    Apisix,
}

/// One difference from APISIX.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// Its name in code.
    pub id: DifferenceId,
    /// Its name in `portcullis.compat`.
    pub name: &'static str,
    /// What APISIX does.
    pub apisix: &'static str,
    /// What Portcullis does.
    pub portcullis: &'static str,
    /// Why.
    pub why: &'static str,
    /// The plugin that it concerns, if it is only one.
    pub plugin: Option<&'static str>,
    /// Whether it can be switched off. It cannot where APISIX's behaviour is not offered at all.
    pub is_switchable: bool,
}

/// Declares ids and table together, so that neither can miss an entry.
macro_rules! differences {
    (@plugin) => { None };
    (@plugin $plugin:literal) => { Some($plugin) };
    (@is_switchable) => { true };
    (@is_switchable $is_switchable:literal) => { $is_switchable };
    ($($(#[doc = $doc:literal])* $id:ident = $name:literal {
        apisix: $apisix:literal,
        portcullis: $portcullis:literal,
        why: $why:literal,
        $(plugin: $plugin:literal,)?
        $(is_switchable: $is_switchable:literal,)?
    })*) => {
        /// The differences, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DifferenceId {
            $($(#[doc = $doc])* $id,)*
        }

        /// Every difference from APISIX that was made for safety.
        pub static DIFFERENCES: &[Difference] = &[
            $(Difference {
                id: DifferenceId::$id,
                name: $name,
                apisix: $apisix,
                portcullis: $portcullis,
                why: $why,
                plugin: differences!(@plugin $($plugin)?),
                is_switchable: differences!(@is_switchable $($is_switchable)?),
            },)*
        ];

        impl DifferenceId {
            /// The name in `portcullis.compat`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$id => $name,)*
                }
            }
        }
    };
}

differences! {
    /// `admin-listen`
    AdminListen = "admin-listen" {
        apisix: "the Admin API listens on 0.0.0.0:9180",
        portcullis: "the Admin API listens on 127.0.0.1:9180 unless admin_listen says otherwise",
        why: "whoever reaches the Admin API owns the gateway",
    }
    /// `admin-key-in-query`
    AdminKeyInQuery = "admin-key-in-query" {
        apisix: "the admin key is also taken from the api_key query argument and the x_api_key cookie",
        portcullis: "the admin key is taken from the X-API-KEY header only",
        why: "query strings end up in access logs, histories and Referer headers",
    }
    /// `example-admin-key`
    ExampleAdminKey = "example-admin-key" {
        apisix: "the admin keys of the published examples are accepted",
        portcullis: "the admin keys of the published examples are refused at start",
        why: "they are the first keys an attacker tries",
    }
    /// `admin-cors`
    AdminCors = "admin-cors" {
        apisix: "the Admin API answers every origin with Access-Control-Allow-Origin: *",
        portcullis: "the Admin API sends CORS headers only when enable_admin_cors is written as true",
        why: "a web page must not be able to talk to the Admin API of its visitor",
    }
    /// `unknown-plugin-field`
    UnknownPluginField = "unknown-plugin-field" {
        apisix: "unknown fields of a plugin's or secret manager's configuration are ignored",
        portcullis: "unknown fields are refused on write, with the field that was probably meant",
        why: "a misspelt field is a protection that is not there",
    }
    /// `request-body-cap`
    RequestBodyCap = "request-body-cap" {
        apisix: "request bodies have no limit",
        portcullis: "request bodies above 64 MiB are refused with 413 unless a limit is written",
        why: "a body that has to be buffered must not exhaust memory or disk",
    }
    /// `slow-clients`
    SlowClients = "slow-clients" {
        apisix: "a request head may take 60 s between two reads, a body as long as it trickles",
        portcullis: "a request head has 15 s in all, a body 300 s, and both a minimum rate",
        why: "slow clients hold connections for nothing",
    }
    /// `ambiguous-path`
    AmbiguousPath = "ambiguous-path" {
        apisix: "paths are decoded and normalised for matching and forwarded as received",
        portcullis: "paths that two parsers could read differently are refused with 400",
        why: "the upstream would decide about another path than the gateway did",
    }
    /// `raw-utf8-target`
    RawUtf8Target = "raw-utf8-target" {
        apisix: "bytes above 0x7F in the request target are accepted",
        portcullis: "bytes above 0x7F in the request target are refused with 400",
        why: "RFC 9112 does not allow them and parsers disagree about them",
    }
    /// `identity-headers`
    IdentityHeaders = "identity-headers" {
        apisix: "some headers that carry identity are forwarded when the client sends them",
        portcullis: "headers that carry identity are removed on the way in, in every spelling that folds to the same name",
        why: "upstreams believe these headers",
    }
    /// `ambiguous-file`
    AmbiguousFile = "ambiguous-file" {
        apisix: "Passes over sections of `apisix.yaml` and `apisix.json` whose name it does not know, and takes the last of several documents with the same id.",
        portcullis: "Refuses such a file as a whole, naming the line, and keeps the configuration that it has. A section whose name begins with `x-` is passed over.",
        why: "A misspelt `global_rules` would take the protection of every route away without a word, and a copied id that of the route that it was copied from.",
    }
    /// `server-header`
    ServerHeader = "server-header" {
        apisix: "Server says APISIX and its version",
        portcullis: "Server says portcullis, without a version",
        why: "a version tells an attacker which holes to try",
    }
    /// `upstream-certificates`
    UpstreamCertificates = "upstream-certificates" {
        apisix: "the certificates of https upstreams, and of https servers that plugins send copies to, are not verified",
        portcullis: "they are verified against apisix.ssl.ssl_trusted_certificate, unless the upstream's tls.verify is written as false",
        why: "whoever is on the way could read every request and answer in the upstream's stead",
    }
    /// `admin-ttl`
    AdminTtl = "admin-ttl" {
        apisix: "ttl on PUT, POST and PATCH gives the object a lease",
        portcullis: "a numeric ttl is refused with 400, because only etcd has leases",
        why: "an object that was to expire must not stay for ever",
        is_switchable: false,
    }
    /// `certificate-keys`
    CertificateKeys = "certificate-keys" {
        apisix: "a certificate is stored with any private key, and handshakes fail where they do not belong together",
        portcullis: "it is refused, as are keys that TLS is not offered with: RSA below 2048 bits, DSA, SM2",
        why: "what protects nothing should be noticed when it is written",
        is_switchable: false,
    }
    /// `private-keys-in-answers`
    PrivateKeysInAnswers = "private-keys-in-answers" {
        apisix: "answers to PUT, POST and PATCH of an ssl have its private keys, encrypted",
        portcullis: "no answer has private keys of an ssl",
        why: "answers end up in logs and histories",
        is_switchable: false,
    }
    /// `unresolved-reference`
    UnresolvedReference = "unresolved-reference" {
        apisix: "a $env:// or $secret:// in a plugin that leads nowhere is used as it is written",
        portcullis: "it is refused when it is written, and the routes of a stored one answer 503",
        why: "everybody who can read the documentation would know the password",
        is_switchable: false,
    }
    /// `secret-sealing`
    SecretSealing = "secret-sealing" {
        apisix: "secrets are stored with AES-CBC and the key as initialisation vector",
        portcullis: "secrets are sealed with a random nonce under a versioned format",
        why: "equal secrets must not look equal, and a changed one must be noticed",
        is_switchable: false,
    }
    /// `published-keyring`
    PublishedKeyring = "published-keyring" {
        apisix: "the default keyring is published in the source",
        portcullis: "a key is made at first start",
        why: "a published key encrypts nothing",
        is_switchable: false,
    }
    /// `empty-credential`
    EmptyCredential = "empty-credential" {
        apisix: "the key of a consumer may be empty, and a header or an argument without a value has it",
        portcullis: "an empty key is refused when it is written, and is nobody's when it was stored",
        why: "whoever sends the name of the header would be let in",
        plugin: "key-auth",
    }
    /// `empty-password`
    EmptyPassword = "empty-password" {
        apisix: "the password of a consumer may be empty",
        portcullis: "an empty password is refused when it is written, and is nobody's when it was stored",
        why: "whoever knows the name would be let in",
        plugin: "basic-auth",
    }
    /// `basic-credentials`
    BasicCredentials = "basic-credentials" {
        apisix: "white space is taken out of names and passwords, a password ends at its first colon, and the scheme may stand anywhere in Authorization",
        portcullis: "credentials are read as RFC 7617 says: the name in front of the first colon, the password behind it as it was sent",
        why: "a part of a password must not be as good as all of it",
        plugin: "basic-auth",
    }
    /// `hidden-argument`
    HiddenArgument = "hidden-argument" {
        apisix: "a key that hide_credentials takes out of the query stays in $real_request_uri and $request, and so in logs",
        portcullis: "it is taken out of what variables and logs show, too",
        why: "logs are read by more people than credentials are meant for",
        plugin: "key-auth",
    }
    /// `captured-templates`
    CapturedTemplates = "captured-templates" {
        apisix: "what a group of regex_uri brings into a header is read as a template again",
        portcullis: "what a group brings in is text",
        why: "a client could name variables in its path and have their values sent",
        plugin: "proxy-rewrite",
    }
    /// `separators-in-values`
    SeparatorsInValues = "separators-in-values" {
        apisix: "the first ? in a variable's value in uri is escaped, what follows is not",
        portcullis: "every ? in a variable's value in uri is escaped",
        why: "a client's value must not become a query",
        plugin: "proxy-rewrite",
    }
    /// `framing-headers`
    FramingHeaders = "framing-headers" {
        apisix: "plugins that change headers can add and set Content-Length and Transfer-Encoding",
        portcullis: "they are refused when they are written",
        why: "two lengths of one message are two messages",
        is_switchable: false,
    }
    /// `rewritten-target`
    RewrittenTarget = "rewritten-target" {
        apisix: "a rewritten target is sent as it is, also without a slash in front or with spaces in it",
        portcullis: "a rewritten target begins with a slash, and what would end the request line is percent-encoded",
        why: "a value must not write the request line",
        plugin: "proxy-rewrite",
        is_switchable: false,
    }
    /// `unfiltered-bodies`
    UnfilteredBodies = "unfiltered-bodies" {
        apisix: "filters run on the beginning of a body that is longer than max_resp_body_size, which is all that is sent; a body that cannot be decoded is sent as it came",
        portcullis: "a response that the filters cannot see whole is not sent: 500 when its head says so, otherwise the connection is reset",
        why: "filters take out what clients must not see, and half a body must not look like a whole one",
        plugin: "response-rewrite",
    }
    /// `series-cap`
    SeriesCap = "series-cap" {
        apisix: "a metric has as many label sets as requests bring",
        portcullis: "a metric has at most plugin_attr.prometheus.max_series label sets (10,000), and one for what comes after",
        why: "a client must not fill the memory with labels",
        plugin: "prometheus",
        is_switchable: false,
    }
    /// `retry-after`
    RetryAfter = "retry-after" {
        apisix: "refusals of limit-count, limit-req and limit-conn do not say when to come again",
        portcullis: "those with 429 and 503 have a Retry-After",
        why: "clients that know when to come again do not try all the time",
    }
    /// `unreadable-limits`
    UnreadableLimits = "unreadable-limits" {
        apisix: "a rule of limit-conn is left out when conn or burst is no number for a request",
        portcullis: "the request is answered 500, or passes with allow_degradation",
        why: "a client that can set the variable could do without the limit",
        plugin: "limit-conn",
    }
    /// `introspected-path`
    IntrospectedPath = "introspected-path" {
        apisix: "graphql-limit-count asks an upstream for its schema with path and Host of whichever request comes first",
        portcullis: "a Host that the route does not name is not sent, but the node's own; routes without one exact path need introspection_endpoint, and are answered 400 without",
        why: "a client could have a file of its own taken for the schema, and what everybody pays worked out by it",
        plugin: "graphql-limit-count",
    }
    /// `counted-keys`
    CountedKeys = "counted-keys" {
        apisix: "when the memory for counters of limit-count, limit-req and limit-conn is full, the oldest are dropped",
        portcullis: "no counter is dropped; requests of more than 4194304 keys at a time are answered 500, or pass with allow_degradation",
        why: "whoever brings many keys could have its own forgotten",
        is_switchable: false,
    }
    /// `repeated-user-agent`
    RepeatedUserAgent = "repeated-user-agent" {
        apisix: "of several User-Agent fields one that allowlist names is enough",
        portcullis: "every one of them has to be named",
        why: "the upstream may believe another one",
        plugin: "ua-restriction",
    }
    /// `referer-host`
    RefererHost = "referer-host" {
        apisix: "the host in Referer is compared as it is written, with user information in front, and the first of several fields counts",
        portcullis: "upper and lower case and a dot at the end do not count; several fields, and a host that parsers could read differently, are no host",
        why: "EVIL.example would not be on the blacklist that evil.example is on",
        plugin: "referer-restriction",
    }
    /// `decoded-uri`
    DecodedUri = "decoded-uri" {
        apisix: "rules are matched with the target as it came",
        portcullis: "rules are matched with the target as it came, and with what it means: decoded, and without dot segments",
        why: "a rule about /admin must not miss /%61dmin",
        plugin: "uri-blocker",
    }
    /// `cors-vary`
    CorsVary = "cors-vary" {
        apisix: "answers say Vary: Origin only when allow_origins is not *",
        portcullis: "they also say it when allow_origins_by_regex, allow_origins_by_metadata or the timing origins decide",
        why: "a cache would give one origin what was said to another",
        plugin: "cors",
    }
    /// `cors-metadata-credentials`
    CorsMetadataCredentials = "cors-metadata-credentials" {
        apisix: "with allow_credential a * in the metadata allows every origin with credentials",
        portcullis: "with allow_credential a * in the metadata allows none; ** still allows every one",
        why: "* next to credentials is refused everywhere else",
        plugin: "cors",
    }
    /// `empty-csrf-key`
    EmptyCsrfKey = "empty-csrf-key" {
        apisix: "the key of csrf may be empty",
        portcullis: "an empty key is refused when it is written",
        why: "everybody could sign tokens",
        plugin: "csrf",
    }
    /// `schema-dialect`
    SchemaDialect = "schema-dialect" {
        apisix: "JSON schemas for requests know most keywords up to draft 7; others, unknown formats and keywords next to $ref are passed over, {} and [] are the same, numbers are compared as floats, and a text that begins with $env:// or $secret:// fits any schema for texts",
        portcullis: "schemas mean what their draft says, from draft 4 to 2020-12; what would not be checked and patterns that need backtracking are refused when they are written",
        why: "a misspelt keyword is a check that is not there, and a client must not choose a text that is not checked",
    }
    /// `validated-body`
    ValidatedBody = "validated-body" {
        apisix: "JSON that was checked is written anew, of a name that comes twice with its last value, and with defaults of the schema; compressed bodies, multipart forms and bodies that are too large are answered rejected_code",
        portcullis: "the body stays byte for byte as it came, and what readers could understand differently is refused; compressed bodies and multipart forms are taken apart within bounds; 413 to what is too large, 415 to other codings and charsets",
        why: "what was checked is what arrives, and signatures and digests of it still hold",
        plugin: "request-validation",
    }
    /// `openapi-body`
    OpenapiBody = "openapi-body" {
        apisix: "of a name that comes twice in a JSON body the last value is checked; compressed bodies do not fit",
        portcullis: "bodies that readers could understand differently are refused; compressed bodies are taken apart within bounds, and other codings and charsets answered 415",
        why: "what was checked has to be what the upstream reads",
        plugin: "oas-validator",
    }
    /// `unmasked-body`
    UnmaskedBody = "unmasked-body" {
        apisix: "a JSON body that is longer than max_body_size or cannot be parsed is logged as it came",
        portcullis: "what cannot be masked is not shown",
        why: "what is to be masked is what must not be in logs",
        plugin: "data-mask",
    }
}

impl DifferenceId {
    /// The difference called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        DIFFERENCES.iter().find(|difference| difference.name == name).map(|difference| difference.id)
    }

    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// `portcullis.compat` asks for what there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSwitch {
    /// There is no such difference.
    #[error("portcullis.compat.{0}: there is no such difference")]
    Unknown(String),
    /// APISIX's behaviour is not offered.
    #[error("portcullis.compat.{0}: this difference cannot be switched off")]
    Fixed(&'static str),
}

/// A bit for each difference that can be switched off.
const SWITCHABLE: u64 = {
    let (mut bits, mut index) = (0, 0);
    while index < DIFFERENCES.len() {
        if DIFFERENCES[index].is_switchable {
            bits |= DIFFERENCES[index].id.bit();
        }
        index += 1;
    }
    bits
};

/// Which differences are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compat {
    profile: Profile,
    /// A bit for each difference that behaves like APISIX.
    like_apisix: u64,
}

impl Compat {
    /// The differences of `profile`, except those switched one by one (`true`: like APISIX).
    pub fn build<'a>(profile: Profile, switches: impl IntoIterator<Item = (&'a str, bool)>) -> Result<Self, BadSwitch> {
        let mut compat = Self::of(profile);
        for (name, like_apisix) in switches {
            let id = DifferenceId::parse(name).ok_or_else(|| BadSwitch::Unknown(name.to_owned()))?;
            if like_apisix && SWITCHABLE & id.bit() == 0 {
                return Err(BadSwitch::Fixed(id.as_str()));
            }
            if like_apisix {
                compat.like_apisix |= id.bit();
            } else {
                compat.like_apisix &= !id.bit();
            }
        }
        Ok(compat)
    }

    /// The differences of `profile`, nothing switched.
    pub const fn of(profile: Profile) -> Self {
        let like_apisix = match profile {
            Profile::Secure => 0,
            Profile::Apisix => SWITCHABLE,
        };
        Self { profile, like_apisix }
    }

    /// Whether Portcullis' own, safe behaviour is in force.
    pub const fn is_safe(&self, id: DifferenceId) -> bool {
        self.like_apisix & id.bit() == 0
    }

    /// The profile it started from.
    pub const fn profile(&self) -> Profile {
        self.profile
    }
}

impl Default for Compat {
    fn default() -> Self {
        Self::of(Profile::Secure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_kebab_case() {
        for (index, difference) in DIFFERENCES.iter().enumerate() {
            let name = difference.name;
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            assert_eq!(difference.id.as_str(), name);
            assert_eq!(DifferenceId::parse(name), Some(difference.id));
            assert!(DIFFERENCES.iter().skip(index + 1).all(|other| other.name != name));
        }
        assert!(DIFFERENCES.len() <= 64, "the switches are bits of a u64");
    }

    #[test]
    fn switches_override_the_profile() {
        let secure = Compat::build(Profile::Secure, [("ambiguous-path", true)]).expect("known");
        assert!(!secure.is_safe(DifferenceId::AmbiguousPath));
        assert!(secure.is_safe(DifferenceId::AdminListen));
        let apisix = Compat::build(Profile::Apisix, [("ambiguous-path", false)]).expect("known");
        assert!(apisix.is_safe(DifferenceId::AmbiguousPath));
        assert!(!apisix.is_safe(DifferenceId::AdminListen));
    }

    #[test]
    fn unknown_switches_are_refused() {
        let error = Compat::build(Profile::Secure, [("nope", true)]).expect_err("unknown");
        assert_eq!(error, BadSwitch::Unknown("nope".to_owned()));
    }

    #[test]
    fn what_cannot_be_switched_off_is_always_in_force() {
        assert!(Compat::of(Profile::Apisix).is_safe(DifferenceId::SecretSealing));
        let error = Compat::build(Profile::Secure, [("secret-sealing", true)]).expect_err("fixed");
        assert_eq!(error, BadSwitch::Fixed("secret-sealing"));
        let compat = Compat::build(Profile::Apisix, [("secret-sealing", false)]).expect("as it is");
        assert_eq!(compat, Compat::of(Profile::Apisix));
    }
}
