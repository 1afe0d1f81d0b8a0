//! `decide()`: the one decision function of kernel, compiled-image evaluator and tests.
//!
//! Order (DESIGN 4): `deny` → a lease that covers the action → `require-grant` → `hold` → `alert` → `allow` →
//! default. It reads tables through [`Tables`], knows no clock and has no loop of its own, because the kernel
//! drives it from a bounded loop: `Judge::consider` once per entry, `Judge::end` between the ends of an attempt
//! that has two, then `Judge::finish`.

use crate::{
    abi::{
        code::{decode_effect, effect, op, protocol, reason, verdict},
        image::{Entry, LeaseRow, entry_flag},
    },
    args::met,
    deadline::is_over,
};

/// One attempt as far as rules look at it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Operations that this attempt comprises at the end that is judged, see `code::op`
    pub ops: u32,
    /// Destination port, 0 where there is none
    pub port: u16,
    /// Protocol of an internet socket, 0 where there is none, see `code::protocol`
    pub protocol: u16,
    /// Subject sets of the subject
    pub subjects: u64,
}

/// Both clocks, read once per attempt.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// `CLOCK_BOOTTIME`
    pub boot_ns: u64,
    /// `CLOCK_TAI`
    pub tai_ns: u64,
}

/// Where a lease is looked up.
pub trait Tables {
    /// Leases of the subject on a permission.
    fn leases(&self, permission: u64) -> Option<&LeaseRow>;
}

/// A matched entry, as much of it as the decision keeps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Stable key of the rule
    pub rule: u64,
    /// Stable key of the permission
    pub permission: u64,
    /// See `code::effect`; meaningful only if `order` is not `u32::MAX`
    pub effect: u32,
    /// Document order; `u32::MAX` for none
    pub order: u32,
    /// Hold time-out
    pub timeout_ms: u32,
    /// Flags of the entry
    pub flags: u32,
}

const NOTHING: Matched = Matched {
    rule: 0,
    permission: 0,
    effect: 0,
    order: u32::MAX,
    timeout_ms: 0,
    flags: 0,
};

/// The outcome.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// See `code::verdict`; `HELD` asks the caller to hold or, where it cannot, to deny
    pub verdict: u32,
    /// See `code::reason`
    pub reason: u32,
    /// The entry that decided
    pub by: Matched,
    /// Grant that covered it
    pub grant: [u64; 2],
    /// 1 if this decision is recorded
    pub recorded: u32,
}

/// Collects entries one by one; all fields are scalars so that the verifier can follow them.
///
/// An attempt has one or two *ends* (a rename has an old and a new place). What an end comprises is restricted as
/// far as rules there name it, and covered as far as leases there cover it: each end by itself, each operation by
/// itself.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    deny: Matched,
    grant_rule: Matched,
    hold: Matched,
    alert: Matched,
    allow: Matched,
    would: Matched,
    covered_rule: Matched,
    end: End,
    permission: u64,
    grant: [u64; 2],
}

/// What was met at the current end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct End {
    grant_rule: Matched,
    hold: Matched,
    would: Matched,
    permission: u64,
    grant: [u64; 2],
    /// Operations of the attempt that a require-grant or hold entry names
    restricted: u32,
    /// The same in monitor mode
    would_restrict: u32,
    /// Operations of the attempt that a live lease covers
    covered: u32,
    pad: u32,
}

const NEW_END: End = End {
    grant_rule: NOTHING,
    hold: NOTHING,
    would: NOTHING,
    permission: 0,
    grant: [0; 2],
    restricted: 0,
    would_restrict: 0,
    covered: 0,
    pad: 0,
};

impl Default for Judge {
    fn default() -> Self {
        Self::new()
    }
}

impl Judge {
    /// Starts with nothing matched.
    #[inline(always)]
    pub const fn new() -> Self {
        Self {
            deny: NOTHING,
            grant_rule: NOTHING,
            hold: NOTHING,
            alert: NOTHING,
            allow: NOTHING,
            would: NOTHING,
            covered_rule: NOTHING,
            end: NEW_END,
            permission: 0,
            grant: [0; 2],
        }
    }

    /// Whether an entry that the object or the address meets concerns the attempt, its arguments aside.
    #[inline(always)]
    pub fn concerns(attempt: &Attempt, entry: &Entry) -> bool {
        entry.ops & attempt.ops != 0
            && entry.subjects & attempt.subjects != 0
            && (attempt.protocol == protocol::UNKNOWN
                || attempt.port >= entry.port_first && attempt.port <= entry.port_last)
    }

    /// Whether the socket's protocol is the entry's, and its port known if the entry asks for one.
    #[inline(always)]
    fn protocol(attempt: &Attempt, entry: &Entry) -> u32 {
        if attempt.protocol == protocol::UNKNOWN {
            let asks = entry.protocol != protocol::ANY
                || entry.port_first != 0
                || entry.port_last != u16::MAX;
            return if asks { met::MAYBE } else { met::YES };
        }
        if entry.protocol == protocol::ANY || entry.protocol == u32::from(attempt.protocol) {
            met::YES
        } else {
            met::NO
        }
    }

    /// Takes in one entry that the object or the address meets. `met` says whether it counts now and the arguments meet its
    /// condition (see [`met`]): an entry of which that only may be restricts and permits nothing.
    #[inline(always)]
    pub fn consider<T: Tables>(
        &mut self,
        tables: &T,
        attempt: &Attempt,
        now: Now,
        entry: &Entry,
        met: u32,
    ) {
        if !Self::concerns(attempt, entry) || met == met::NO {
            return;
        }
        let protocol = Self::protocol(attempt, entry);
        if protocol == met::NO {
            return;
        }
        let ops = entry.ops & attempt.ops;
        let surely = met == met::YES && protocol == met::YES;
        if surely && entry.permission != 0 && self.end.covered & ops != ops {
            self.cover(tables, now, entry.permission, ops);
        }
        if surely || decode_effect(entry.effect) != effect::ALLOW {
            self.rank(entry, ops, surely);
        }
    }

    #[inline(always)]
    fn cover<T: Tables>(&mut self, tables: &T, now: Now, permission: u64, ops: u32) {
        let Some(row) = tables.leases(permission) else {
            return;
        };
        let end = &mut self.end;
        for lease in &row.leases {
            if end.covered & ops != ops
                && !is_over(lease.boot_deadline_ns, now.boot_ns)
                && !is_over(lease.tai_deadline_ns, now.tai_ns)
            {
                // The first one is named.
                if end.covered == 0 {
                    end.grant = lease.grant;
                    end.permission = permission;
                }
                end.covered |= ops;
            }
        }
    }

    #[inline(always)]
    fn rank(&mut self, entry: &Entry, ops: u32, surely: bool) {
        let unsure = if surely { 0 } else { entry_flag::UNSURE };
        let effect = decode_effect(entry.effect);
        let matched = Matched {
            rule: entry.rule,
            permission: entry.permission,
            effect,
            order: entry.order,
            timeout_ms: entry.timeout_ms,
            flags: entry.flags | unsure,
        };
        let restricts = matches!(effect, effect::DENY | effect::REQUIRE_GRANT | effect::HOLD);
        if restricts && entry.flags & entry_flag::MONITOR != 0 {
            self.end.would_restrict |= ops;
            keep_stricter(&mut self.end.would, &matched);
            return;
        }
        match effect {
            effect::DENY => keep_first(&mut self.deny, &matched),
            effect::REQUIRE_GRANT => {
                self.end.restricted |= ops;
                keep_first(&mut self.end.grant_rule, &matched);
            }
            effect::HOLD => {
                self.end.restricted |= ops;
                keep_first(&mut self.end.hold, &matched);
            }
            effect::ALERT => keep_first(&mut self.alert, &matched),
            effect::ALLOW => keep_first(&mut self.allow, &matched),
            _ => {}
        }
    }

    /// Everything at one end was considered; what follows is at the next one.
    #[inline(always)]
    pub fn end(&mut self) {
        // By reference: copies of it do not fit on the kernel's 512-byte stack.
        let end = &self.end;
        // Whoever may make a file may also write it in the same call.
        let implied = if end.covered & op::CREATE == 0 {
            0
        } else {
            op::WRITE
        };
        let open = !(end.covered | implied);
        if end.restricted & open != 0 {
            keep_first(&mut self.grant_rule, &end.grant_rule);
            keep_first(&mut self.hold, &end.hold);
        } else if end.restricted != 0 && self.covered_rule.order == u32::MAX {
            self.grant = end.grant;
            self.permission = end.permission;
            self.covered_rule = if end.grant_rule.order == u32::MAX {
                end.hold
            } else {
                end.grant_rule
            };
        }
        if end.would.order != u32::MAX
            && (end.would.effect == effect::DENY || end.would_restrict & open != 0)
        {
            keep_stricter(&mut self.would, &end.would);
        }
        self.new_end();
    }

    #[inline(always)]
    fn new_end(&mut self) {
        let end = &mut self.end;
        end.grant_rule.order = u32::MAX;
        end.hold.order = u32::MAX;
        end.would.order = u32::MAX;
        end.permission = 0;
        end.grant = [0; 2];
        end.restricted = 0;
        end.would_restrict = 0;
        end.covered = 0;
    }

    /// Starts again, in place: a whole [`Judge`] does not fit on the kernel's stack beside anything else.
    #[inline(always)]
    pub fn restart(&mut self) {
        self.deny.order = u32::MAX;
        self.grant_rule.order = u32::MAX;
        self.hold.order = u32::MAX;
        self.alert.order = u32::MAX;
        clear(&mut self.allow);
        self.would.order = u32::MAX;
        self.covered_rule.order = u32::MAX;
        self.permission = 0;
        self.grant = [0; 2];
        self.new_end();
    }

    /// Gives the decision over everything that was considered.
    #[inline(always)]
    pub fn finish(&mut self) -> Decision {
        self.end();
        if self.deny.order != u32::MAX {
            return decision(verdict::DENIED, reason::RULE_DENY, self.deny);
        }
        if self.grant_rule.order != u32::MAX {
            return decision(verdict::DENIED, reason::NO_GRANT, self.grant_rule);
        }
        if self.hold.order != u32::MAX {
            return decision(verdict::HELD, reason::HOLD_PENDING, self.hold);
        }
        if self.covered_rule.order != u32::MAX {
            let by = Matched {
                permission: self.permission,
                ..self.covered_rule
            };
            return Decision {
                grant: self.grant,
                ..decision(verdict::ALLOWED, reason::GRANT, by)
            };
        }
        self.unrestricted()
    }

    #[inline(always)]
    fn unrestricted(&self) -> Decision {
        if self.would.order != u32::MAX {
            return decision(verdict::ALLOWED, reason::WOULD_HAVE, self.would);
        }
        if self.alert.order != u32::MAX {
            return decision(verdict::ALLOWED, reason::RULE_ALERT, self.alert);
        }
        let recorded = u32::from(self.allow.flags & entry_flag::RECORD != 0);
        let reason = if self.allow.order == u32::MAX {
            reason::DEFAULT
        } else {
            reason::RULE_ALLOW
        };
        Decision {
            recorded,
            ..decision(verdict::ALLOWED, reason, self.allow)
        }
    }
}

#[inline(always)]
fn decision(verdict: u32, reason: u32, by: Matched) -> Decision {
    Decision {
        verdict,
        reason,
        by,
        grant: [0; 2],
        recorded: 1,
    }
}

/// The decision for an attempt that meets no entry at all: the default, recorded nowhere.
#[inline(always)]
pub fn nothing_met() -> Decision {
    Decision {
        recorded: 0,
        ..decision(verdict::ALLOWED, reason::DEFAULT, NOTHING)
    }
}

/// The decision for an attempt that could not be judged: restricted, by nobody's rule.
#[inline(always)]
pub fn unjudged(reason: u32) -> Decision {
    decision(
        verdict::DENIED,
        reason,
        Matched {
            order: 0,
            ..NOTHING
        },
    )
}

#[inline(always)]
fn keep_first(kept: &mut Matched, candidate: &Matched) {
    if candidate.order < kept.order {
        *kept = *candidate;
    }
}

/// The default decision names no rule, so nothing of an earlier one may be left in it.
#[inline(always)]
fn clear(matched: &mut Matched) {
    matched.rule = 0;
    matched.permission = 0;
    matched.effect = 0;
    matched.order = u32::MAX;
    matched.timeout_ms = 0;
    matched.flags = 0;
}

/// Among would-have entries the one that would have decided: deny, then require-grant, then hold.
#[inline(always)]
fn keep_stricter(kept: &mut Matched, candidate: &Matched) {
    let (old, new) = (strictness(kept), strictness(candidate));
    if new > old || (new == old && candidate.order < kept.order) {
        *kept = *candidate;
    }
}

#[inline(always)]
fn strictness(matched: &Matched) -> u32 {
    match matched.effect {
        _ if matched.order == u32::MAX => 0,
        effect::DENY => 3,
        effect::REQUIRE_GRANT => 2,
        _ => 1,
    }
}

/// The whole decision over a list of entries, for callers that can iterate freely and know neither arguments
/// nor schedules.
pub fn decide<'e, T: Tables>(
    tables: &T,
    attempt: &Attempt,
    now: Now,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Decision {
    let mut judge = Judge::new();
    for entry in entries {
        let met = if entry.args_len == 0 && entry.schedule == 0 {
            met::YES
        } else {
            met::MAYBE
        };
        judge.consider(tables, attempt, now, entry, met);
    }
    judge.finish()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod exhaustive;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::image::Lease;

    struct OneLease(LeaseRow);

    impl Tables for OneLease {
        fn leases(&self, _: u64) -> Option<&LeaseRow> {
            Some(&self.0)
        }
    }

    fn entry(ops: u32, effect: u32) -> Entry {
        Entry {
            rule: 1,
            permission: 2,
            subjects: 1,
            effect,
            ops,
            order: 0,
            timeout_ms: 0,
            flags: 0,
            port_first: 0,
            port_last: u16::MAX,
            args_first: 0,
            args_len: 0,
            protocol: 0,
            schedule: 0,
        }
    }

    /// Whether a live lease on `permitted` opens an attempt while a rule restricts `restricted`.
    fn is_covered(attempted: u32, restricted: u32, permitted: u32) -> bool {
        let mut row = LeaseRow::default();
        row.leases[0] = Lease {
            boot_deadline_ns: 2,
            tai_deadline_ns: 2,
            grant: [1, 1],
        };
        let attempt = Attempt {
            ops: attempted,
            port: 0,
            protocol: 0,
            subjects: 1,
        };
        let now = Now {
            boot_ns: 1,
            tai_ns: 1,
        };
        let rule = Entry {
            permission: 0,
            ..entry(restricted, effect::REQUIRE_GRANT)
        };
        let entries = [rule, entry(permitted, effect::PERMISSION)];
        decide(&OneLease(row), &attempt, now, &entries).verdict == verdict::ALLOWED
    }

    #[test]
    fn what_meets_nothing_is_decided_as_by_a_judge_who_saw_nothing() {
        let mut judge = Judge::new();
        assert_eq!(judge.finish(), nothing_met());
        judge.restart();
        assert_eq!(judge.finish(), nothing_met());
    }

    #[test]
    fn each_restricted_operation_must_be_covered_itself() {
        let creation = op::CREATE | op::WRITE;
        for (attempted, restricted, permitted, covered) in [
            (creation, op::CREATE | op::WRITE, op::WRITE, false),
            (creation, op::CREATE, op::WRITE, false),
            (creation, op::WRITE, op::WRITE, true),
            (
                creation,
                op::CREATE | op::WRITE,
                op::CREATE | op::WRITE,
                true,
            ),
            (op::WRITE, op::WRITE, op::WRITE, true),
            (
                op::RENAME | op::DELETE,
                op::RENAME | op::DELETE,
                op::RENAME,
                false,
            ),
            (op::RENAME | op::DELETE, op::RENAME, op::RENAME, true),
        ] {
            assert_eq!(
                is_covered(attempted, restricted, permitted),
                covered,
                "{attempted:#x} restricted by {restricted:#x} under {permitted:#x}"
            );
        }
    }

    #[test]
    fn whoever_may_make_a_file_may_write_it_in_the_same_call_and_no_other() {
        let creation = op::CREATE | op::WRITE;
        assert!(is_covered(creation, op::WRITE, op::CREATE));
        assert!(is_covered(creation, creation, op::CREATE));
        assert!(!is_covered(op::WRITE, op::WRITE, op::CREATE));
    }
}
