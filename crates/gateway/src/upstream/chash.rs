//! Consistent hashing on the ring of lua-resty-chash, so that a key goes to the node to which APISIX would send it.
//!
//! A node has 160 points for each unit of its weight: CRC-32s of `host NUL port` and the point before, the first of which is 0. A key
//! belongs to the first point that is not below its own CRC-32; a retry goes on along the ring.

use crc32fast::Hasher;
use model::{
    documents::{HashOn, Upstream},
    vars::{Lookup, Template, Value, VarName},
};

/// Points for a unit of weight.
const POINTS: u64 = 160;
/// Points at the most, 8 bytes each. Beyond it weights keep their proportions, but keys do not all go where APISIX sends them.
const MAX_POINTS: u64 = 1 << 20;

/// What is hashed.
#[derive(Debug)]
pub(super) enum HashKey {
    Variable(VarName),
    Combination(Template),
}

impl HashKey {
    pub(super) fn compile(written: &Upstream) -> Self {
        let key = written.key.as_deref().unwrap_or_default();
        match written.hash_on {
            HashOn::Vars => Self::Variable(VarName::parse(key)),
            HashOn::Header => Self::Variable(VarName::parse(&format!("http_{key}"))),
            HashOn::Cookie => Self::Variable(VarName::parse(&format!("cookie_{key}"))),
            HashOn::Consumer => Self::Variable(VarName::ConsumerName),
            HashOn::VarsCombinations => Self::Combination(Template::compile(key)),
        }
    }

    /// The hash of a request; of its client's address where it does not have the key.
    pub(super) fn hash(&self, request: &dyn Lookup) -> u32 {
        match self {
            Self::Variable(name) => hash_of(&request.var(name)),
            Self::Combination(template) => {
                let mut text = Vec::new();
                (template.render(request, &mut text) > 0).then(|| crc32fast::hash(&text))
            }
        }
        .or_else(|| hash_of(&request.var(&VarName::RemoteAddr)))
        .unwrap_or(0)
    }
}

fn hash_of(value: &Value<'_>) -> Option<u32> {
    match value {
        Value::Absent => None,
        Value::Str(text) => Some(crc32fast::hash(text)),
        other => {
            let mut text = Vec::new();
            other.write_to(&mut text);
            Some(crc32fast::hash(&text))
        }
    }
}

#[derive(Debug)]
pub(super) struct Ring {
    /// By hash.
    points: Box<[Point]>,
    /// Where the points of each range of hashes begin; points are spread evenly, so there are few in each.
    starts: Box<[u32]>,
    /// Bits of a hash within one range.
    shift: u32,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    hash: u32,
    member: u32,
}

impl Ring {
    /// Of members' addresses, `host:port`, and their weights.
    pub(super) fn new<'a>(members: impl Iterator<Item = (&'a str, u32)> + Clone) -> Self {
        let divisor = members.clone().fold(0, |a, (_, weight)| gcd(a, weight)).max(1);
        let wanted = members.clone().map(|(_, weight)| u64::from(weight / divisor) * POINTS).sum::<u64>();
        let mut points = Vec::with_capacity(wanted.min(MAX_POINTS) as usize);
        for (member, (address, weight)) in members.enumerate() {
            let own = u64::from(weight / divisor) * POINTS;
            let own = match wanted <= MAX_POINTS || own == 0 {
                true => own,
                false => (u128::from(own) * u128::from(MAX_POINTS) / u128::from(wanted)).max(1) as u64,
            };
            let mut base = Hasher::new();
            base.update(address.replace(':', "\0").as_bytes());
            let mut hash = 0u32;
            for _ in 0..own {
                let mut next = base.clone();
                next.update(&hash.to_le_bytes());
                hash = next.finalize();
                points.push(Point { hash, member: member as u32 });
            }
        }
        points.sort_by_key(|point| point.hash);
        let ranges = points.len().next_power_of_two().max(2);
        let shift = 32 - ranges.trailing_zeros();
        let mut starts = Vec::with_capacity(ranges);
        let mut at = 0;
        for range in 0..ranges as u64 {
            while points.get(at).is_some_and(|point| u64::from(point.hash) < range << shift) {
                at += 1;
            }
            starts.push(at as u32);
        }
        Self { points: points.into(), starts: starts.into(), shift }
    }

    /// The point of a hash, or else the next one along the ring, whose member will do.
    pub(super) fn find(&self, hash: u32, will_do: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let mut at = *self.starts.get((hash >> self.shift) as usize)? as usize;
        while self.points.get(at).is_some_and(|point| point.hash < hash) {
            at += 1;
        }
        self.from(at, will_do)
    }

    /// The next point behind `at` whose member will do.
    pub(super) fn next(&self, at: usize, will_do: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        self.from(at + 1, will_do)
    }

    fn from(&self, at: usize, will_do: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let (before, behind) = self.points.split_at(at.min(self.points.len()));
        let behind = (before.len()..).zip(behind);
        let around = behind.chain((0..).zip(before));
        around.map(|(at, point)| (at, point.member)).find(|(_, member)| will_do(*member))
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
