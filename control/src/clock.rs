//! The wall clock, and what new ids are made of. The only place that reads either; everything else takes the time as an
//! argument, or asks the [`Outside`] of its control plane.

use std::time::{SystemTime, UNIX_EPOCH};

use stayhand_guardrail::time::UnixMs;
use uuid::Uuid;

/// What a control plane cannot know by itself. A simulation brings its own, so that one number tells all that happens.
pub trait Outside: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> UnixMs;
    /// An id that nothing has.
    fn id(&self) -> Uuid;
}

/// This machine's clock and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Outside for Machine {
    fn now(&self) -> UnixMs {
        now()
    }

    fn id(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Now. Before 1970 it is 1970, so nothing that was issued lives on a clock that is obviously wrong.
pub fn now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
