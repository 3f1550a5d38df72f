use super::*;
use plugin::{Verdict, testing};

#[test]
fn requests_go_on() {
    let mut cx = testing::ctx("GET", "/", &[]);
    assert!(matches!(testing::ready(ProxyBuffering.rewrite(&mut cx)), Ok(Verdict::Next)));
}
