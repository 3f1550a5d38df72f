use super::*;
use plugin::{Verdict, testing};

#[test]
fn a_body_is_passed_on_as_it_comes_where_it_is_said() {
    for streams in [true, false] {
        let mut cx = testing::ctx("POST", "/", &[]);
        let plugin = ProxyControl { streams };
        assert!(matches!(testing::ready(plugin.rewrite(&mut cx)), Ok(Verdict::Next)));
        assert_eq!(cx.upstream.streams_body, streams);
    }
}
