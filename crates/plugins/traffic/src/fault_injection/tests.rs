use super::*;
use model::differences::Compat;
use plugin::{Shared, testing};
use serde_json::json;
use std::task::{Context, Waker};

fn plugin(config: &Value) -> FaultInjection {
    let shared = Arc::new(Shared::default());
    let env = BuildEnv { shared: &shared, owner: "/routes/1", config, attr: &json!({}), compat: Compat::default() };
    FaultInjection::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap()
}

#[test]
fn a_share_of_the_requests_is_hit() {
    for (percentage, range) in [(0, 0..=0), (100, 1000..=1000), (50, 350..=650)] {
        let plugin = plugin(&json!({ "abort": { "http_status": 500, "percentage": percentage } }));
        let hits = (0..1000)
            .filter(|_| {
                let mut cx = testing::ctx("GET", "/", &[]);
                matches!(testing::ready(plugin.rewrite(&mut cx)), Ok(Verdict::Respond(_)))
            })
            .count();
        assert!(range.contains(&hits), "{percentage}: {hits}");
    }
}

#[test]
fn a_delay_waits_before_anything_else() {
    let delayed = plugin(&json!({ "delay": { "duration": 3600 }, "abort": { "http_status": 500 } }));
    let mut cx = testing::ctx("GET", "/", &[]);
    let Step::Wait(mut future) = delayed.rewrite(&mut cx) else { panic!("it does not wait") };
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    let spared = plugin(&json!({ "delay": { "duration": 3600, "vars": [[["arg_a", "==", "b"]]] } }));
    assert!(matches!(spared.rewrite(&mut cx), Step::Ready(Ok(Verdict::Next))));
}
