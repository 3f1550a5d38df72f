use super::*;
use proptest::prelude::*;

fn addresses(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|i| format!("10.0.0.{i}:80").into()).collect()
}

fn renew(shared: &LeastConn, addresses: &[Arc<str>], weights: &[u32]) -> u64 {
    shared.renew(addresses.iter().zip(weights.iter().copied()))
}

#[test]
fn the_heaviest_is_first_and_shares_follow_weights() {
    let shared = LeastConn::default();
    let all = addresses(3);
    let generation = renew(&shared, &all, &[1, 4, 2]);
    let mut counts = [0; 3];
    for n in 0..700 {
        let member = shared.pick(generation, &all, &Tried::default()).unwrap();
        if n == 0 {
            assert_eq!(member, 1);
        }
        counts[member as usize] += 1;
    }
    assert_eq!(counts, [100, 400, 200]);
}

#[test]
fn idle_equals_take_turns_and_the_busy_are_left_alone() {
    let shared = LeastConn::default();
    let all = addresses(3);
    let generation = renew(&shared, &all, &[1, 1, 1]);
    let pick = || shared.pick(generation, &all, &Tried::default()).unwrap();
    let turns: Vec<u32> = (0..6)
        .map(|_| {
            let member = pick();
            shared.release(&all[member as usize]);
            member
        })
        .collect();
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    let busy = pick();
    for _ in 0..10 {
        let member = pick();
        assert_ne!(member, busy);
        shared.release(&all[member as usize]);
    }
}

#[test]
fn counts_stay_over_changes_of_the_members() {
    let shared = LeastConn::default();
    let all = addresses(3);
    let first = renew(&shared, &all[..1], &[1]);
    for _ in 0..5 {
        assert_eq!(shared.pick(first, &all[..1], &Tried::default()), Some(0));
    }
    // The second node is empty, and is filled up to the first before that one gets more.
    let second = renew(&shared, &all[..2], &[1, 1]);
    for _ in 0..5 {
        assert_eq!(shared.pick(second, &all[..2], &Tried::default()), Some(1));
    }
    // It leaves while its requests run, and comes back with them.
    let without = renew(&shared, &all[..1], &[1]);
    shared.release(&all[1]);
    assert_eq!(shared.pick(without, &all[..1], &Tried::default()), Some(0));
    let third = renew(&shared, &all[..2], &[1, 1]);
    for _ in 0..2 {
        assert_eq!(shared.pick(third, &all[..2], &Tried::default()), Some(1));
    }
    // Who still holds the set before takes what it knows.
    assert!(shared.pick(first, &all[..1], &Tried::default()).is_some());
    for _ in 0..20 {
        shared.release(&all[0]);
        shared.release(&all[1]);
    }
    renew(&shared, &[], &[]);
    assert!(shared.0.lock().others.is_empty());
}

#[test]
fn a_node_without_weight_is_the_last() {
    let shared = LeastConn::default();
    let all = addresses(2);
    let generation = renew(&shared, &all, &[0, 1]);
    assert!((0..9).all(|_| shared.pick(generation, &all, &Tried::default()) == Some(1)));
    let mut tried = Tried::default();
    tried.add(1);
    assert_eq!(shared.pick(generation, &all, &tried), Some(0));
    tried.add(0);
    assert_eq!(shared.pick(generation, &all, &tried), None);
}

proptest! {
    #[test]
    fn the_tree_finds_what_a_search_finds(
        weights in proptest::collection::vec(0u32..5, 1..20),
        steps in proptest::collection::vec((any::<bool>(), any::<proptest::sample::Index>()), 0..60),
    ) {
        let shared = LeastConn::default();
        let all = addresses(weights.len());
        let generation = renew(&shared, &all, &weights);
        let mut running = Vec::new();
        for (ends, which) in steps {
            if ends && !running.is_empty() {
                let member: u32 = running.swap_remove(which.index(running.len()));
                shared.release(&all[member as usize]);
                continue;
            }
            let mut tried = Tried::default();
            tried.add(which.index(weights.len()) as u32);
            let expected = {
                let state = shared.0.lock();
                let untried = (0..weights.len() as u32).filter(|member| !tried.contains(*member));
                untried.min_by(|a, b| state.members[*a as usize].cmp(&state.members[*b as usize]))
            };
            let picked = shared.pick(generation, &all, &tried);
            prop_assert_eq!(picked, expected);
            running.extend(picked);
        }
    }
}
