//! Many networks, searched in few steps.

use ipnet::IpNet;
use std::net::IpAddr;

/// A set of addresses: ranges that do not touch each other, in order. 100,000 networks take 17 comparisons.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Ranges in the order in which they are written.
#[derive(Default)]
pub(super) struct Ranges(Networks);

impl Ranges {
    /// Adds an address or a network; `None` where it is neither.
    pub(super) fn add(&mut self, text: &str) -> Option<()> {
        match network(text)? {
            IpNet::V4(net) => self.0.v4.push((net.network().to_bits(), net.broadcast().to_bits())),
            IpNet::V6(net) => self.0.v6.push((net.network().to_bits(), net.broadcast().to_bits())),
        }
        Some(())
    }

    pub(super) fn merge(self) -> Networks {
        let Self(mut networks) = self;
        merge(&mut networks.v4, |end| end.checked_add(1));
        merge(&mut networks.v6, |end| end.checked_add(1));
        networks
    }
}

impl Networks {
    /// Of addresses and networks as they are written.
    ///
    /// # Errors
    /// The first that is neither.
    pub(super) fn parse(texts: &[String]) -> Result<Self, &str> {
        let mut ranges = Ranges::default();
        for text in texts {
            ranges.add(text).ok_or(&**text)?;
        }
        Ok(ranges.merge())
    }

    /// How many ranges there are.
    pub(super) fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether the address is in one of them. An IPv4 address in its IPv6 form is the IPv4 address.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.v6, address.to_bits()),
        }
    }
}

/// An address or a network; one that is written in IPv6 and lies within `::ffff:0:0/96` is the IPv4 network that it means.
fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    let IpNet::V6(v6) = net else { return Some(net) };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(address), Some(length)) => IpNet::new(address.into(), length).ok(),
        _ => Some(net),
    }
}

/// Sorts, and makes one range of those that overlap or touch.
fn merge<T: Copy + Ord>(ranges: &mut Vec<(T, T)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|(start, end), (_, last)| {
        let touches = next(*last).is_none_or(|after| *start <= after);
        if touches {
            *last = (*last).max(*end);
        }
        touches
    });
    ranges.shrink_to_fit();
}

fn is_in<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(start, _)| *start <= address);
    after.checked_sub(1).and_then(|last| ranges.get(last)).is_some_and(|(_, end)| address <= *end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn of(texts: &[&str]) -> Networks {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Networks::parse(&texts).unwrap_or_else(|text| panic!("{text}"))
    }

    #[test]
    fn addresses_are_found() {
        for (desc, texts, address, expected) in [
            ("an address", vec!["10.0.0.1"], "10.0.0.1", true),
            ("its neighbour", vec!["10.0.0.1"], "10.0.0.2", false),
            ("the first of a network", vec!["10.0.0.0/8"], "10.0.0.0", true),
            ("the last of a network", vec!["10.0.0.0/8"], "10.255.255.255", true),
            ("after a network", vec!["10.0.0.0/8"], "11.0.0.0", false),
            ("host bits do not count", vec!["10.1.2.3/8"], "10.9.9.9", true),
            ("all of IPv4", vec!["0.0.0.0/0"], "255.255.255.255", true),
            ("all of IPv4 is not IPv6", vec!["0.0.0.0/0"], "::1", false),
            ("all of IPv6", vec!["::/0"], "ffff::1", true),
            ("all of IPv6 is not IPv4", vec!["::/0"], "1.2.3.4", false),
            ("a network in IPv6", vec!["2001:db8::/32"], "2001:db8:ffff::1", true),
            ("another one", vec!["2001:db8::/32"], "2001:db9::1", false),
            ("a client in the IPv6 form", vec!["1.2.3.4"], "::ffff:1.2.3.4", true),
            ("an entry in the IPv6 form", vec!["::ffff:1.2.3.4"], "1.2.3.4", true),
            ("a network in the IPv6 form", vec!["::ffff:10.0.0.0/104"], "10.20.30.40", true),
            ("all of IPv4 in the IPv6 form", vec!["::ffff:0:0/96"], "9.9.9.9", true),
            ("a hole between two", vec!["10.0.0.0/25", "10.0.1.0/25"], "10.0.0.128", false),
            ("an inner one does not end an outer one", vec!["10.0.0.0/8", "10.1.0.0/16"], "10.200.0.1", true),
        ] {
            assert_eq!(of(&texts).contains(address.parse().unwrap()), expected, "{desc}");
        }
    }

    #[test]
    fn neighbours_are_one_range() {
        assert_eq!(of(&["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7"]), of(&["10.0.0.0/23"]));
        assert_eq!(of(&["255.0.0.0/8", "255.255.255.255", "0.0.0.0/1", "128.0.0.0/1"]), of(&["0.0.0.0/0"]));
        assert_eq!(of(&["::/1", "8000::/1"]), of(&["::/0"]));
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.01",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/+8",
            "1.2.3.4/",
            "1.2.3.4/8/8",
            "/8",
            ":/8",
            "1::2::3",
            "::1/129",
            "fe80::1%eth0",
            "fe80::1%1/64",
            " 1.2.3.4",
            "1.2.3.4 ",
            "1.2.3.4\n",
            "[::1]",
            "1.2.3.4:80",
            "localhost",
            "１.2.3.4",
        ] {
            assert_eq!(Networks::parse(&["10.0.0.1".to_owned(), text.to_owned()]), Err(text), "{text:?}");
        }
    }

    proptest! {
        /// The search finds what asking each network finds.
        #[test]
        fn the_search_is_exact(
            nets in proptest::collection::vec((any::<u8>(), any::<u8>(), 0..=32_u8), 1..60),
            v6 in proptest::collection::vec((any::<u16>(), 0..=128_u8), 1..20),
            probes in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u16>()), 1..60),
        ) {
            let mut texts: Vec<String> = nets.iter().map(|(a, b, length)| format!("10.{}.{}.0/{length}", a % 4, b % 4)).collect();
            texts.extend(v6.iter().map(|(a, length)| format!("{:x}::{:x}/{length}", a % 8, a % 5)));
            let each: Vec<IpNet> = texts.iter().map(|text| network(text).unwrap()).collect();
            let networks = Networks::parse(&texts).unwrap();
            for (a, b, c) in probes {
                for address in [
                    IpAddr::from(Ipv4Addr::new(10, a % 5, b % 5, c as u8)),
                    IpAddr::from(Ipv4Addr::new(a, b, 0, 0)),
                    IpAddr::from(Ipv6Addr::new(c % 9, 0, 0, 0, 0, 0, 0, u16::from(a) % 6)),
                ] {
                    let expected = each.iter().any(|net| net.contains(&address.to_canonical()));
                    prop_assert_eq!(networks.contains(address), expected, "{}", address);
                }
            }
        }
    }
}
