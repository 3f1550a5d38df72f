use super::*;
use proptest::prelude::*;

fn ring(members: &[(&str, u32)]) -> Ring {
    Ring::new(members.iter().copied())
}

fn first(ring: &Ring, key: &str) -> u32 {
    ring.find(crc32fast::hash(key.as_bytes()), |_| true).unwrap().1
}

/// The members in the order in which a request with this key tries them.
fn walk(ring: &Ring, key: &str, members: usize) -> Vec<u32> {
    let (mut point, member) = ring.find(crc32fast::hash(key.as_bytes()), |_| true).unwrap();
    let mut tried = vec![member];
    while tried.len() < members {
        let (next, member) = ring.next(point, |member| !tried.contains(&member)).unwrap();
        point = next;
        tried.push(member);
    }
    tried
}

/// The expected values were computed with lua-resty-balancer's own chash.c, and `_find_id` and `next` of its chash.lua.
#[test]
fn keys_go_where_lua_resty_chash_sends_them() {
    let eight: Vec<String> = (1..9).map(|i| format!("10.1.0.{i}:8080")).collect();
    let eight: Vec<(&str, u32)> = eight.iter().map(|address| (address.as_str(), 1)).collect();
    type Members<'a> = &'a [(&'a str, u32)];
    type Walks<'a> = &'a [(&'a str, &'a [u32])];
    let cases: [(&str, Members<'_>, Walks<'_>, u32); 4] = [
        (
            "two alike",
            &[("127.0.0.1:1980", 1), ("127.0.0.1:1981", 1)],
            &[("", &[0, 1]), ("a", &[1, 0]), ("127.0.0.1", &[0, 1]), ("é", &[0, 1]), ("1", &[1, 0])],
            0x5990_20df,
        ),
        (
            "weights",
            &[("127.0.0.1:1980", 1), ("127.0.0.1:1981", 2), ("10.0.0.7:80", 4)],
            &[("", &[2, 0, 1]), ("/index.html", &[1, 2, 0]), ("user-4711", &[0, 2, 1]), ("4", &[1, 2, 0])],
            0x7681_e4b3,
        ),
        (
            "names and IPv6",
            &[("[::1]:80", 3), ("backend.example:8443", 1), ("192.168.100.200:65535", 7)],
            &[("a", &[1, 2, 0]), ("127.0.0.1", &[0, 2, 1]), ("3", &[1, 2, 0]), ("4", &[2, 1, 0])],
            0xddb9_812a,
        ),
        (
            "many",
            &eight,
            &[
                ("", &[4, 3, 7, 1, 2, 6, 5, 0]),
                ("/index.html", &[5, 4, 0, 7, 3, 6, 2, 1]),
                ("user-4711", &[5, 6, 2, 7, 3, 4, 0, 1]),
                ("2", &[0, 7, 4, 1, 3, 5, 6, 2]),
            ],
            0xcb3f_7bd9,
        ),
    ];
    for (desc, members, walks, digest) in cases {
        let ring = ring(members);
        for (key, expected) in walks {
            assert_eq!(walk(&ring, key, members.len()), *expected, "{desc}: {key}");
        }
        let firsts: Vec<u8> = (0..20_000).map(|i| first(&ring, &format!("key-{i}")) as u8).collect();
        assert_eq!(crc32fast::hash(&firsts), digest, "{desc}: 20,000 keys");
    }
}

#[test]
fn weights_are_divided_and_nodes_without_weight_have_no_points() {
    let heavy = ring(&[("a:1", 1_000_000_000), ("b:1", 0), ("c:1", 4_000_000_000)]);
    let light = ring(&[("a:1", 1), ("b:1", 0), ("c:1", 4)]);
    assert_eq!(heavy.points.len(), 800);
    for i in 0..100 {
        let key = i.to_string();
        assert_eq!(first(&heavy, &key), first(&light, &key));
        assert_ne!(first(&heavy, &key), 1);
    }
    assert!(ring(&[("a:1", 0)]).find(7, |_| true).is_none());
    assert!(ring(&[]).find(7, |_| true).is_none());
}

#[test]
fn a_ring_is_bounded_and_keeps_its_proportions() {
    let ring = ring(&[("a:1", 999_999), ("b:1", 1_000_000), ("c:1", 1)]);
    assert!(ring.points.len() as u64 <= MAX_POINTS + 3, "{}", ring.points.len());
    let of = |member| ring.points.iter().filter(|point| point.member == member).count() as u64;
    assert!(of(0).abs_diff(MAX_POINTS / 2) < 1000 && of(1).abs_diff(MAX_POINTS / 2) < 1000 && of(2) >= 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn removing_a_node_moves_only_its_keys(
        weights in proptest::collection::vec(1u32..5, 2..12),
        gone in any::<proptest::sample::Index>(),
        salt in any::<u16>(),
    ) {
        let addresses: Vec<String> = (0..weights.len()).map(|i| format!("10.0.{salt}.{i}:80")).collect();
        // A weight of 1 that stays keeps the divisor.
        let mut members: Vec<(&str, u32)> = addresses.iter().map(String::as_str).zip(weights.iter().copied()).collect();
        members.push(("stays:80", 1));
        let gone = gone.index(weights.len());
        let before = ring(&members);
        let mut fewer = members.clone();
        let removed = fewer.remove(gone).0;
        let after = ring(&fewer);
        for i in 0..300 {
            let key = format!("{salt}-{i}");
            let (was, is) = (members[first(&before, &key) as usize].0, fewer[first(&after, &key) as usize].0);
            prop_assert!(was == is || was == removed, "{key}: {was} is there and the key went to {is}");
            if was == removed {
                // It goes to the node that a retry would have taken.
                let next = walk(&before, &key, 2)[1];
                prop_assert_eq!(members[next as usize].0, is);
            }
        }
    }

    #[test]
    fn the_shortcut_into_the_ring_finds_what_a_search_finds(hash in any::<u32>(), members in 1usize..40) {
        let addresses: Vec<String> = (0..members).map(|i| format!("10.0.0.{i}:80")).collect();
        let ring = Ring::new(addresses.iter().map(|address| (address.as_str(), 1)));
        let at = ring.points.partition_point(|point| point.hash < hash) % ring.points.len();
        prop_assert_eq!(ring.find(hash, |_| true), Some((at, ring.points[at].member)));
    }
}
