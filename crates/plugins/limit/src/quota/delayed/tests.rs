use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000_000_000;
const SECOND: u64 = 1_000_000;

fn quota() -> Quota {
    Quota { key: b"k".to_vec(), limit: 10, seconds: 60 }
}

fn passes(account: &mut Account, cost: u64, now: u64) -> bool {
    matches!(account.take(&quota(), cost, now), Said::Taken(Taken { remaining: Some(_), .. }))
}

#[test]
fn what_redis_is_being_told_counts_here_until_it_answers() {
    let mut account = Account::default();
    assert_eq!(account.take(&quota(), 1, NOW), Said::Ask(0), "nothing is known");
    account.settle(0, Some((3, 60.0)), NOW);
    assert!(passes(&mut account, 1, NOW) && passes(&mut account, 1, NOW));
    assert_eq!(account.begin(), 2);
    assert!(passes(&mut account, 1, NOW) && !passes(&mut account, 1, NOW));
    account.settle(2, Some((1, 50.0)), NOW);
    assert!(!passes(&mut account, 1, NOW), "one was used while it was told");
    assert_eq!(account.begin(), 1);
    account.settle(1, None, NOW);
    assert!(!passes(&mut account, 1, NOW), "nor is it forgotten when Redis is away");
    assert_eq!(account.take(&quota(), 1, NOW + 50 * SECOND), Said::Ask(1), "the window is over");
}

#[test]
fn an_answer_that_comes_late_gives_nothing_back() {
    let mut account = Account::default();
    assert_eq!(account.take(&quota(), 1, NOW), Said::Ask(0));
    assert_eq!(account.take(&quota(), 1, NOW), Said::Ask(0), "another request, meanwhile");
    account.settle(0, Some((2, 60.0)), NOW);
    account.settle(0, Some((9, 60.0)), NOW);
    assert!(passes(&mut account, 2, NOW) && !passes(&mut account, 1, NOW));
    let told = account.begin();
    account.settle(told, Some((5, 50.0)), NOW);
    assert!(passes(&mut account, 5, NOW) && !passes(&mut account, 1, NOW), "alone, it is believed");
}

#[test]
fn while_redis_is_away_the_quota_is_this_nodes_own() {
    let ledger = Ledger::default();
    let digest = ledger.accounts.digest("k");
    assert_eq!(ledger.take(digest, &quota(), 1, NOW), Ok(Said::Ask(0)));
    ledger.settle(digest, &quota(), 0, None, NOW).unwrap();
    for left in (0..10).rev() {
        let taken = Taken { remaining: Some(left), reset: 60.0 };
        assert_eq!(ledger.take(digest, &quota(), 1, NOW), Ok(Said::Taken(taken)));
    }
    assert_eq!(ledger.take(digest, &quota(), 1, NOW), Ok(Said::Taken(Taken { remaining: None, reset: 60.0 })));
    assert_eq!(ledger.begin(digest), 10, "it is told later");
}

#[test]
fn accounts_are_forgotten_and_their_number_is_bounded() {
    let ledger = Ledger::default();
    for round in 0..3 {
        for n in 0..5_000_u64 {
            let now = NOW + round * 200 * SECOND;
            let digest = ledger.accounts.digest(&(round, n));
            ledger.take(digest, &quota(), 1, now).unwrap();
            ledger.settle(digest, &quota(), 0, None, now).unwrap();
        }
    }
    assert!(ledger.accounts.len() < 7_000, "{}", ledger.accounts.len());
    let owing = (0..20_000_u64).filter(|n| ledger.may_owe(ledger.accounts.digest(n), &quota())).count();
    assert_eq!(owing, MAX_UNTOLD);
}

proptest! {
    /// However requests and answers come, Redis is told of each request that passed exactly once, and one node alone lets no
    /// more pass than the quota.
    #[test]
    fn nothing_is_lost_or_told_twice(steps in prop::collection::vec(0_u8..4, 1..200)) {
        let (mut account, mut used, mut passed) = (Account::default(), 0_u64, 0_u64);
        let mut telling: Option<u64> = None;
        account.settle(0, Some((10, 60.0)), NOW);
        for step in steps {
            match (step, telling) {
                (0, _) => passed += u64::from(passes(&mut account, 1, NOW)),
                (1, None) => telling = Some(account.begin()),
                (2, Some(told)) => {
                    used += told;
                    account.settle(told, Some((10_u64.saturating_sub(used), 60.0)), NOW);
                    telling = None;
                }
                (3, Some(told)) => {
                    account.settle(told, None, NOW);
                    telling = None;
                }
                _ => {}
            }
            prop_assert!(passed <= 10);
            prop_assert_eq!(passed, used + account.untold + account.telling);
        }
    }
}
