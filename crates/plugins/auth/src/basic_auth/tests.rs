use super::*;
use plugin::{ReplyBody, Verdict, testing, testing::World};
use serde_json::json;

fn credentials(reading: Reading, field: &[u8]) -> Option<(String, String)> {
    let found = reading.credentials(field)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&found.username), text(found.password.expose())))
}

#[test]
fn the_field_is_read_as_each_profile_does() {
    for (field, rfc, apisix) in [
        // jack:secret
        ("Basic amFjazpzZWNyZXQ=", Some(("jack", "secret")), Some(("jack", "secret"))),
        ("BASIC\tamFjazpzZWNyZXQ", Some(("jack", "secret")), Some(("jack", "secret"))),
        ("Basic  amFjazpzZWNyZXQ=", Some(("jack", "secret")), None),
        ("Basic amFjazpzZWNyZXQ=x", None, Some(("jack", "secret"))),
        ("xbasic amFjazpzZWNyZXQ=", None, Some(("jack", "secret"))),
        // u:p:q, u::, u: p, u:, :p, and no colon
        ("Basic dTpwOnE=", Some(("u", "p:q")), Some(("u", "p"))),
        ("Basic dTo6", Some(("u", ":")), Some(("u", ":"))),
        ("Basic dTogcA==", Some(("u", " p")), Some(("u", "p"))),
        ("Basic dTo=", Some(("u", "")), Some(("u", ""))),
        ("Basic OnA=", Some(("", "p")), Some(("", "p"))),
        ("Basic dXA=", None, None),
        ("Basic ", None, None),
        ("Basic", None, None),
        ("Basic _-_-", None, None),
        ("Basic dTpw dTpw", None, None),
        ("", None, None),
    ] {
        let owned = |pair: Option<(&str, &str)>| pair.map(|(name, password)| (name.to_owned(), password.to_owned()));
        assert_eq!(credentials(Reading::Rfc7617, field.as_bytes()), owned(rfc), "{field}");
        assert_eq!(credentials(Reading::Apisix, field.as_bytes()), owned(apisix), "{field}");
    }
    assert_eq!(credentials(Reading::Rfc7617, b"Basic \xff\xfe"), None);
}

#[test]
fn who_is_compiled_wrongly_is_nobody() {
    let file: serde_json::Value = serde_json::from_str(BasicAuth::SPEC.schema).unwrap();
    let mut config = json!({});
    model::schema::Schema::compile(&file["schema"]).unwrap().check_and_fill(&mut config).unwrap();
    let (shared, attr) = (Arc::default(), json!({}));
    let env = BuildEnv { shared: &shared, owner: "/routes/1", config: &config, attr: &attr, compat: Compat::default() };
    let plugin = BasicAuth::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap();
    for (desc, compiled, expected) in [
        ("a password", Arc::new(Secret::new("secret".to_owned())) as Arc<dyn std::any::Any + Send + Sync>, None),
        ("none", Arc::new(()), Some("{\"message\":\"Invalid user authorization\"}\n")),
    ] {
        let world = World::default().with_credential("basic-auth", b"jack", testing::consumer("jack"), compiled);
        let mut cx = world.ctx("GET", "/", &[("Authorization", "Basic amFjazpzZWNyZXQ=")]);
        let body = match testing::ready(plugin.rewrite(&mut cx)).unwrap() {
            Verdict::Next => None,
            Verdict::Respond(reply) => Some(reply.body),
        };
        assert_eq!(body, expected.map(|text| ReplyBody::Bytes(text.into())), "{desc}");
        assert_eq!(cx.consumer().is_some(), expected.is_none(), "{desc}");
    }
}

#[test]
fn passwords_show_nothing() {
    let config = json!({ "username": "jack", "password": "secret" });
    let (IndexKey(key), password) =
        BasicAuth::credential(serde_json::from_value(config).unwrap(), Compat::default()).unwrap();
    assert_eq!((key, format!("{password:?}")), (b"jack".to_vec(), "Secret".to_owned()));
}
