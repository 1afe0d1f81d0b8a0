//! The wall clock. The only place that reads it; everything else takes the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use stayhand_guardrail::time::UnixMs;

/// Now. Before 1970 it is 1970, so nothing that was issued lives on a clock that is obviously wrong.
pub fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
