//! Where the documents of a file stand among each other. Each has a number, with room between them: a document that is put in
//! between gets one of its own there, and the others keep theirs, for whatever has another number is compiled again.

/// Room between documents that were numbered together.
const STEP: u64 = 1 << 32;

/// Numbers for documents in their order, each given with the one that it has.
pub(super) fn arrange(mut numbers: Vec<Option<u64>>) -> Vec<u64> {
    keep_rising(&mut numbers);
    fill(&numbers).unwrap_or_else(|| (1..=numbers.len() as u64).map(|at| at * STEP).collect())
}

/// Keeps as many numbers as can be kept so that they rise.
fn keep_rising(numbers: &mut [Option<u64>]) {
    let is_rising = numbers.iter().flatten().is_sorted_by(|a, b| a < b);
    if is_rising {
        return;
    }
    // Of all rising series of a length so far, the one that ends lowest; each number remembers who is before it.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; numbers.len()];
    let number = |at: usize, numbers: &[Option<u64>]| numbers.get(at).copied().flatten().unwrap_or_default();
    for at in 0..numbers.len() {
        let Some(Some(own)) = numbers.get(at).copied() else { continue };
        let length = ends.partition_point(|&end| number(end, numbers) < own);
        if let Some(before) = before.get_mut(at) {
            *before = length.checked_sub(1).and_then(|last| ends.get(last)).copied();
        }
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut kept = vec![false; numbers.len()];
    let mut next = ends.last().copied();
    while let Some(at) = next {
        if let Some(kept) = kept.get_mut(at) {
            *kept = true;
        }
        next = before.get(at).copied().flatten();
    }
    for (number, is_kept) in numbers.iter_mut().zip(kept) {
        if !is_kept {
            *number = None;
        }
    }
}

/// Numbers for those that have none, between those of their neighbours; `None` when there is no room.
fn fill(numbers: &[Option<u64>]) -> Option<Vec<u64>> {
    let mut filled = Vec::with_capacity(numbers.len());
    let mut below = 0;
    let mut missing = 0;
    for number in numbers.iter().copied().chain([None]) {
        let is_end = filled.len() as u64 + missing == numbers.len() as u64;
        match number {
            None if !is_end => missing += 1,
            number => {
                let step = match number {
                    Some(above) => (above - below) / (missing + 1),
                    None => STEP,
                };
                if step == 0 {
                    return None;
                }
                for _ in 0..missing {
                    below = u64::checked_add(below, step)?;
                    filled.push(below);
                }
                missing = 0;
                if let Some(own) = number {
                    below = own;
                    filled.push(own);
                }
            }
        }
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Versions of a file, one after the other: who has another number than before?
    fn play(versions: &[(&str, &str)]) {
        let mut known: HashMap<char, u64> = HashMap::new();
        for (names, moved) in versions {
            let numbers = arrange(names.chars().map(|name| known.get(&name).copied()).collect());
            assert_eq!(numbers.len(), names.len());
            assert!(numbers.is_sorted_by(|a, b| a < b), "{names}: {numbers:?}");
            let new: HashMap<char, u64> = names.chars().zip(numbers).collect();
            let others: String = names.chars().filter(|name| known.get(name) != new.get(name)).collect();
            assert_eq!(others, *moved, "{names}");
            known = new;
        }
    }

    #[test]
    fn whoever_can_keeps_its_number() {
        play(&[
            ("abcd", "abcd"),
            ("abcd", ""),
            ("axbcd", "x"),
            ("yaxbcdz", "yz"),
            ("yaxbd", ""),
            ("dyaxb", "d"),
            ("", ""),
            ("ab", "ab"),
            ("ba", "b"),
            ("cba", "c"),
        ]);
    }

    #[test]
    fn where_there_is_no_room_all_are_numbered_anew() {
        // Each is put between the first and those that came before it.
        let mut numbers = vec![STEP, 2 * STEP];
        let mut is_renumbered = false;
        for _ in 0..40 {
            let mut known: Vec<Option<u64>> = numbers.into_iter().map(Some).collect();
            known.insert(1, None);
            numbers = arrange(known);
            assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
            is_renumbered |= numbers.last() != Some(&(2 * STEP));
        }
        assert!(is_renumbered);
    }
}
