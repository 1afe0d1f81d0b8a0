//! The life of one process: at every place where it does something to the world outside, it may end. From then on nothing
//! of it has an effect, so that whatever its code still does is as if it had never been done.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

/// Shared by everything through which one process acts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Places until the end; 0 = no end is set
    left: AtomicU32,
    is_over: AtomicBool,
}

impl Life {
    /// Sets the end: at the so many'th place from now.
    pub(crate) fn end_at(&self, places: u32) {
        self.0.left.store(places.max(1), Ordering::SeqCst);
    }

    /// Nobody ends it any more.
    pub(crate) fn spare(&self) {
        self.0.left.store(0, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::SeqCst)
    }

    /// One place where it acts; whether it lives on.
    pub(crate) fn goes_on(&self) -> bool {
        if self.is_over() {
            return false;
        }
        let left = self.0.left.load(Ordering::SeqCst);
        if left == 1 {
            self.end();
            return false;
        }
        self.0.left.store(left.saturating_sub(1), Ordering::SeqCst);
        true
    }
}
