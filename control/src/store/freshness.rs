//! For how long leases count on hosts that hear nothing, now and earlier: a host that is away goes by what it was told last.

use std::sync::atomic::Ordering;

use sqlx::SqliteConnection;
use stayhand_guardrail::{
    id::Generation,
    time::{DurationMs, UnixMs},
};

use super::{Store, StoreError, Write, number, unsigned};

/// Every span that was ever asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Oldest first, each with the generation that brought it; before the first one there was none
    spans: Vec<(Generation, Option<DurationMs>)>,
    /// When this control plane began to hear hosts
    begun: UnixMs,
}

impl History {
    /// All of it.
    pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Self, StoreError> {
        let rows: Vec<(i64, Option<i64>)> =
            sqlx::query_as("SELECT generation, fresh_for_ms FROM freshness ORDER BY generation")
                .fetch_all(connection)
                .await?;
        let span = |ms| DurationMs(unsigned(ms));
        let rows = rows.into_iter();
        let rows = rows.map(|(from, ms)| (Generation(unsigned(from)), ms.map(span)));
        Ok(Self {
            spans: rows.collect(),
            begun: UnixMs(0),
        })
    }

    /// What is asked for now.
    pub(super) fn now(&self) -> Option<DurationMs> {
        self.spans.last().and_then(|(_, span)| *span)
    }

    /// When leases end at the latest on a host that says that its kernel keeps to `fresh_for_ms` with what it enforces, and that was heard
    /// of then: it may have got any later span since, and its word on that may be lost. None where they end only in their own time.
    pub(super) fn void_time(
        &self,
        enforced: Generation,
        fresh_for_ms: Option<i64>,
        last_seen: UnixMs,
    ) -> Option<UnixMs> {
        let kept = DurationMs(unsigned(fresh_for_ms?));
        let later = self.spans.iter().filter(|(from, _)| *from > enforced);
        let mut longest = later.map(|(_, span)| *span);
        let longest = longest.try_fold(kept, |longest, span| Some(longest.max(span?)))?;
        // What a host was told before this process began is known only as far as this store has it.
        Some(last_seen.max(self.begun).plus(longest))
    }
}

impl Write<'_> {
    /// Asks for another span from here on, of every host; false where it is the one that is asked for already.
    pub async fn set_freshness(&mut self, span: Option<DurationMs>) -> Result<bool, StoreError> {
        if History::read(&mut self.tx).await?.now() == span {
            return Ok(false);
        }
        let generation = self.publish(None).await?;
        sqlx::query("INSERT INTO freshness (generation, fresh_for_ms) VALUES (?1, ?2)")
            .bind(number(generation.0)?)
            .bind(span.map(|span| number(span.0)).transpose()?)
            .execute(&mut *self.tx)
            .await?;
        self.touched.grants = true;
        Ok(true)
    }
}

impl Store {
    /// Hosts are heard from now on. A store that was restored from a copy does not know what was said to them before.
    pub fn begins(&self, now: UnixMs) {
        self.begun_ms.store(now.0, Ordering::Relaxed);
    }

    pub(super) async fn freshness(&self) -> Result<History, StoreError> {
        let mut connection = self.read.acquire().await?;
        let begun = UnixMs(self.begun_ms.load(Ordering::Relaxed));
        let spans = History::read(&mut connection).await?.spans;
        Ok(History { spans, begun })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn void(history: &[(u64, Option<u64>)], enforced: u64, kept: Option<i64>) -> Option<u64> {
        let one = |(from, ms): &(u64, Option<u64>)| (Generation(*from), ms.map(DurationMs));
        let history = History {
            spans: history.iter().map(one).collect(),
            begun: UnixMs(0),
        };
        let void = history.void_time(Generation(enforced), kept, UnixMs(1_000));
        void.map(|at| at.0)
    }

    #[test]
    fn a_host_that_may_have_leases_without_end_has_no_time() {
        let asked = [(5, Some(60))];
        assert_eq!(void(&[], 9, None), None);
        assert_eq!(
            void(&asked, 9, None),
            None,
            "it does not say that it keeps to it"
        );
        assert_eq!(void(&[(5, Some(60)), (9, None)], 7, Some(60)), None);
    }

    #[test]
    fn the_longest_that_it_may_have_been_told_counts() {
        assert_eq!(void(&[(5, Some(60))], 5, Some(60)), Some(1_060));
        let changed = [(5, Some(60)), (9, Some(10)), (12, Some(90)), (15, Some(20))];
        assert_eq!(void(&changed, 5, Some(60)), Some(1_090));
        assert_eq!(void(&changed, 12, Some(90)), Some(1_090));
        assert_eq!(void(&changed, 15, Some(20)), Some(1_020));
    }

    #[test]
    fn what_was_said_before_this_process_began_is_not_taken_from_an_old_copy() {
        let history = History {
            spans: vec![(Generation(5), Some(DurationMs(60)))],
            begun: UnixMs(4_000),
        };
        let void = |seen| history.void_time(Generation(5), Some(60), UnixMs(seen));
        assert_eq!(void(1_000), Some(UnixMs(4_060)));
        assert_eq!(void(5_000), Some(UnixMs(5_060)));
    }
}
