//! What a service's GraphQL fields are said to cost, and where the service is asked about them.

use super::*;
use plugin::{Directory as _, RouteFacts, ServiceNode};

const FIRST: &str = "/services/s/graphql_cost_decorations/1";
const SECOND: &str = "/services/s/graphql_cost_decorations/2";

/// What the plugin was given to compile.
fn paths(world: &mut World, service: &str) -> Result<Option<Vec<String>>, String> {
    let compiled = world.snapshot().decorations(service).map_err(|unreadable| unreadable.to_string())?;
    Ok(compiled.map(|compiled| compiled.downcast_ref::<Vec<String>>().unwrap().clone()))
}

#[test]
fn decorations_are_compiled_when_they_change() {
    let mut world = World::of(&[("/services/s", json!({}))]);
    assert_eq!(paths(&mut world, "s"), Ok(None));
    world.set(SECOND, Some(json!({ "field_path": "B.b" })));
    world.set(FIRST, Some(json!({ "field_path": "A.a" })));
    assert_eq!(paths(&mut world, "s"), Ok(Some(vec!["A.a".into(), "B.b".into()])));
    assert_eq!(paths(&mut world, "another"), Ok(None));
    let one = |world: &mut World| world.snapshot().decorations("s").unwrap().unwrap();
    let before = one(&mut world);
    world.set("/routes/r", Some(json!({ "uri": "/" })));
    assert!(Arc::ptr_eq(&before, &one(&mut world)), "they are not compiled again for nothing");
    // One that was good stays as it was, one that never was leaves nobody knowing what a field costs.
    world.set(FIRST, Some(json!({ "field_path": "A.a", "mul_value": -1 })));
    assert_eq!(paths(&mut world, "s"), Ok(Some(vec!["A.a".into(), "B.b".into()])));
    let third = "/services/s/graphql_cost_decorations/3";
    world.set(third, Some(json!({ "add_value": 7 })));
    assert_eq!(paths(&mut world, "s"), Err(format!("{third} cannot be read")));
    world.set(third, None);
    assert_eq!(paths(&mut world, "s"), Ok(Some(vec!["A.a".into(), "B.b".into()])));
    world.set_with_problem(SECOND, Some(json!({ "field_path": "B.b" })), Some("it cannot be opened"));
    assert_eq!(paths(&mut world, "s"), Err(format!("{SECOND} cannot be read")));
    for path in [FIRST, SECOND] {
        world.set(path, None);
    }
    assert_eq!(paths(&mut world, "s"), Ok(None));
}

#[test]
fn a_service_is_asked_where_it_is_and_else_where_the_route_goes() {
    let to = |host: &str| json!({ "nodes": { "10.0.0.9:90": 1, host: 1 } });
    let mut world = World::of(&[
        (
            "/upstreams/u",
            json!({ "nodes": [{ "host": "named.example", "port": 8080, "weight": 1 }], "pass_host": "node" }),
        ),
        ("/services/own", json!({ "upstream": to("10.0.0.1:80") })),
        ("/services/by-id", json!({ "upstream_id": "u" })),
        ("/services/none", json!({})),
    ]);
    for service in ["own", "by-id", "none", "missing"] {
        let route = json!({ "uri": format!("/{service}"), "service_id": service, "upstream": to("10.0.0.2:80") });
        world.set(&format!("/routes/{service}"), Some(route));
    }
    let node = |world: &mut World, id: &str| {
        let facts = RouteFacts { id: id.into(), service_id: Some(id.into()), ..RouteFacts::default() };
        world.snapshot().service_node(&facts, b"shop.example:8443")
    };
    let expected = |server: &str, port: u16, host: &[u8]| {
        Some(ServiceNode { server: server.to_owned(), port, host: host.to_vec(), tls: None })
    };
    assert_eq!(node(&mut world, "own"), expected("10.0.0.1", 80, b"shop.example:8443"));
    assert_eq!(node(&mut world, "by-id"), expected("named.example", 8080, b"named.example:8080"));
    assert_eq!(node(&mut world, "none"), expected("10.0.0.2", 80, b"shop.example:8443"));
    assert_eq!(node(&mut world, "missing"), None);
    world.set("/services/none", Some(json!({ "upstream": to("10.0.0.3:80") })));
    assert_eq!(node(&mut world, "none"), expected("10.0.0.3", 80, b"shop.example:8443"));
    world.set("/services/own", None);
    world.set("/upstreams/u", None);
    assert_eq!((node(&mut world, "own"), node(&mut world, "by-id")), (None, None));
}
