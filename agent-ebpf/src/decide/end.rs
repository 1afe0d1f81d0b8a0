//! What was met at one end of an attempt, by what it says of which operations. Decides nothing: the judge asks it once
//! everything there was considered.

use super::{Matched, NOTHING, keep_first, keep_stricter};
use crate::abi::{
    code::{effect, op},
    rate::RATES_PER_SLOT,
};

/// What was met at the current end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) grant_rule: Matched,
    pub(super) hold: Matched,
    pub(super) throttle: Matched,
    pub(super) would: Matched,
    /// The strictest default
    pub(super) rest: Matched,
    pub(super) would_rest: Matched,
    pub(super) permission: u64,
    pub(super) grant: [u64; 2],
    pub(super) rates: u64,
    pub(super) would_rates: u64,
    /// Operations of the attempt that a require-grant or hold entry names
    pub(super) restricted: u32,
    /// The same in monitor mode
    pub(super) would_restrict: u32,
    /// Operations of the attempt that a live lease covers
    pub(super) covered: u32,
    /// Operations that a throttle entry names
    pub(super) throttled: u32,
    pub(super) would_throttle: u32,
    /// Operations that go on because an alert or allow entry says so
    pub(super) permitted: u32,
    pub(super) would_permit: u32,
    /// Operations that a default is about
    pub(super) rest_ops: u32,
    pub(super) would_rest_ops: u32,
    /// Flags that everything has which restricts something here, see [`entry_flag::ON_LOSS`]
    pub(super) on_loss: u32,
}

pub(super) const NEW_END: End = End {
    grant_rule: NOTHING,
    hold: NOTHING,
    throttle: NOTHING,
    would: NOTHING,
    rest: NOTHING,
    would_rest: NOTHING,
    permission: 0,
    grant: [0; 2],
    rates: 0,
    would_rates: 0,
    restricted: 0,
    would_restrict: 0,
    covered: 0,
    throttled: 0,
    would_throttle: 0,
    permitted: 0,
    would_permit: 0,
    rest_ops: 0,
    would_rest_ops: 0,
    on_loss: u32::MAX,
};

impl End {
    /// Operations that no live lease covers. Whoever may make a file may also write it in the same call.
    #[inline(always)]
    pub(super) const fn open(&self) -> u32 {
        let implied = if self.covered & op::CREATE == 0 {
            0
        } else {
            op::WRITE
        };
        !(self.covered | implied)
    }

    /// Operations of which no rule that counts says anything.
    #[inline(always)]
    pub(super) const fn unsaid(&self) -> u32 {
        !(self.restricted | self.throttled | self.permitted)
    }

    /// Operations that go on because of a lease, if it covers them. Of an end that a lease lets through, a rate that it
    /// does not cover still counts.
    #[inline(always)]
    pub(super) const fn needed(&self) -> u32 {
        let needed = self.restricted | self.rest_ops & self.unsaid();
        if needed == 0 { self.throttled } else { needed }
    }

    #[inline(always)]
    pub(super) fn restrict(&mut self, matched: &Matched, ops: u32, rate: u16, surely: bool) {
        if !matches!(
            matched.effect,
            effect::ALERT | effect::ALLOW | effect::PERMISSION
        ) {
            self.on_loss &= u32::from(matched.flags);
        }
        match matched.effect {
            effect::REQUIRE_GRANT => {
                self.restricted |= ops;
                keep_first(&mut self.grant_rule, matched);
            }
            effect::HOLD => {
                self.restricted |= ops;
                keep_first(&mut self.hold, matched);
            }
            effect::THROTTLE => {
                self.throttled |= ops;
                self.rates |= bit_of(rate);
                keep_first(&mut self.throttle, matched);
            }
            effect::DEFAULT_DENY | effect::DEFAULT_HOLD => {
                self.rest_ops |= ops;
                keep_stricter(&mut self.rest, matched);
            }
            effect::ALERT | effect::ALLOW if surely => self.permitted |= ops,
            _ => {}
        }
    }

    /// The same in monitor mode, which restricts nothing and permits nothing that is restricted elsewhere.
    #[inline(always)]
    pub(super) fn watch(&mut self, matched: &Matched, ops: u32, rate: u16, surely: bool) {
        match matched.effect {
            effect::DENY | effect::REQUIRE_GRANT | effect::HOLD => {
                self.would_restrict |= ops;
                keep_stricter(&mut self.would, matched);
            }
            effect::THROTTLE => {
                self.would_throttle |= ops;
                self.would_rates |= bit_of(rate);
            }
            effect::DEFAULT_DENY | effect::DEFAULT_HOLD => {
                self.would_rest_ops |= ops;
                keep_stricter(&mut self.would_rest, matched);
            }
            effect::ALERT | effect::ALLOW if surely => self.would_permit |= ops,
            _ => {}
        }
    }

    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.grant_rule.order = u32::MAX;
        self.hold.order = u32::MAX;
        self.throttle.order = u32::MAX;
        self.would.order = u32::MAX;
        self.rest.order = u32::MAX;
        self.would_rest.order = u32::MAX;
        self.permission = 0;
        self.grant = [0; 2];
        self.rates = 0;
        self.would_rates = 0;
        self.restricted = 0;
        self.would_restrict = 0;
        self.covered = 0;
        self.throttled = 0;
        self.would_throttle = 0;
        self.permitted = 0;
        self.would_permit = 0;
        self.rest_ops = 0;
        self.would_rest_ops = 0;
        self.on_loss = u32::MAX;
    }
}

/// A row that no image has is bit 63, whose row restricts if it is empty.
#[inline(always)]
const fn bit_of(rate: u16) -> u64 {
    let last = RATES_PER_SLOT - 1;
    let rate = rate as u32;
    1 << (if rate > last { last } else { rate } & last)
}
