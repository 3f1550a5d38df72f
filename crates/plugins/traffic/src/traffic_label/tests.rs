use super::*;
use serde_json::json;

#[test]
fn weights_are_met_exactly_and_evenly() {
    let config = json!({ "actions": [{ "weight": 1 }, { "weight": 2 }, { "weight": 5 }] });
    let rule = Rule::compile(&serde_json::from_value(config).unwrap()).unwrap();
    let taken: Vec<i64> = (0..16).map(|_| rule.next().unwrap().weight).collect();
    for cycle in taken.chunks(8) {
        let count = |weight| cycle.iter().filter(|&&taken| taken == weight).count();
        assert_eq!((count(1), count(2), count(5)), (1, 2, 5), "{taken:?}");
    }
    // The heaviest does not come all at once.
    assert!(!taken.windows(4).any(|window| window == [5, 5, 5, 5]), "{taken:?}");
}
