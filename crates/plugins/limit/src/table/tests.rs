use super::*;

/// Counts, until a time.
#[derive(Default)]
struct Note {
    until: u64,
    count: u64,
}

impl Entry for Note {
    fn is_over(&self, now: u64) -> bool {
        self.until <= now
    }
}

/// Counts a key for 60 units of time.
fn count(table: &Table<Note>, key: u64, now: u64) -> Result<u64, Full> {
    table.with(table.digest(&key), now, |note| {
        *note = Note { until: now + 60, count: note.count + 1 };
        note.count
    })
}

#[test]
fn what_is_over_is_forgotten_and_the_rest_is_not() {
    let table = Table::default();
    for key in 0..20_000 {
        assert_eq!(count(&table, key, 0), Ok(1));
    }
    assert_eq!(table.len(), 20_000);
    assert_eq!(count(&table, 7, 1), Ok(2));
    for key in 20_000..40_000 {
        count(&table, key, 61).unwrap();
    }
    assert!(table.len() <= 25_000, "{} are left", table.len());
    assert!(table.room() <= table.len() * 4, "{} places", table.room());
}

#[test]
fn too_many_keys_are_refused_and_no_one_is_forgotten() {
    let table = Table::with_capacity(SHARDS * 4);
    assert!(count(&table, 0, 0).is_ok());
    let refused = (1..10_000).filter(|&key| count(&table, key, 0).is_err()).count();
    assert_eq!(refused, 10_000 - SHARDS * 4);
    assert_eq!(count(&table, 0, 0), Ok(2));
    assert!(count(&table, 20_000, 61).is_ok(), "room comes back");
}

#[test]
fn keys_that_come_and_go_leave_the_memory_flat() {
    let table = Table::default();
    let mut most = 0;
    for now in 0..3 {
        for key in 0..200_000 {
            count(&table, now << 32 | key, now * 61).unwrap();
        }
        most = most.max(table.len());
    }
    assert!(most <= 260_000, "{most} at one time");
}

#[test]
fn what_is_not_known_is_not_made() {
    let table = Table::<Note>::default();
    assert_eq!(table.with_known(table.digest("k"), 0, |note| note.count), None);
    assert_eq!(table.len(), 0);
}
