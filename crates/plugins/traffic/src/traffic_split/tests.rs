use super::turns::Turns;

#[test]
fn turns_are_exact_over_a_cycle_and_spread_within_it() {
    for (weights, want) in [
        (&[5u64, 1, 1][..], &[0usize, 0, 1, 0, 2, 0, 0][..]),
        (&[3, 0, 1], &[0, 0, 2, 0]),
        (&[0, 0], &[0, 1]),
        (&[7], &[0]),
    ] {
        let turns = Turns::new(weights);
        for _ in 0..3 {
            let got: Vec<usize> = want.iter().map(|_| turns.next()).collect();
            assert_eq!(got, want, "{weights:?}");
        }
    }
}

#[test]
fn large_weights_stay_exact() {
    let turns = Turns::new(&[99_999, 1]);
    let second = (0..200_000).filter(|_| turns.next() == 1).count();
    assert_eq!(second, 2);
    let turns = Turns::new(&[u64::MAX, u64::MAX]);
    assert_eq!([turns.next(), turns.next(), turns.next()], [0, 1, 0]);
}

#[test]
fn workers_share_the_turns() {
    let turns = Turns::new(&[3, 1]);
    let firsts: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| turns.next() == 0).count())).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(firsts, 3000);
}
