//! `decide()`: the one decision function of kernel, compiled-image evaluator and tests.
//!
//! Order (DESIGN 4): `deny` → a lease that covers the action → `require-grant` → `hold` → `alert` → `allow` →
//! default. It reads tables through [`Tables`], knows no clock and has no loop of its own, because the kernel
//! drives it from a bounded loop: `Judge::consider` once per entry, then `Judge::finish`.

use crate::abi::{
    code::{decode_effect, effect, op, reason, verdict},
    image::{Entry, LeaseRow, entry_flag},
};

/// One attempt as far as rules look at it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Operations that this attempt comprises, see `code::op`
    pub ops: u32,
    /// Destination port, 0 where there is none
    pub port: u16,
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
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    deny: Matched,
    grant_rule: Matched,
    hold: Matched,
    alert: Matched,
    allow: Matched,
    would: Matched,
    permission: u64,
    grant: [u64; 2],
    covered: u32,
}

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
            permission: 0,
            grant: [0; 2],
            covered: 0,
        }
    }

    /// Takes in one entry that the object or the address meets.
    #[inline(always)]
    pub fn consider<T: Tables>(&mut self, tables: &T, attempt: &Attempt, now: Now, entry: &Entry) {
        if entry.ops & attempt.ops == 0
            || entry.subjects & attempt.subjects == 0
            || attempt.port < entry.port_first
            || attempt.port > entry.port_last
        {
            return;
        }
        if entry.permission != 0 && self.covered == 0 && contains(entry.ops, attempt.ops) {
            self.cover(tables, now, entry.permission);
        }
        self.rank(entry);
    }

    #[inline(always)]
    fn cover<T: Tables>(&mut self, tables: &T, now: Now, permission: u64) {
        let Some(row) = tables.leases(permission) else {
            return;
        };
        for lease in &row.leases {
            if self.covered == 0
                && lease.boot_deadline_ns > now.boot_ns
                && lease.tai_deadline_ns > now.tai_ns
            {
                self.covered = 1;
                self.grant = lease.grant;
                self.permission = permission;
            }
        }
    }

    #[inline(always)]
    fn rank(&mut self, entry: &Entry) {
        let effect = decode_effect(entry.effect);
        let matched = Matched {
            rule: entry.rule,
            permission: entry.permission,
            effect,
            order: entry.order,
            timeout_ms: entry.timeout_ms,
            flags: entry.flags,
        };
        let restricts = matches!(effect, effect::DENY | effect::REQUIRE_GRANT | effect::HOLD);
        if restricts && entry.flags & entry_flag::MONITOR != 0 {
            keep_stricter(&mut self.would, matched);
            return;
        }
        match effect {
            effect::DENY => keep_first(&mut self.deny, matched),
            effect::REQUIRE_GRANT => keep_first(&mut self.grant_rule, matched),
            effect::HOLD => keep_first(&mut self.hold, matched),
            effect::ALERT => keep_first(&mut self.alert, matched),
            effect::ALLOW => keep_first(&mut self.allow, matched),
            _ => {}
        }
    }

    /// Gives the decision over everything that was considered.
    #[inline(always)]
    pub fn finish(&self) -> Decision {
        if self.deny.order != u32::MAX {
            return decision(verdict::DENIED, reason::RULE_DENY, self.deny);
        }
        let restricted = self.grant_rule.order != u32::MAX || self.hold.order != u32::MAX;
        if restricted && self.covered != 0 {
            let by = if self.grant_rule.order == u32::MAX {
                self.hold
            } else {
                self.grant_rule
            };
            let by = Matched {
                permission: self.permission,
                ..by
            };
            return Decision {
                grant: self.grant,
                ..decision(verdict::ALLOWED, reason::GRANT, by)
            };
        }
        if self.grant_rule.order != u32::MAX {
            return decision(verdict::DENIED, reason::NO_GRANT, self.grant_rule);
        }
        if self.hold.order != u32::MAX {
            return decision(verdict::HELD, reason::HOLD_PENDING, self.hold);
        }
        self.unrestricted()
    }

    #[inline(always)]
    fn unrestricted(&self) -> Decision {
        let would_pass = self.covered != 0 && self.would.effect != effect::DENY;
        if self.would.order != u32::MAX && !would_pass {
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

/// Whether a permission of `ops` contains the whole attempt. Restricting takes one common operation; permitting
/// must not: a creation comes with the write of its open, which alone says nothing about making files.
#[inline(always)]
const fn contains(ops: u32, attempted: u32) -> bool {
    attempted & op::CREATE == 0 || ops & op::CREATE != 0
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
fn keep_first(kept: &mut Matched, candidate: Matched) {
    if candidate.order < kept.order {
        *kept = candidate;
    }
}

/// Among would-have entries the one that would have decided: deny, then require-grant, then hold.
#[inline(always)]
fn keep_stricter(kept: &mut Matched, candidate: Matched) {
    let (old, new) = (strictness(kept), strictness(&candidate));
    if new > old || (new == old && candidate.order < kept.order) {
        *kept = candidate;
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

/// The whole decision over a list of entries, for callers that can iterate freely.
pub fn decide<'e, T: Tables>(
    tables: &T,
    attempt: &Attempt,
    now: Now,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Decision {
    let mut judge = Judge::new();
    for entry in entries {
        judge.consider(tables, attempt, now, entry);
    }
    judge.finish()
}

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
            pad: 0,
        }
    }

    #[test]
    fn a_permission_to_write_does_not_cover_a_creation() {
        let mut row = LeaseRow::default();
        row.leases[0] = Lease {
            boot_deadline_ns: 2,
            tai_deadline_ns: 2,
            grant: [1, 1],
        };
        let tables = OneLease(row);
        let now = Now {
            boot_ns: 1,
            tai_ns: 1,
        };
        for (attempted, permitted, covered) in [
            (op::CREATE | op::WRITE, op::WRITE, false),
            (op::CREATE | op::WRITE, op::CREATE, true),
            (op::CREATE | op::WRITE, op::CREATE | op::WRITE, true),
            (op::WRITE, op::WRITE, true),
            (op::WRITE, op::CREATE, false),
        ] {
            let attempt = Attempt {
                ops: attempted,
                port: 0,
                subjects: 1,
            };
            let rule = Entry {
                permission: 0,
                ..entry(op::WRITE, effect::REQUIRE_GRANT)
            };
            let entries = [rule, entry(permitted, effect::PERMISSION)];
            let decision = decide(&tables, &attempt, now, &entries);
            assert_eq!(
                decision.verdict == verdict::ALLOWED,
                covered,
                "{attempted:#x} under {permitted:#x}"
            );
        }
    }
}
