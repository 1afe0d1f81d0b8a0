//! Whether the agent is alive, and whether the control plane is heard, as far as the kernel can tell: by when each spoke last
//! (`ACTIVE[ACTIVE_AGENT]`, `ACTIVE[ACTIVE_PROVEN_BOOT]`). Neither has to do anything for that to end.

/// How often the agent says that all of it goes on.
pub const AGENT_SPEAKS_MS: u64 = 1_000;
/// An agent that has not spoken for so long is taken for dead: a busy host may keep it from running for seconds.
pub const AGENT_SILENT_NS: u64 = 10_000_000_000;

/// Whether an agent that spoke last at `spoke_ns` is taken for alive at `now_ns`, both on `CLOCK_BOOTTIME`. It may speak
/// while the kernel looks.
#[inline(always)]
pub const fn agent_lives(spoke_ns: u64, now_ns: u64) -> bool {
    spoke_ns != 0 && now_ns < spoke_ns.saturating_add(AGENT_SILENT_NS)
}

/// No proof is asked for.
pub const FRESH_FOR_EVER: u64 = u64::MAX;

/// Whether leases count at `now` with a last proof from `proven`, both on `CLOCK_BOOTTIME` and `CLOCK_TAI`; 0 on the boot clock means
/// that there was none on this boot. A clock that stood still or was set back lengthens nothing that the other one ends.
#[inline(always)]
pub const fn is_fresh(fresh_for_ns: u64, proven: [u64; 2], now: [u64; 2]) -> bool {
    fresh_for_ns == FRESH_FOR_EVER
        || proven[0] != 0
            && now[0] < proven[0].saturating_add(fresh_for_ns)
            && now[1] < proven[1].saturating_add(fresh_for_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_wrote_is_never_fresh() {
        for now in [[0, 0], [1, 1], [u64::MAX, 0]] {
            assert!(!is_fresh(0, [0, 0], now), "{now:?}");
        }
        // Nor is a host that asks for proof and never had one, however early it is and whatever its wall clock says.
        assert!(!is_fresh(5, [0, 0], [1, 1]) && !is_fresh(5, [0, 9], [1, 9]));
    }

    #[test]
    fn either_clock_ends_it_and_only_for_ever_has_no_end() {
        let fresh = |now| is_fresh(10, [100, 200], now);
        assert!(fresh([109, 209]) && fresh([100, 200]));
        assert!(!fresh([110, 209]) && !fresh([109, 210]));
        // Set back, or not read yet when the proof was written.
        assert!(fresh([90, 190]) && !fresh([110, 190]));
        assert!(is_fresh(FRESH_FOR_EVER, [0, 0], [u64::MAX; 2]));
        assert!(!is_fresh(FRESH_FOR_EVER - 1, [0, 0], [u64::MAX; 2]));
    }

    #[test]
    fn an_agent_that_never_spoke_ended_or_fell_silent_is_not_alive() {
        let alive = |spoke, now| agent_lives(spoke, now);
        for now in [0, 1, AGENT_SILENT_NS, u64::MAX] {
            assert!(!alive(0, now));
        }
        assert!(alive(5, 5) && alive(5, 4 + AGENT_SILENT_NS));
        assert!(!alive(5, 5 + AGENT_SILENT_NS));
        // It spoke after the clock was read.
        assert!(alive(u64::MAX, 5));
    }
}
