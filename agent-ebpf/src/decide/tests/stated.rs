//! The order of decision said a second time, and every entry that it tells apart. Shares no code with what it is held against.

use std::vec::Vec;

use super::{
    super::{Entry, effect, entry_flag, met, reason, verdict},
    DEAD, LIVE,
};
use crate::abi::code::op;

/// One entry as this statement sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) entry: Entry,
    pub(super) met: u32,
    /// 0 or 1
    pub(super) end: usize,
}

pub(super) const FIRST: u32 = op::RENAME;
pub(super) const SECOND: u32 = op::DELETE;

pub(super) fn entry(effect: u32, flags: u16, permission: u64, ops: u32) -> Entry {
    Entry {
        rule: 0,
        permission,
        subjects: 1,
        effect,
        ops,
        order: 0,
        timeout_ms: 0,
        flags,
        rate: 0,
        port_first: 0,
        port_last: u16::MAX,
        args_first: 0,
        args_len: 0,
        protocol: 0,
        schedule: 0,
    }
}

/// Every entry that can be told from another one, for these two operations.
pub(super) fn kinds(one: u32, other: u32) -> Vec<Seen> {
    let effects = effect::ALL.into_iter().chain([0, effect::ALLOW ^ 1]);
    let mut kinds = Vec::new();
    for effect in effects {
        for flags in 0..4 {
            for met in [met::YES, met::MAYBE] {
                for permission in [0, LIVE, DEAD] {
                    for ops in [one, other, one | other] {
                        kinds.push(Seen {
                            entry: entry(effect, flags, permission, ops),
                            met,
                            end: 0,
                        });
                    }
                }
            }
        }
    }
    kinds
}

/// Those of [`kinds`] that differ in what a judge makes of them: a flag counts for some effects only, whatever is no effect is
/// a denial, and an unsure entry permits nothing, whichever permission it names.
pub(super) fn classes(one: u32, other: u32) -> Vec<Seen> {
    let mut classes = kinds(one, other);
    classes.retain(|seen| {
        let effect = seen.entry.effect;
        let listed = effect::ALL.contains(&effect);
        let flags = match effect {
            effect::ALLOW => entry_flag::RECORD | entry_flag::MONITOR,
            effect::PERMISSION => 0,
            _ => entry_flag::MONITOR,
        };
        let unsure_once = seen.met == met::YES
            || seen.entry.permission == 0 && !matches!(effect, effect::ALLOW | effect::PERMISSION);
        // What no lease covers is told from what none could cover by the permission that is named only.
        listed && seen.entry.flags & !flags == 0 && unsure_once && seen.entry.permission != DEAD
    });
    classes
}

/// Whether a default denies, or holds.
pub(super) const DEFAULTS: [u32; 2] = [effect::DEFAULT_DENY, effect::DEFAULT_HOLD];

/// Rates that have the last word, as bits: enforced ones, and those of monitor mode.
pub(super) fn rates(all: &[Seen], ends: &[u32]) -> [u64; 2] {
    [false, true].map(|by_monitor| {
        let of = |seen: &&Seen| {
            let monitor = seen.entry.flags & entry_flag::MONITOR != 0;
            seen.entry.effect == effect::THROTTLE && monitor == by_monitor
        };
        let at = |end: usize, ops: u32| {
            let here = |seen: &&Seen| seen.end == end && seen.entry.ops & ops != 0;
            let live = |seen: &&Seen| seen.met == met::YES && seen.entry.permission == LIVE;
            let bits = all.iter().filter(here).filter(live);
            let covered = bits.fold(0, |bits, seen| bits | seen.entry.ops & ops);
            let covered = covered
                | if covered & op::CREATE != 0 {
                    op::WRITE
                } else {
                    0
                };
            let met = all.iter().filter(here).filter(of);
            let (named, rates) = met.fold((0, 0), |(ops_of, rates), seen| {
                (
                    ops_of | seen.entry.ops & ops,
                    rates | 1u64 << seen.entry.rate,
                )
            });
            if named & !covered == 0 { 0 } else { rates }
        };
        let each = ends.iter().enumerate();
        each.fold(0, |all, (end, ops)| all | at(end, *ops))
    })
}

/// What everything says of losses that restricts the attempt.
pub(super) fn lenient(all: &[Seen], ends: &[u32]) -> u16 {
    let of = |seen: &&Seen| {
        let permits = [effect::ALERT, effect::ALLOW, effect::PERMISSION];
        let named = ends
            .get(seen.end)
            .is_some_and(|ops| seen.entry.ops & ops != 0);
        named
            && seen.entry.flags & entry_flag::MONITOR == 0
            && !permits.contains(&seen.entry.effect)
    };
    let restricting = all.iter().filter(of);
    restricting.fold(entry_flag::ON_LOSS, |lenient, seen| {
        lenient & seen.entry.flags
    })
}

/// The order of decision, once more: `deny`, a lease, `require-grant`, a default that denies, `hold`, a default that holds,
/// what would have been, `alert`, `allow`, nothing.
#[expect(
    clippy::too_many_lines,
    reason = "one order, said from its beginning to its end"
)]
pub(super) fn stated(all: &[Seen], ends: &[u32]) -> (u32, u32, Option<u64>, u32) {
    let effect_of = |seen: &Seen| {
        let raw = seen.entry.effect;
        let listed = effect::ALL.contains(&raw);
        if listed { raw } else { effect::DENY }
    };
    let restricts = |seen: &Seen| {
        ![effect::ALERT, effect::ALLOW, effect::PERMISSION].contains(&effect_of(seen))
    };
    let watched = |seen: &Seen| seen.entry.flags & entry_flag::MONITOR != 0;
    let monitor = |seen: &Seen| restricts(seen) && watched(seen);
    let sure = |seen: &Seen| seen.met == met::YES;
    // What may not count permits nothing.
    let counts = |seen: &Seen| sure(seen) || effect_of(seen) != effect::ALLOW;
    let of = |end: usize| ends.get(end).copied().unwrap_or(0);
    let here = |seen: &Seen, end: usize| seen.end == end && seen.entry.ops & of(end) != 0;
    let ops = |end: usize, which: &dyn Fn(&Seen) -> bool| {
        let met = all.iter().filter(|seen| here(seen, end) && which(seen));
        met.fold(0, |bits, seen| bits | seen.entry.ops & of(end))
    };
    let covered = |end: usize| {
        let bits = ops(end, &|seen| sure(seen) && seen.entry.permission == LIVE);
        // Whoever may make a file may write it in the same call.
        bits | if bits & op::CREATE != 0 { op::WRITE } else { 0 }
    };
    let of_grants = |seen: &Seen| [effect::REQUIRE_GRANT, effect::HOLD].contains(&effect_of(seen));
    let restricted = |end: usize, by_monitor: bool| {
        ops(end, &|seen| of_grants(seen) && monitor(seen) == by_monitor)
    };
    let open = |end: usize, by_monitor: bool| restricted(end, by_monitor) & !covered(end) != 0;
    let throttled = |end: usize, by_monitor: bool| {
        ops(end, &|seen| {
            effect_of(seen) == effect::THROTTLE && watched(seen) == by_monitor
        })
    };
    let said = |end: usize, by_monitor: bool| {
        let permits = |seen: &Seen| {
            let goes_on = [effect::ALERT, effect::ALLOW].contains(&effect_of(seen));
            goes_on && sure(seen) && watched(seen) == by_monitor
        };
        restricted(end, by_monitor) | throttled(end, by_monitor) | ops(end, &permits)
    };
    // What a default is about and nothing else.
    let rest = |end: usize, by_monitor: bool| {
        let of_defaults =
            |seen: &Seen| DEFAULTS.contains(&effect_of(seen)) && watched(seen) == by_monitor;
        let more = if by_monitor { said(end, true) } else { 0 };
        ops(end, &of_defaults) & !said(end, false) & !more
    };
    let left = |end: usize, by_monitor: bool| rest(end, by_monitor) & !covered(end) != 0;
    let first = |which: &dyn Fn(&Seen) -> bool| {
        let met = all
            .iter()
            .filter(|seen| here(seen, seen.end) && which(seen));
        // Of two with one place in the order, which no image has, the one that is looked at first.
        met.min_by_key(|seen| seen.entry.order)
            .map(|seen| seen.entry.rule)
    };
    let enforced = |wanted: u32| {
        move |seen: &Seen| effect_of(seen) == wanted && !monitor(seen) && counts(seen)
    };
    let would = |wanted: u32| move |seen: &Seen| effect_of(seen) == wanted && monitor(seen);

    if let Some(rule) = first(&enforced(effect::DENY)) {
        return (verdict::DENIED, reason::RULE_DENY, Some(rule), 1);
    }
    for (effect, verdict, reason) in [
        (effect::REQUIRE_GRANT, verdict::DENIED, reason::NO_GRANT),
        (effect::DEFAULT_DENY, verdict::DENIED, reason::NOT_ALLOWED),
        (effect::HOLD, verdict::HELD, reason::HOLD_PENDING),
        (effect::DEFAULT_HOLD, verdict::HELD, reason::HOLD_PENDING),
    ] {
        let counts_at = |end: usize| {
            if DEFAULTS.contains(&effect) {
                left(end, false)
            } else {
                open(end, false)
            }
        };
        if let Some(rule) = first(&|seen| enforced(effect)(seen) && counts_at(seen.end)) {
            return (verdict, reason, Some(rule), 1);
        }
    }
    for end in 0..ends.len() {
        let needed = match restricted(end, false) | rest(end, false) {
            0 => throttled(end, false),
            needed => needed,
        };
        if needed != 0 && needed & !covered(end) == 0 {
            let at = |effect: u32| first(&|seen| seen.end == end && enforced(effect)(seen));
            let by = at(effect::REQUIRE_GRANT)
                .or_else(|| at(effect::HOLD))
                .or_else(|| at(effect::THROTTLE))
                .or_else(|| at(effect::DEFAULT_DENY))
                .or_else(|| at(effect::DEFAULT_HOLD));
            return (verdict::ALLOWED, reason::GRANT, by, 1);
        }
    }
    let open_would = |effect: u32| first(&|seen| would(effect)(seen) && open(seen.end, true));
    let left_would = |effect: u32| first(&|seen| would(effect)(seen) && left(seen.end, true));
    let by = first(&would(effect::DENY))
        .or_else(|| open_would(effect::REQUIRE_GRANT))
        .or_else(|| left_would(effect::DEFAULT_DENY))
        .or_else(|| open_would(effect::HOLD))
        .or_else(|| left_would(effect::DEFAULT_HOLD));
    if by.is_some() {
        return (verdict::ALLOWED, reason::WOULD_HAVE, by, 1);
    }
    if let Some(rule) = first(&enforced(effect::ALERT)) {
        return (verdict::ALLOWED, reason::RULE_ALERT, Some(rule), 1);
    }
    match first(&enforced(effect::ALLOW)) {
        Some(rule) => {
            let by = all.iter().find(|seen| seen.entry.rule == rule);
            let recorded = by.is_some_and(|seen| seen.entry.flags & entry_flag::RECORD != 0);
            (
                verdict::ALLOWED,
                reason::RULE_ALLOW,
                Some(rule),
                u32::from(recorded),
            )
        }
        None => (verdict::ALLOWED, reason::DEFAULT, None, 0),
    }
}
