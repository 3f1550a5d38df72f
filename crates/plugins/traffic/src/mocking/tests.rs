use super::*;
use plugin::testing;
use serde_json::json;
use std::task::{Context, Waker};

#[test]
fn an_answer_can_be_made_to_wait() {
    let shared = Arc::default();
    let config = json!({
        "delay": 3600, "response_status": 200, "content_type": "text/plain", "response_example": "a",
        "with_mock_header": true,
    });
    let compat = model::differences::Compat::default();
    let env = BuildEnv { shared: &shared, owner: "/routes/1", config: &config, attr: &json!({}), compat };
    let plugin = Mocking::build(serde_json::from_value(config.clone()).unwrap(), &env).unwrap();
    let mut cx = testing::ctx("GET", "/", &[]);
    let Step::Wait(mut future) = plugin.access(&mut cx) else { panic!("it does not wait") };
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}
