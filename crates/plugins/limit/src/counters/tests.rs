use super::*;
use proptest::prelude::*;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

const SECOND: u64 = 1_000_000;
const START: u64 = 1_700_000_000 * SECOND;

#[test]
fn a_fixed_window_begins_with_the_first_request() {
    let counters = Counters::default();
    let scope = counters.scope(&["/routes/1"]);
    for (at, remaining, reset) in [
        (0, Some(1), 60.0),
        (SECOND / 2, Some(0), 59.5),
        (SECOND, None, 59.0),
        (SECOND * 60 - 1, None, 0.0),
        (SECOND * 60, Some(1), 60.0),
        (SECOND * 1000, Some(1), 60.0),
        (SECOND * 1000 + 123_456, Some(0), 59.87),
    ] {
        let taken = counters.take((&scope, b"k"), Window::Fixed, (1, 2, 60), START + at).unwrap();
        assert_eq!(taken, Taken { remaining, reset }, "at {at}");
    }
}

#[test]
fn a_sliding_window_counts_a_share_of_the_one_before() {
    let counters = Counters::default();
    let scope = counters.scope(&["/routes/1"]);
    for (desc, at, remaining, reset) in [
        ("first", 0, Some(3), 10.0),
        ("second", 0, Some(2), 10.0),
        ("third", 0, Some(1), 10.0),
        ("fourth", 0, Some(0), 10.0),
        ("over", 9, None, 1.0),
        ("four tenths of four are over", 14, Some(0), 6.0),
        ("2.4 + 1, the second of them", 14, Some(0), 6.0),
        ("2.4 + 2 are over", 14, None, 1.0),
        ("nothing was used before", 40, Some(3), 10.0),
    ] {
        let taken = counters.take((&scope, b"k"), Window::Sliding, (1, 4, 10), START + at * SECOND).unwrap();
        assert_eq!(taken, Taken { remaining, reset }, "{desc}");
    }
}

#[test]
fn keys_and_scopes_do_not_share() {
    let counters = Counters::default();
    let (one, two) = (counters.scope(&["a", "b"]), counters.scope(&["ab"]));
    for key in [(&one, &b"k"[..]), (&one, b"l"), (&one, b""), (&one, &[b'k'; 1000]), (&two, b"k")] {
        for window in [Window::Fixed, Window::Sliding] {
            assert_eq!(counters.take(key, window, (1, 1, 60), START).unwrap().remaining, Some(0));
            assert_eq!(counters.take(key, window, (1, 1, 60), START).unwrap().remaining, None);
        }
    }
}

#[test]
fn exactly_the_quota_passes_whatever_the_threads_do() {
    for window in [Window::Fixed, Window::Sliding] {
        let counters = Counters::default();
        let scope = counters.scope(&["/routes/1"]);
        let passed = AtomicUsize::new(0);
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for _ in 0..500 {
                        let taken = counters.take((&scope, b"k"), window, (1, 1000, 3600), START).unwrap();
                        passed.fetch_add(usize::from(taken.remaining.is_some()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1000, "{window:?}");
    }
}

#[test]
fn a_counter_fits_into_128_bytes() {
    assert!(Table::<Counter>::bytes_of_an_entry() <= 128);
}

#[test]
fn a_clock_that_goes_back_forgives_nothing() {
    for window in [Window::Fixed, Window::Sliding] {
        let counters = Counters::default();
        let scope = counters.scope(&["/routes/1"]);
        assert!(counters.take((&scope, b"k"), window, (1, 1, 10), START).unwrap().remaining.is_some());
        let taken = counters.take((&scope, b"k"), window, (1, 1, 10), START - 100 * SECOND).unwrap();
        assert_eq!(taken.remaining, None, "{window:?}");
    }
}

proptest! {
    /// As APISIX counts: a number and an end by key.
    #[test]
    fn fixed_windows_agree_with_the_model(
        limit in 1_u64..6,
        seconds in 1_u64..5,
        steps in prop::collection::vec((0_u64..2_000_000, 0_u8..3), 1..80),
    ) {
        let counters = Counters::default();
        let scope = counters.scope(&["/routes/1"]);
        let mut model: HashMap<u8, (u64, u64)> = HashMap::new();
        let mut now = START;
        for (pause, key) in steps {
            now += pause;
            let (end, used) = model.entry(key).or_insert((0, 0));
            if *end <= now {
                (*end, *used) = (now + seconds * SECOND, 0);
            }
            *used += 1;
            let taken = counters.take((&scope, &[key]), Window::Fixed, (1, limit, seconds), now).unwrap();
            prop_assert_eq!(taken.remaining, limit.checked_sub(*used));
            prop_assert!((taken.reset - (*end - now) as f64 / MICROS).abs() < 0.0101);
        }
    }

    /// As APISIX counts: a number by key and number of the window.
    #[test]
    fn sliding_windows_agree_with_the_model(
        limit in 1_u64..6,
        seconds in 1_u64..5,
        steps in prop::collection::vec((0_u64..2_000_000, 0_u8..3), 1..80),
    ) {
        let counters = Counters::default();
        let scope = counters.scope(&["/routes/1"]);
        let mut model: HashMap<(u8, u64), u64> = HashMap::new();
        let (mut now, length) = (START, seconds * SECOND);
        for (pause, key) in steps {
            now += pause;
            let number = now / length;
            let before = model.get(&(key, number - 1)).copied().unwrap_or(0).min(limit) as f64;
            let used = model.entry((key, number)).or_insert(0);
            let left = (length - now % length) as f64 / MICROS;
            let share = before / seconds as f64 * left;
            let is_allowed = *used < limit && share + (*used as f64) < limit as f64;
            *used += u64::from(is_allowed);
            let remaining = ((limit - *used) as f64 - share).floor().max(0.0) as u64;
            let taken = counters.take((&scope, &[key]), Window::Sliding, (1, limit, seconds), now).unwrap();
            prop_assert_eq!(taken.remaining, is_allowed.then_some(remaining));
            prop_assert!(taken.reset <= (left * 100.0).ceil() / 100.0 && taken.reset >= 0.0);
        }
    }
}

/// Counts in a quarter of a second, by two threads on keys of their own: in one table, or in one each.
fn counts_of_two_threads(tables: usize) -> u64 {
    let tables: Vec<Counters> = (0..tables).map(|_| Counters::default()).collect();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|running| {
        let counting: Vec<_> = tables
            .iter()
            .cycle()
            .take(2)
            .zip(0_u64..)
            .map(|(counters, thread)| {
                let is_over = &is_over;
                running.spawn(move || {
                    let scope = counters.scope(&["/routes/1"]);
                    let mut counted = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let key = ((thread << 32) | (counted % 1_000)).to_ne_bytes();
                        counters.take((&scope, &key), Window::Fixed, (1, u64::MAX, 60), START).unwrap();
                        counted += 1;
                    }
                    counted
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(250));
        is_over.store(true, Ordering::Relaxed);
        counting.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

#[test]
#[ignore = "a measurement: run it in release, with two cores to itself"]
#[allow(clippy::print_stdout)] // the figure is its purpose
fn two_threads_on_different_keys() {
    // In turn, so that a machine that slows down does so for both.
    let mut shares: Vec<f64> =
        (0..21).map(|_| counts_of_two_threads(1) as f64 / counts_of_two_threads(2) as f64).collect();
    shares.sort_by(f64::total_cmp);
    println!("two threads: {:.1} %", shares[shares.len() / 2] * 100.0);
}
