use super::*;
use plugin::testing::World;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::task::{Context, Poll, Waker};

fn build(world: &World, owner: &str, mut config: Value) -> LimitReq {
    let file: Value = serde_json::from_str(LimitReq::SPEC.schema).unwrap();
    let schema = model::schema::Schema::compile(&file["schema"]).unwrap();
    schema.check_and_fill(&mut config).unwrap();
    let attr = json!({});
    let compat = model::differences::Compat::default();
    let env = BuildEnv { shared: &world.shared, owner, config: &config, attr: &attr, compat };
    LimitReq::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap()
}

/// What a request comes to at once.
#[derive(Debug, PartialEq)]
enum Seen {
    Passes,
    Waits,
    Refused(u16, Option<String>),
}

fn send(world: &World, plugin: &LimitReq, fields: &[(&str, &str)]) -> Seen {
    let mut cx = world.ctx("GET", "/", fields);
    let outcome = match plugin.access(&mut cx) {
        Step::Ready(outcome) => outcome,
        Step::Wait(mut future) => match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => return Seen::Waits,
        },
    };
    match outcome.unwrap() {
        Verdict::Next => Seen::Passes,
        Verdict::Respond(reply) => {
            let again = reply.fields.get_str("retry-after").map(str::to_owned);
            Seen::Refused(reply.status, again)
        }
    }
}

fn refused(again: &str) -> Seen {
    Seen::Refused(503, Some(again.to_owned()))
}

#[test]
fn requests_over_the_rate_wait_and_those_over_the_burst_are_refused() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", json!({ "rate": 0.5, "burst": 1, "key": "remote_addr" }));
    for (desc, millis, expected) in [
        ("the first never waits", 0, Seen::Passes),
        ("one over the rate", 0, Seen::Waits),
        ("one over the burst", 0, refused("2")),
        ("still one over", 1_000, refused("1")),
        ("one has leaked", 1_000, Seen::Waits),
        ("what was refused was not poured in", 2_000, Seen::Waits),
        ("dry again", 4_000, Seen::Passes),
    ] {
        world.pass(Duration::from_millis(millis));
        assert_eq!(send(&world, &plugin, &[]), expected, "{desc}");
    }
}

#[test]
fn nodelay_lets_the_burst_pass_at_once() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", json!({ "rate": 1, "burst": 2, "key": "http_x", "nodelay": true }));
    let seen: Vec<Seen> = (0..4).map(|_| send(&world, &plugin, &[("X", "a")])).collect();
    assert_eq!(seen, [Seen::Passes, Seen::Passes, Seen::Passes, refused("1")]);
    assert_eq!(send(&world, &plugin, &[("X", "b")]), Seen::Passes, "another key");
    assert_eq!(send(&world, &plugin, &[]), Seen::Passes, "the address, without a value");
}

#[test]
fn buckets_outlive_whatever_else_changes() {
    let world = World::default();
    let config = json!({ "rate": 1, "burst": 0, "key": "remote_addr" });
    assert_eq!(send(&world, &build(&world, "/routes/1", config.clone()), &[]), Seen::Passes);
    for (desc, owner, config, expected) in [
        ("built again", "/routes/1", config.clone(), refused("1")),
        ("another document", "/routes/2", config, Seen::Passes),
        ("another rate", "/routes/1", json!({ "rate": 2, "burst": 0, "key": "remote_addr" }), Seen::Passes),
    ] {
        assert_eq!(send(&world, &build(&world, owner, config), &[]), expected, "{desc}");
    }
}

#[test]
fn a_delay_that_no_clock_reaches_is_no_failure() {
    let world = World::default();
    let plugin = build(&world, "/routes/1", json!({ "rate": 1e-300, "burst": 1e300, "key": "remote_addr" }));
    assert_eq!(send(&world, &plugin, &[]), Seen::Passes);
    assert_eq!(send(&world, &plugin, &[]), Seen::Waits);
}

#[test]
fn a_clock_that_goes_back_forgives_nothing() {
    let buckets = Buckets::default();
    let scope = buckets.scope(&["/routes/1"]);
    let pour = |now| buckets.pour((&scope, b"k"), Leak { rate: 1.0, burst: 1.0 }, now).unwrap();
    let start = 1_700_000_000_000_000;
    assert_eq!(pour(start), Poured::Within(0.0));
    assert_eq!(pour(start), Poured::Within(1.0));
    assert_eq!(pour(start - 3_600_000_000), Poured::Over(1.0));
    assert_eq!(pour(start + 1_000_000), Poured::Within(1.0), "nor does it lose anything");
}

#[test]
fn dry_buckets_are_forgotten() {
    let buckets = Buckets::default();
    let scope = buckets.scope(&["/routes/1"]);
    for round in 0..3_u64 {
        for n in 0..10_000_u64 {
            buckets.pour((&scope, &n.to_le_bytes()), Leak { rate: 1.0, burst: 0.0 }, round << 40).unwrap();
        }
    }
    assert!(buckets.len() <= 13_000, "{}", buckets.len());
}

proptest! {
    /// As APISIX's library says, in milliseconds and thousandths of requests.
    #[test]
    fn buckets_agree_with_the_model(
        rate in 1_u32..2_000,
        burst in 0_u32..5_000,
        steps in prop::collection::vec((0_u64..3_000, 0_u8..2), 1..80),
    ) {
        let (rate, burst) = (f64::from(rate) / 100.0, f64::from(burst) / 1000.0);
        let buckets = Buckets::default();
        let scope = buckets.scope(&["/routes/1"]);
        let mut model: [Option<(f64, u64)>; 2] = [None; 2];
        let mut now = 1_700_000_000_000;
        for (pause, key) in steps {
            now += pause;
            let slot = &mut model[usize::from(key)];
            let excess = slot.map_or(0.0, |(excess, last)| {
                f64::max(excess - rate * 1000.0 * (now - last) as f64 / 1000.0 + 1000.0, 0.0)
            });
            // Two ways to compute may differ in the last digit.
            prop_assume!((excess - burst * 1000.0).abs() > 1e-6);
            let poured = buckets.pour((&scope, &[key]), Leak { rate, burst }, now * 1000).unwrap();
            if excess > burst * 1000.0 {
                prop_assert!(matches!(poured, Poured::Over(_)));
            } else {
                *slot = Some((excess, now));
                let Poured::Within(delay) = poured else { panic!("{poured:?} instead of {excess}") };
                prop_assert!((delay - excess / rate / 1000.0).abs() < 1e-6);
            }
        }
    }

    /// However requests come, no time lets more pass than the rate and the burst.
    #[test]
    fn no_more_pass_than_rate_and_burst(pauses in prop::collection::vec(0_u64..400_000, 1..300)) {
        let buckets = Buckets::default();
        let scope = buckets.scope(&["/routes/1"]);
        let (mut now, mut passed) = (0_u64, 0_u32);
        for pause in pauses {
            now += pause;
            let poured = buckets.pour((&scope, b"k"), Leak { rate: 10.0, burst: 5.0 }, now).unwrap();
            passed += u32::from(matches!(poured, Poured::Within(_)));
            prop_assert!(f64::from(passed) <= 1.0 + 5.0 + 10.0 * now as f64 / 1e6 + 1e-6);
        }
    }
}
