//! What hosts say: who they are, how far they are, that they are there. What many say at once is one transaction, because a
//! disk takes as long for one word as for a thousand; nobody is answered before the commit.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use stayhand_guardrail::{
    hold::Fact,
    host::{Ack, Phase},
    id::{Generation, HostId},
    text::safe_cut,
    time::UnixMs,
};
use stayhand_proto::message::{Hello, HostHealth};
use stayhand_transport::Serial;

use super::{App, Error, Session, holds};
use crate::{
    limits::{
        FACT_CHARS_MAX, FLOOR_SHOWN_MAX, GENERATION_LEAP_MAX, HEARTBEAT_PAUSE, HOOKS_MAX,
        REASON_CHARS_MAX, REASONS_MAX, WORDS_PER_COMMIT_MAX,
    },
    operator::HostAgent,
    store::{Gather, StoredHold, Word, Write},
};

/// Words that wait to be committed.
pub(super) struct Words {
    /// What somebody waits for
    soon: Gather<Said, Result<(), Error>>,
    /// What only says that a host is there
    seldom: Gather<Said, Result<(), Error>>,
}

/// A word and whose it is.
#[derive(Clone)]
struct Said(HostId, What);

#[derive(Clone)]
enum What {
    /// The first one on a stream
    Hello(Arc<Hello>),
    /// A later one
    Word(Word),
    /// That it has this certificate, by showing it
    Certificate(Serial),
}

impl Words {
    /// Of a fleet, whose heartbeats can wait for each other.
    pub(super) fn new() -> Self {
        Self::pausing(HEARTBEAT_PAUSE)
    }

    /// Where nothing waits for time.
    pub(super) fn without_pause() -> Self {
        Self::pausing(Duration::ZERO)
    }

    fn pausing(pause: Duration) -> Self {
        Self {
            soon: Gather::new(Duration::ZERO, WORDS_PER_COMMIT_MAX),
            seldom: Gather::new(pause, WORDS_PER_COMMIT_MAX),
        }
    }
}

impl App {
    /// Takes in the first word of an agent. From here on its host counts as connected.
    pub async fn hello(
        self: &Arc<Self>,
        agent: &HostAgent,
        hello: &Hello,
    ) -> Result<Session, Error> {
        let (host, enforced) = (agent.host(), hello.enforced_generation);
        if hello.protocol < self.oldest_protocol {
            tracing::warn!(%host, version = hello.agent_version, protocol = hello.protocol, "an agent that is too old is not served");
            return Err(Error::AgentTooOld {
                host: host.clone(),
                version: safe_cut(hello.agent_version.as_bytes(), REASON_CHARS_MAX),
                protocol: hello.protocol,
                min: self.oldest_protocol,
            });
        }
        self.said(&self.words.soon, host, What::Hello(Arc::new(kept(hello))))
            .await?;
        tracing::info!(%host, %enforced, hooks = hello.hooks.len(), "host connected");
        Ok(self.enter(host))
    }

    /// Takes in a host's word on a generation.
    pub async fn acknowledge(
        self: &Arc<Self>,
        agent: &HostAgent,
        mut ack: Ack,
    ) -> Result<(), Error> {
        if let Phase::Rejected { reasons } = &mut ack.phase {
            shorten(reasons, REASONS_MAX, REASON_CHARS_MAX);
            ack.errors.truncate(REASONS_MAX);
            for error in &mut ack.errors {
                error.name = safe_cut(error.name.as_bytes(), REASON_CHARS_MAX);
                error.reason = safe_cut(error.reason.as_bytes(), REASON_CHARS_MAX);
            }
            tracing::warn!(host = %agent.host(), generation = %ack.generation, ?reasons, "host rejected a generation");
        }
        let word = What::Word(Word::Ack(ack));
        self.said(&self.words.soon, agent.host(), word).await
    }

    /// Notes that a host is there, how many recorded decisions of it left no event, and how it is.
    pub async fn heartbeat(
        self: &Arc<Self>,
        agent: &HostAgent,
        events_lost: u64,
        mut health: Option<HostHealth>,
    ) -> Result<(), Error> {
        if let Some(health) = &mut health {
            shorten(&mut health.hooks, HOOKS_MAX, FACT_CHARS_MAX);
            shorten(&mut health.hooks_gone, HOOKS_MAX, FACT_CHARS_MAX);
            shorten(&mut health.problems, REASONS_MAX, REASON_CHARS_MAX);
        }
        let word = What::Word(Word::Seen {
            events_lost,
            health,
        });
        self.said(&self.words.seldom, agent.host(), word).await
    }

    /// Notes that a host has shown a certificate: it has what came with it.
    pub(super) async fn certificate_used(
        self: &Arc<Self>,
        host: &HostId,
        serial: &Serial,
    ) -> Result<(), Error> {
        let shown = What::Certificate(serial.clone());
        self.said(&self.words.soon, host, shown).await
    }

    /// Returns when the word is committed.
    async fn said(
        self: &Arc<Self>,
        words: &Gather<Said, Result<(), Error>>,
        host: &HostId,
        what: What,
    ) -> Result<(), Error> {
        // Whoever only waits for company keeps no store open.
        let app = Arc::downgrade(self);
        let committed = words.ask(Said(host.clone(), what), move |words| {
            let app = app.upgrade();
            async move {
                match app {
                    Some(app) => app.commit_each(&words).await,
                    None => vec![],
                }
            }
        });
        committed
            .await
            .unwrap_or(Err(Error::Store(crate::store::StoreError::BrokeOff)))
    }

    /// What goes wrong with one word is no other host's.
    async fn commit_each(&self, words: &[Said]) -> Vec<Result<(), Error>> {
        match self.commit_together(words).await {
            Ok(committed) => committed,
            Err(error) if words.len() == 1 => vec![Err(error)],
            Err(error) => {
                tracing::warn!(%error, words = words.len(), "what hosts said is committed one by one");
                let mut committed = Vec::with_capacity(words.len());
                for word in words {
                    let one = self.commit_together(std::slice::from_ref(word)).await;
                    committed.push(one.and_then(|mut one| one.pop().unwrap_or(Ok(()))));
                }
                committed
            }
        }
    }

    /// All of them or none; one that is refused before anything of it is written spoils no other.
    async fn commit_together(&self, words: &[Said]) -> Result<Vec<Result<(), Error>>, Error> {
        let mut write = self.store().begin_for_host().await?;
        let (now, mut answers) = (self.now(), Vec::with_capacity(words.len()));
        let (mut hosts, mut plain) = (BTreeSet::new(), Vec::new());
        for Said(host, what) in words {
            // ORDER: what one host said comes in the order in which it said it.
            if !hosts.insert(host) {
                write.put_words(&plain, now).await?;
                plain.clear();
                hosts = BTreeSet::from([host]);
            }
            answers.push(match what {
                What::Word(word) => {
                    plain.push((host.clone(), word.clone()));
                    Ok(())
                }
                What::Certificate(serial) => {
                    write.certificate_used(serial).await?;
                    Ok(())
                }
                What::Hello(hello) => match self.put_hello(&mut write, host, hello).await {
                    Err(error @ Error::ImplausibleGeneration(_)) => Err(error),
                    other => Ok(other?),
                },
            });
        }
        write.put_words(&plain, now).await?;
        write.commit().await?;
        Ok(answers)
    }

    async fn put_hello(
        &self,
        write: &mut Write<'_>,
        host: &HostId,
        hello: &Hello,
    ) -> Result<(), Error> {
        let newest = write.generation().await?;
        let enforced = hello.enforced_generation;
        if enforced.0 > newest.0.saturating_add(GENERATION_LEAP_MAX) {
            return Err(Error::ImplausibleGeneration(host.clone()));
        }
        let known = write.host_desired(host).await?;
        if known
            .as_ref()
            .is_some_and(|(_, boot_id)| *boot_id != hello.boot_id.to_string())
        {
            rebooted(write, host, self.now()).await?;
        }
        let traits = write.host_traits(host).await?;
        write.put_host(host, hello, self.now()).await?;
        // Another host than before, as far as roll-outs are concerned.
        let changed = traits.is_some_and(|(labels, watches)| {
            labels != hello.labels || watches != hello.watches_shadows
        });
        if changed && !write.in_force().await?.rolling.is_empty() {
            write.publish(Some(host)).await?;
        }
        // A host that this store does not know, or that is ahead of it: the numbers are another store's, or those
        // of a newer copy of this one, so what the host has says nothing about what it should have.
        let foreign = match &known {
            None => enforced > Generation(0),
            Some((desired, _)) => enforced > *desired,
        };
        if foreign {
            tracing::warn!(%host, %enforced, %newest, "host enforces a state that is not from this store");
            write.leap(enforced).await?;
            write.publish(Some(host)).await?;
        }
        Ok(())
    }
}

/// What is kept of a first word: what one host says at length must not fill the lists in which others are.
fn kept(hello: &Hello) -> Hello {
    let mut kept = hello.clone();
    shorten(&mut kept.hooks, HOOKS_MAX, FACT_CHARS_MAX);
    shorten(&mut kept.floor, FLOOR_SHOWN_MAX, FACT_CHARS_MAX);
    for fact in [&mut kept.agent_version, &mut kept.kernel_release] {
        *fact = safe_cut(fact.as_bytes(), FACT_CHARS_MAX);
    }
    kept
}

/// Cuts what is too long or too much, and says how much it was.
fn shorten(texts: &mut Vec<String>, items: usize, chars: usize) {
    let more = texts.len().saturating_sub(items);
    texts.truncate(items);
    for text in texts.iter_mut() {
        *text = safe_cut(text.as_bytes(), chars);
    }
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
}

/// Processes of an earlier boot are gone, and so are their holds.
async fn rebooted(write: &mut Write<'_>, host: &HostId, now: UnixMs) -> Result<(), Error> {
    for StoredHold { hold, .. } in write.open_holds(host).await? {
        holds::happened(write, hold, Fact::ProcessGone, now).await?;
    }
    write.drop_answers(host).await?;
    Ok(())
}
