//! The loop over the rings: batches into the spool, holds to their manager, losses into the account.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use stayhand_guardrail::event::{Event, EventClass, EventKind, LossStage};
use stayhand_proto::codec::encode_event;
use tokio::sync::watch;

use super::{Enriched, Enricher};
use crate::{
    clock::Now,
    explain::Explanations,
    holds::{Inbox, Message},
    kernel::{mounts::Mounts, record::RawRecord},
    port::CounterMap,
    spool::{Balance, Entry, Spool},
    tell::Teller,
};

/// Records in one transaction: one fsync for all of them.
const BATCH_MAX: usize = 256;
/// How long nothing must come before the counters are looked at.
const QUIET: Duration = Duration::from_millis(250);
/// Quiet looks with the same counters after which what is open is known to be lost: longer than a reader's own
/// look at its ring (`kernel::rings`), so that nothing can still be in there.
const QUIET_LOOKS: u32 = 8;
/// Looks after which pending holds are taken over even if records still come in.
const RECOVER_LOOKS_MAX: u32 = 20;

/// Where records come from.
pub trait Source: Send {
    /// The next record; none when there will be no more.
    fn next(&mut self) -> impl Future<Output = Option<RawRecord>> + Send;
    /// Ring entries that were no record so far, by class.
    fn malformed(&self) -> [u64; 3];
}

/// Everything that the loop acts on.
pub struct Recorder<S> {
    /// The rings
    pub source: S,
    /// The kernel's counters
    pub counters: Arc<dyn CounterMap>,
    /// Makes records readable
    pub enricher: Enricher,
    /// Where events go
    pub spool: Arc<Spool>,
    /// Told that the spool has more
    pub stored: watch::Sender<u64>,
    /// The hold manager
    pub holds: Inbox,
    /// Sent once, when everything that was in the rings has been read
    pub recover: Option<Message>,
    /// For the people on their terminals
    pub teller: Teller,
    /// For `stayhand why`
    pub explanations: Arc<Explanations>,
    /// Incremented with every round, for the watchdog
    pub alive: Arc<AtomicU64>,
}

/// How long nothing came.
#[derive(Debug, Default)]
pub struct Quiet {
    looks: u32,
    recorded: [u64; 3],
    malformed: [u64; 3],
    rounds: u32,
}

impl<S: Source> Recorder<S> {
    /// Runs until the source ends.
    pub async fn run(mut self) {
        let mut quiet = Quiet::default();
        loop {
            self.alive.fetch_add(1, Ordering::Relaxed);
            match tokio::time::timeout(QUIET, self.source.next()).await {
                Ok(Some(first)) => {
                    let mut batch = vec![first];
                    while batch.len() < BATCH_MAX
                        && let Some(Some(record)) = self.source.next().now_or_never()
                    {
                        batch.push(record);
                    }
                    tokio::task::block_in_place(|| {
                        // Mounts come and go, and a batch is short. Without them paths are those inside their file
                        // systems.
                        let mounts = Mounts::read().unwrap_or_default();
                        self.take(&batch, &mut quiet, &mounts, &Now::read());
                        self.look(&mut quiet, false, &Now::read());
                    });
                }
                Ok(None) => return,
                Err(_) => {
                    tokio::task::block_in_place(|| self.look(&mut quiet, true, &Now::read()));
                }
            }
        }
    }

    /// One batch. Order: stored, then holds are handled, then people are told.
    pub fn take(&mut self, batch: &[RawRecord], quiet: &mut Quiet, mounts: &Mounts, now: &Now) {
        quiet.looks = 0;
        let read: Vec<(EventClass, Enriched)> = batch
            .iter()
            .map(|record| (record.class, self.enricher.enrich(record, mounts, now)))
            .collect();
        let entries = read.iter().map(|(class, enriched)| Entry {
            class: *class,
            recorded: true,
            payload: encode_event(enriched.event.clone()),
        });
        if let Err(error) = self.spool.append(entries.collect(), now.unix) {
            tracing::error!(error = crate::exit::chain(&error), "events wait in memory");
        }
        self.stored.send_modify(|count| *count += 1);
        for (_, enriched) in read {
            self.act(enriched);
        }
    }

    fn act(&self, enriched: Enriched) {
        let Enriched {
            event,
            opened,
            outcome,
            stopped,
            told,
        } = enriched;
        self.explain(event);
        let send = |message| {
            if self.holds.send(message).is_err() {
                tracing::error!("the hold manager has ended");
            }
        };
        if let Some((pid, cookie)) = stopped {
            send(Message::Continue(pid, cookie));
        }
        if let Some((id, reason)) = outcome {
            send(Message::Outcome(id, reason));
        }
        match opened {
            Some(row) => send(Message::Opened(row, told)),
            None => told.into_iter().for_each(|told| self.teller.tell(told)),
        }
    }

    fn explain(&self, event: Event) {
        if let EventKind::Decision(decision) = event.kind {
            self.explanations.add(event.time, *decision);
        }
    }

    /// Holds the kernel's counters against what was stored.
    pub fn look(&mut self, quiet: &mut Quiet, nothing_came: bool, now: &Now) {
        let malformed = self.source.malformed();
        for (index, class) in [EventClass::A, EventClass::B, EventClass::C]
            .into_iter()
            .enumerate()
        {
            let new = malformed[index].saturating_sub(quiet.malformed[index]);
            self.spool.lose(class, LossStage::Decode, new, now.unix);
        }
        quiet.malformed = malformed;
        quiet.rounds = quiet.rounds.saturating_add(1);
        match self.counters.counters() {
            Ok(counters) => {
                let balance = self
                    .spool
                    .reconcile(counters.recorded, counters.lost, now.unix);
                if nothing_came {
                    self.missing(quiet, counters.recorded, &balance, now);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot read the kernel's counters"),
        }
        if let Err(error) = self.spool.flush(now.unix) {
            tracing::error!(error = crate::exit::chain(&error), "events wait in memory");
        }
        if (nothing_came || quiet.rounds >= RECOVER_LOOKS_MAX)
            && let Some(recover) = self.recover.take()
            && self.holds.send(recover).is_err()
        {
            tracing::error!("the hold manager has ended");
        }
    }

    /// Nothing comes any more and the counters stand still: what is open is gone, with an earlier agent.
    fn missing(&self, quiet: &mut Quiet, recorded: [u64; 3], balance: &[Balance; 3], now: &Now) {
        quiet.looks = if quiet.recorded == recorded {
            quiet.looks.saturating_add(1)
        } else {
            0
        };
        quiet.recorded = recorded;
        if quiet.looks < QUIET_LOOKS {
            return;
        }
        for (class, balance) in [EventClass::A, EventClass::B, EventClass::C]
            .into_iter()
            .zip(balance)
        {
            if balance.open > 0 {
                let count = balance.open;
                tracing::error!(class = class.as_str(), count, "recorded decisions are lost");
                self.spool.lose(class, LossStage::Crash, count, now.unix);
            }
        }
        self.stored.send_modify(|count| *count += 1);
    }
}
