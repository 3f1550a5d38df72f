use super::*;

#[test]
fn several_fields_are_no_host() {
    let plugin = |is_strict| RefererRestriction {
        hosts: Hosts::new(&["good.example".to_owned()], is_strict),
        is_whitelist: true,
        bypasses_missing: false,
        is_strict,
        refusal: Reply::status(403),
    };
    let fields: Fields =
        [("Referer", "http://good.example/"), ("Referer", "http://evil.example/")].into_iter().collect();
    assert!(!plugin(true).passes(&fields));
    assert!(plugin(false).passes(&fields));
}
