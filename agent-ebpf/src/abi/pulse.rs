//! Whether the agent is alive, as far as the kernel can tell: by when it spoke last (`ACTIVE[ACTIVE_AGENT]`).

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

#[cfg(test)]
mod tests {
    use super::*;

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
