use super::*;
use plugin::{Verdict, testing};

#[test]
fn without_a_size_nothing_is_bounded() {
    let mut cx = testing::ctx("POST", "/", &[("Content-Length", "100")]);
    assert!(matches!(testing::ready(ClientControl { max: None }.rewrite(&mut cx)), Ok(Verdict::Next)));
}
