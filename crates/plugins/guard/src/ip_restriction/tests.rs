use super::*;

#[test]
fn a_hundred_thousand_networks_are_one_list() {
    let texts: Vec<String> =
        (0..100_000_u32).map(|n| format!("{}.{}.{}.0/25", 1 + n / 65_536, n / 256 % 256, n % 256)).collect();
    let config = Config {
        whitelist: None,
        blacklist: Some(texts),
        allowlist_file: None,
        denylist_file: None,
        message: "no".to_owned(),
        response_code: 403,
    };
    let value = serde_json::Value::Null;
    let env = BuildEnv {
        shared: &Arc::default(),
        owner: "/routes/1",
        config: &value,
        attr: &value,
        compat: model::differences::Compat::default(),
    };
    let plugin = IpRestriction::build(config, &env).unwrap();
    let List::Here(networks) = &plugin.list else { panic!("a file") };
    for (address, is_in) in
        [("1.0.0.127", true), ("1.0.0.128", false), ("2.134.159.1", true), ("2.134.160.1", false), ("::1", false)]
    {
        assert_eq!(networks.contains(address.parse().unwrap()), is_in, "{address}");
    }
}
