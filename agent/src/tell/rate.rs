//! How much one terminal is told. Pure: time is an argument.

use std::collections::HashMap;

/// Messages at once: a pipeline of held commands.
const BURST: u32 = 10;
/// After a burst, one message in that time.
const REFILL_NS: u64 = 2_000_000_000;
/// Terminals that are remembered; a full table forgets those that are not being limited.
const TERMINALS_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    refilled_ns: u64,
    left_out: u32,
}

/// Every terminal's allowance.
#[derive(Debug, Default)]
pub(super) struct Rate {
    buckets: HashMap<Vec<u8>, Bucket>,
}

impl Rate {
    /// Whether one more may be told, and how many were not told since the last one.
    pub(super) fn admit(&mut self, terminal: &[u8], now_ns: u64) -> Option<u32> {
        if self.buckets.len() >= TERMINALS_MAX {
            self.buckets.retain(|_, bucket| bucket.left_out > 0);
            if self.buckets.len() >= TERMINALS_MAX {
                self.buckets.clear();
            }
        }
        let fresh = Bucket {
            left: BURST,
            refilled_ns: now_ns,
            left_out: 0,
        };
        let bucket = self.buckets.entry(terminal.to_vec()).or_insert(fresh);
        let refills = now_ns.saturating_sub(bucket.refilled_ns) / REFILL_NS;
        if refills > 0 {
            bucket.left = bucket
                .left
                .saturating_add(u32::try_from(refills).unwrap_or(BURST))
                .min(BURST);
            bucket.refilled_ns = now_ns;
        }
        if bucket.left == 0 {
            bucket.left_out += 1;
            return None;
        }
        bucket.left -= 1;
        Some(std::mem::take(&mut bucket.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_cut_short_and_told_how_much_was_left_out() {
        let mut rate = Rate::default();
        let told = (0..100)
            .filter(|_| rate.admit(b"pts/1", 1).is_some())
            .count();
        assert_eq!(told, BURST as usize);
        assert_eq!(rate.admit(b"pts/1", 1 + REFILL_NS), Some(90));
        assert_eq!(rate.admit(b"pts/1", 1 + REFILL_NS), None);
        assert_eq!(
            rate.admit(b"pts/2", 1),
            Some(0),
            "another terminal is not affected"
        );
    }

    #[test]
    fn more_terminals_than_are_remembered_cost_no_memory() {
        let mut rate = Rate::default();
        for number in 0..3 * TERMINALS_MAX {
            rate.admit(format!("pts/{number}").as_bytes(), 1);
        }
        assert!(rate.buckets.len() <= TERMINALS_MAX);
    }
}
