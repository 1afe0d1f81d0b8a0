//! Events of hosts: stored once, acknowledged after the commit, gaps noticed.

use std::collections::BTreeSet;

use stayhand_guardrail::{
    event::{DecisionEvent, Event, EventKind},
    hold::Fact,
    id::{EventSeq, HoldId, HostId},
    reason::Reason,
};
use uuid::Uuid;

use super::{App, Error, SeenEvent, holds, rollouts};
use crate::{
    authz::{Action, Resource},
    limits::EVENT_SEQ_MAX,
    operator::{HostAgent, Operator},
    store::{Growth, Write},
};

/// Events as they came in.
pub type Batch = Vec<Event>;

/// Everything of an epoch up to a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Through {
    /// The epoch
    pub epoch: Uuid,
    /// The number
    pub seq: EventSeq,
}

impl App {
    /// Stores a batch in one transaction. What is there already is left as it is, so a host can send a batch
    /// again after any interruption.
    pub async fn store_events(
        &self,
        agent: &HostAgent,
        batch: Batch,
    ) -> Result<Vec<Through>, Error> {
        let mut write = self.store().begin_for_host().await?;
        write.room_for(Growth::Events).await?;
        let mut epochs = BTreeSet::new();
        for mut event in batch {
            if event.epoch == self.store().origin().epoch {
                return Err(Error::field("events", "use the control plane's own epoch"));
            }
            if event.seq > EVENT_SEQ_MAX {
                return Err(Error::field(
                    "events.sequence",
                    "is larger than any host can have come to",
                ));
            }
            // The transport says which host this is.
            event.host = agent.host().clone();
            epochs.insert(event.epoch);
            self.store_event(&mut write, event).await?;
        }
        let mut through = vec![];
        for epoch in epochs {
            through.push(Through {
                epoch,
                seq: write.through(agent.host().as_str(), epoch).await?,
            });
        }
        write.commit().await?;
        Ok(through)
    }

    async fn store_event(&self, write: &mut Write<'_>, event: Event) -> Result<(), Error> {
        let outcome = match &event.kind {
            EventKind::Decision(decision) => outcome(decision),
            _ => None,
        };
        let decision = match &event.kind {
            EventKind::Decision(decision) => Some(decision.clone()),
            _ => None,
        };
        let host = event.host.clone();
        let Some((_, gap)) = write.append(event).await? else {
            return Ok(());
        };
        if let Some(gap) = gap {
            let (from, to) = (gap.from, gap.to);
            tracing::error!(%host, epoch = %gap.epoch, %from, %to, "events are missing and no loss record says so");
        }
        // Only here: one that is sent again counts once.
        if let Some(decision) = decision {
            rollouts::count(write, &host, &decision, self.now()).await?;
        }
        if let Some((id, fact)) = outcome
            && let Some(stored) = write
                .hold(id)
                .await?
                .filter(|stored| stored.hold.host == host)
        {
            if let Some(fact) = fact {
                holds::happened(write, stored.hold, fact, self.now()).await?;
            }
            write.drop_answer(id).await?;
        }
        Ok(())
    }

    /// Events after a position, oldest first.
    pub async fn events_after(
        &self,
        operator: &Operator,
        after: u64,
        host: Option<&HostId>,
        max: u32,
    ) -> Result<Vec<SeenEvent>, Error> {
        self.allows(operator, Action::EventRead, &Resource::Control)?;
        let found = self.store().events_after(after, host, max).await?;
        let labels = self.labels(found.iter().map(|one| &one.event.host)).await?;
        let seen = found.into_iter();
        Ok(seen
            .map(|one| self.seen_event(operator, one, &labels))
            .collect())
    }

    /// The position after which the newest `count` events are.
    pub async fn position_before_last(
        &self,
        operator: &Operator,
        count: u32,
        host: Option<&HostId>,
    ) -> Result<u64, Error> {
        self.allows(operator, Action::EventRead, &Resource::Control)?;
        Ok(self.store().position_before_last(count, host).await?)
    }
}

/// What a recorded decision says about the end of a hold: the kernel's own word. A refusal was already known here.
fn outcome(decision: &DecisionEvent) -> Option<(HoldId, Option<Fact>)> {
    let hold = decision.hold.as_ref()?;
    let fact = match decision.reason {
        Reason::HoldApproved => Some(Fact::Consumed),
        Reason::HoldTimedOut => Some(Fact::Deadline),
        Reason::HoldCancelled => Some(Fact::FatalSignal),
        Reason::HoldRefused | Reason::HoldLapsed => None,
        _ => return None,
    };
    Some((hold.id, fact))
}
