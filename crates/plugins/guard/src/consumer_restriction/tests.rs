use super::*;
use plugin::Verdict;
use plugin::testing::{self, World};

#[test]
fn without_methods_none_is_allowed() {
    let plugin = ConsumerRestriction {
        subject: Subject::ConsumerName,
        denied: HashSet::new(),
        allowed: None,
        methods: HashMap::from([("jack".to_owned(), Vec::new())]),
        nobody: Reply::status(401),
        refusal: Reply::status(403),
    };
    for (name, expected) in [(Some("jack"), Some(403)), (Some("rose"), None), (None, Some(401))] {
        let mut cx = World::default().ctx("GET", "/", &[]);
        if let Some(name) = name {
            cx.set_consumer(testing::consumer(name));
        }
        let status = match testing::ready(plugin.access(&mut cx)) {
            Ok(Verdict::Respond(reply)) => Some(reply.status),
            Ok(Verdict::Next) => None,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(status, expected, "{name:?}");
    }
}
