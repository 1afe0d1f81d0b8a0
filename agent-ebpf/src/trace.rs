//! Debug aid: with the feature `trace` every hook says through aya-log what it decided about a pinned task. Never in a
//! shipped object: without the feature nothing of it is compiled.

use aya_ebpf::programs::LsmContext;

/// Passes a verdict through and says it.
#[cfg(feature = "trace")]
#[inline(always)]
pub fn said(ctx: &LsmContext, hook: &'static str, verdict: i32) -> i32 {
    aya_log_ebpf::debug!(ctx, "{}: {}", hook, verdict);
    verdict
}

/// Passes a verdict through.
#[cfg(not(feature = "trace"))]
#[inline(always)]
pub fn said(_: &LsmContext, _: &'static str, verdict: i32) -> i32 {
    verdict
}
