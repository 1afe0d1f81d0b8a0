//! `decide()`: the one decision function of kernel, compiled-image evaluator and tests.
//!
//! Order (DESIGN 4): `deny` → a lease that covers the action → `require-grant` → `hold` → `throttle` → `alert` → `allow` →
//! default. A default restricts those operations of which no rule says anything else. Rates are only named: what counts
//! them has the last word. It reads tables through [`Tables`], knows no clock and has no loop of its own, because the kernel
//! drives it from a bounded loop: `Judge::consider` once per entry, `Judge::end` between the ends of an attempt
//! that has two, then `Judge::finish`.

mod end;

use end::{End, NEW_END};

use crate::{
    abi::{
        code::{decode_effect, effect, protocol, reason, verdict},
        image::{Entry, LeaseRow, entry_flag},
        rate::Rate,
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

impl Now {
    /// After every deadline.
    pub const NEVER: Self = Self {
        boot_ns: u64::MAX,
        tai_ns: u64::MAX,
    };
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
    pub flags: u16,
    /// Zero
    pub pad: u16,
}

const NOTHING: Matched = Matched {
    rule: 0,
    permission: 0,
    effect: 0,
    order: u32::MAX,
    timeout_ms: 0,
    flags: 0,
    pad: 0,
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
    /// Flags that everything has which restricts the attempt, see [`entry_flag::ON_LOSS`]: the strictest word counts
    pub on_loss: u32,
    /// Rates that have the last word, as bits by their rows
    pub rates: u64,
    /// The same in monitor mode
    pub would_rates: u64,
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
    rest: Matched,
    end: End,
    permission: u64,
    grant: [u64; 2],
    rates: u64,
    would_rates: u64,
    /// See [`entry_flag::ON_LOSS`]: of all ends together
    on_loss: u32,
    pad: u32,
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
            covered_rule: NOTHING,
            rest: NOTHING,
            end: NEW_END,
            permission: 0,
            grant: [0; 2],
            rates: 0,
            would_rates: 0,
            on_loss: u32::MAX,
            pad: 0,
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
            pad: 0,
        };
        if entry.flags & entry_flag::MONITOR != 0 {
            self.end.watch(&matched, ops, entry.rate, surely);
        } else {
            self.end.restrict(&matched, ops, entry.rate, surely);
        }
        // Wherever they are from, they decide what is recorded of what goes on.
        match effect {
            effect::DENY if entry.flags & entry_flag::MONITOR == 0 => {
                keep_first(&mut self.deny, &matched);
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
        let open = end.open();
        self.on_loss &= end.on_loss;
        let left = end.rest_ops & end.unsaid() & open;
        if end.restricted & open != 0 {
            keep_first(&mut self.grant_rule, &end.grant_rule);
            keep_first(&mut self.hold, &end.hold);
        }
        if left != 0 {
            keep_stricter(&mut self.rest, &end.rest);
        }
        if end.throttled & open != 0 {
            self.rates |= end.rates;
        }
        let needed = end.needed();
        if needed != 0 && needed & open == 0 && self.covered_rule.order == u32::MAX {
            self.grant = end.grant;
            self.permission = end.permission;
            self.covered_rule = if end.grant_rule.order != u32::MAX {
                end.grant_rule
            } else if end.hold.order != u32::MAX {
                end.hold
            } else if end.throttle.order != u32::MAX {
                end.throttle
            } else {
                end.rest
            };
        }
        self.end_watched(open);
        self.end.clear();
    }

    /// What monitor mode would have restricted at this end.
    #[inline(always)]
    fn end_watched(&mut self, open: u32) {
        let end = &self.end;
        if end.would.order != u32::MAX
            && (end.would.effect == effect::DENY || end.would_restrict & open != 0)
        {
            keep_stricter(&mut self.would, &end.would);
        }
        let said = end.would_restrict | end.would_throttle | end.would_permit;
        if end.would_rest_ops & end.unsaid() & !said & open != 0 {
            keep_stricter(&mut self.would, &end.would_rest);
        }
        if end.would_throttle & open != 0 {
            self.would_rates |= end.would_rates;
        }
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
        self.rest.order = u32::MAX;
        self.permission = 0;
        self.grant = [0; 2];
        self.rates = 0;
        self.would_rates = 0;
        self.on_loss = u32::MAX;
        self.end.clear();
    }

    /// Gives the decision over everything that was considered.
    #[inline(always)]
    pub fn finish(&mut self) -> Decision {
        self.end();
        Decision {
            on_loss: self.on_loss,
            ..self.strictest()
        }
    }

    #[inline(always)]
    fn strictest(&self) -> Decision {
        if self.deny.order != u32::MAX {
            return decision(verdict::DENIED, reason::RULE_DENY, self.deny);
        }
        if self.grant_rule.order != u32::MAX {
            return decision(verdict::DENIED, reason::NO_GRANT, self.grant_rule);
        }
        let rest = self.rest.order != u32::MAX;
        if rest && self.rest.effect == effect::DEFAULT_DENY {
            return decision(verdict::DENIED, reason::NOT_ALLOWED, self.rest);
        }
        if self.hold.order != u32::MAX {
            return decision(verdict::HELD, reason::HOLD_PENDING, self.hold);
        }
        if rest {
            return decision(verdict::HELD, reason::HOLD_PENDING, self.rest);
        }
        Decision {
            rates: self.rates,
            would_rates: self.would_rates,
            ..self.unheld()
        }
    }

    #[inline(always)]
    fn unheld(&self) -> Decision {
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

/// Stands for none of the rates.
pub const NO_RATE: u32 = u32::MAX;

/// What was found out about the rates of a [`Decision`], each by its row.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// First one that is used up, [`NO_RATE`] for none
    pub used_up: u32,
    /// First one that is enforced
    pub first: u32,
    /// First one of monitor mode that is used up
    pub would: u32,
}

impl Decision {
    /// Gives rates the last word.
    #[inline(always)]
    pub fn settle(&mut self, counted: Counted, rate: impl Fn(u32) -> Rate) {
        self.rates = 0;
        self.would_rates = 0;
        if counted.used_up != NO_RATE {
            let rate = rate(counted.used_up);
            // Whatever does not say that it is held is denied.
            if rate.effect == effect::HOLD {
                self.say(verdict::HELD, reason::HOLD_PENDING, &rate);
            } else {
                self.say(verdict::DENIED, reason::RATE_EXCEEDED, &rate);
            }
        } else if self.reason == reason::GRANT {
            // The grant is what is recorded.
        } else if counted.first != NO_RATE {
            self.say(verdict::ALLOWED, reason::WITHIN_RATE, &rate(counted.first));
        } else if counted.would != NO_RATE && self.reason != reason::WOULD_HAVE {
            self.say(verdict::ALLOWED, reason::WOULD_HAVE, &rate(counted.would));
        }
    }

    #[inline(always)]
    fn say(&mut self, verdict: u32, reason: u32, rate: &Rate) {
        self.verdict = verdict;
        self.reason = reason;
        self.by = Matched {
            rule: rate.rule,
            permission: rate.permission,
            effect: rate.effect,
            order: rate.order,
            timeout_ms: rate.timeout_ms,
            flags: rate.flags,
            pad: 0,
        };
        self.grant = [0; 2];
        self.recorded = 1;
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
        on_loss: 0,
        rates: 0,
        would_rates: 0,
    }
}

/// The decision for an attempt that meets no entry at all: the default, recorded nowhere.
#[inline(always)]
pub fn nothing_met() -> Decision {
    Decision {
        recorded: 0,
        on_loss: u32::MAX,
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

/// Of what restricts, or would have, the one that decides: deny, require-grant, a default that denies, hold, a default
/// that holds.
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
        effect::DENY => 5,
        effect::REQUIRE_GRANT => 4,
        effect::DEFAULT_DENY => 3,
        effect::HOLD => 2,
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
mod tests;
