//! The compiled image judged without a kernel: drives the kernel's own automaton and `decide()` over a tree of
//! names and labels in memory.
//!
//! Stands in for the maps only. The walk's rules and the decision are the code that the kernel runs.

mod tokens;

use std::collections::BTreeMap;

use stayhand_agent_ebpf::{
    abi::{
        code::reason,
        image::{ENTRIES_PER_ATTEMPT_MAX, Entry, LeaseRow, Node, Range},
        net::{NET_INTERNET, NetBits},
        schedule::Schedule,
        task::{DEPTH_MAX, RANGES_MAX},
    },
    args::met,
    decide::{Attempt, Counted, Decision, Judge, NO_RATE, Now, Tables, nothing_met, unjudged},
    path::{Levels, States, bit_of, step},
    schedule::{both, counts},
};

use super::{Image, Step};
use crate::policy::args::Call;

/// What the kernel has beside the image.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Leases of one subject by permission key
    pub leases: BTreeMap<u64, LeaseRow>,
    /// See `abi::image::Entry::schedule`
    pub schedules: Vec<Schedule>,
    /// Rates that are used up, as bits by their rows
    pub used_up: u64,
}

impl Tables for Beside {
    fn leases(&self, permission: u64) -> Option<&LeaseRow> {
        self.leases.get(&permission)
    }
}

impl Beside {
    /// Whether an entry counts at this time.
    fn scheduled(&self, entry: &Entry, now: Now) -> u32 {
        if entry.schedule == 0 {
            return met::YES;
        }
        let schedule = self.schedules.get(entry.schedule as usize);
        schedule.map_or(met::MAYBE, |schedule| counts(schedule, now))
    }

    /// With what rates say of it.
    fn settled(&self, image: &Image, mut decision: Decision) -> Decision {
        let (rates, would) = (decision.rates, decision.would_rates);
        if rates | would == 0 {
            return decision;
        }
        let first = |bits: u64| match bits {
            0 => NO_RATE,
            bits => bits.trailing_zeros(),
        };
        let counted = Counted {
            used_up: first(rates & self.used_up),
            first: first(rates),
            would: first(would & !rates & self.used_up),
        };
        let row = |index: u32| {
            let rate = image.rates.get(index as usize);
            rate.copied().unwrap_or_default()
        };
        decision.settle(counted, row);
        decision
    }
}

/// One level of the way down to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// Component; empty for the root
    pub name: Vec<u8>,
    /// Node that labels the object there, 0 for none
    pub label: u32,
}

/// Judges an attempt on the object at the end of each of `ends`' levels, which start at the root: one end, or the
/// two of a rename or a link. `call` is what is known of an execution.
pub fn judge_paths(
    image: &Image,
    ends: &[(Vec<Level>, Attempt)],
    call: Call<'_>,
    now: Now,
    beside: &Beside,
) -> Decision {
    let mut judge = Judge::new();
    for (levels, attempt) in ends {
        let considered = walk(image, levels).and_then(|ranges| {
            consider(&mut judge, image, &ranges, attempt, call, now, beside).then_some(())
        });
        if considered.is_none() {
            return unjudged(reason::WALK_FAILED);
        }
        judge.end();
    }
    beside.settled(image, judge.finish())
}

/// The ranges that an object meets; nothing if it cannot be judged.
fn walk(image: &Image, levels: &[Level]) -> Option<Vec<Range>> {
    if levels.len() > DEPTH_MAX {
        return None;
    }
    let mut walk = Walk {
        image,
        levels,
        ranges: Vec::new(),
    };
    let mut states = States::default();
    // The kernel counts levels from the object up, and goes down.
    for level in (0..u32::try_from(levels.len()).unwrap_or(u32::MAX)).rev() {
        states = step(&mut walk, states, level)?;
    }
    Some(walk.ranges)
}

/// Judges an attempt on an address (mapped IPv6, network order, or that of a virtual socket; see
/// `abi::net::net_space`).
pub fn judge_address(
    image: &Image,
    (kind, addr): (u32, [u8; 16]),
    attempt: &Attempt,
    now: Now,
    beside: &Beside,
) -> Decision {
    let address = u128::from_be_bytes(addr);
    let mut may = NetBits::default();
    for net in image.nets.iter().filter(|net| net.kind == NET_INTERNET) {
        may.set(u128::from_be_bytes(net.addr), net.bits);
    }
    if kind == NET_INTERNET && !may.may_have(address) {
        return nothing_met();
    }
    let covers = |bits: u32, network: [u8; 16]| {
        let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
        address & mask == u128::from_be_bytes(network)
    };
    // Longest prefix only, as the kernel's trie does.
    let longest = image
        .nets
        .iter()
        .filter(|net| net.kind == kind && covers(net.bits, net.addr))
        .max_by_key(|net| net.bits);
    judge_range(image, longest.map(|net| net.range), attempt, now, beside)
}

/// Judges an attempt on a unix socket by its name.
pub fn judge_name(
    image: &Image,
    name: &[u8],
    attempt: &Attempt,
    now: Now,
    beside: &Beside,
) -> Decision {
    let longest = image
        .names
        .iter()
        .filter(|(pattern, _)| pattern.matches(name))
        .max_by_key(|(pattern, _)| (pattern.whole, pattern.bytes.len()));
    judge_range(
        image,
        longest.map(|(_, range)| *range),
        attempt,
        now,
        beside,
    )
}

fn judge_range(
    image: &Image,
    range: Option<Range>,
    attempt: &Attempt,
    now: Now,
    beside: &Beside,
) -> Decision {
    let mut judge = Judge::new();
    let (ranges, none): (Vec<Range>, _) = (range.into_iter().collect(), Call::UNKNOWN);
    if consider(&mut judge, image, &ranges, attempt, none, now, beside) {
        beside.settled(image, judge.finish())
    } else {
        unjudged(reason::WALK_FAILED)
    }
}

/// Judges an attempt that has no object.
pub fn judge_system(image: &Image, attempt: &Attempt, now: Now, beside: &Beside) -> Decision {
    judge_range(image, Some(image.system), attempt, now, beside)
}

/// False if there are more entries than the kernel looks at.
fn consider(
    judge: &mut Judge,
    image: &Image,
    ranges: &[Range],
    attempt: &Attempt,
    call: Call<'_>,
    now: Now,
    beside: &Beside,
) -> bool {
    let call = tokens::Read::of(image, call);
    let entries = ranges.iter().flat_map(|range| image.entries(*range));
    for (count, entry) in entries.enumerate() {
        if count >= ENTRIES_PER_ATTEMPT_MAX as usize {
            return false;
        }
        let met = both(call.met(image, entry), beside.scheduled(entry, now));
        judge.consider(beside, attempt, now, entry, met);
    }
    true
}

struct Walk<'a> {
    image: &'a Image,
    levels: &'a [Level],
    ranges: Vec<Range>,
}

impl Walk<'_> {
    fn at(&self, level: u32) -> Option<&Level> {
        self.levels
            .len()
            .checked_sub(level as usize + 1)
            .and_then(|index| self.levels.get(index))
    }
}

/// Without a boot secret a component's edge is its own hash: the position of the edge that has it.
const NAME_UNKNOWN: u64 = u64::MAX;

impl Levels for Walk<'_> {
    fn label(&mut self, level: u32) -> u32 {
        self.at(level).map_or(0, |level| level.label)
    }

    fn name_bit(&mut self, level: u32) -> Option<u64> {
        Some(bit_of(&self.at(level)?.name))
    }

    fn name_hash(&mut self, level: u32) -> Option<u64> {
        let step = Step::Name(self.at(level)?.name.clone());
        let first = self.image.edges.iter().position(|edge| edge.step == step);
        Some(first.map_or(NAME_UNKNOWN, |index| index as u64))
    }

    fn edge(&mut self, node: u32, name_hash: u64) -> u32 {
        let named = usize::try_from(name_hash)
            .ok()
            .and_then(|index| self.image.edges.get(index));
        named.map_or(0, |edge| self.image.follow(node, &edge.step))
    }

    fn wild(&mut self, node: u32, level: u32) -> Option<u32> {
        Some(self.image.wild_from(node, &self.at(level)?.name))
    }

    fn node(&mut self, node: u32) -> Option<Node> {
        self.image.nodes.get(node as usize).copied()
    }

    fn matched(&mut self, range: Range) -> bool {
        self.ranges.push(range);
        self.ranges.len() <= RANGES_MAX
    }
}
