//! A simulated host: connects, enforces at once whatever it is told, and comes back when it is cut off, as an agent does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use stayhand_guardrail::id::Generation;
use stayhand_transport::{DialError, Dialling, Wait, dial};
use uuid::Uuid;

use crate::{
    board::{Board, Enforced},
    talk::{Talk, Word},
};

/// How often the host says that it goes on, as the agent's uplink does.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A host that joined.
pub(crate) struct Host {
    pub(crate) index: usize,
    pub(crate) control: Arc<str>,
    pub(crate) dialling: Dialling,
    pub(crate) board: Arc<Board>,
    pub(crate) boot_id: Uuid,
    /// What it enforces
    pub(crate) generation: Generation,
}

impl Host {
    /// Connects again and again.
    pub(crate) async fn live(mut self) {
        let mut wait = Wait::default();
        loop {
            let mut served = false;
            if let Err(error) = self.session(&mut served).await {
                self.board.trouble(format!("{error:#}"));
            }
            if let Some(mut seen) = self.board.host(self.index) {
                seen.connected = None;
            }
            if served {
                wait = Wait::default();
            }
            tokio::time::sleep(wait.next(rand::random())).await;
        }
    }

    async fn session(&mut self, served: &mut bool) -> Result<()> {
        let dialled = dial(&self.control, self.dialling.clone()).await;
        let dialled = dialled.inspect_err(|error| {
            if !matches!(error, DialError::Unreachable { .. }) {
                self.board.refuse();
            }
        })?;
        let mut talk = Talk::open(dialled.channel, self.boot_id, self.generation).await?;
        if self.generation > Generation(0) {
            talk.enforced(self.generation).await?;
        }
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                word = talk.next() => {
                    let word = word?.context("the stream ended")?;
                    self.take(&talk, word).await?;
                    *served = true;
                }
                _ = heartbeat.tick() => talk.heartbeat().await?,
            }
        }
    }

    async fn take(&mut self, talk: &Talk, word: Word) -> Result<()> {
        let enforced = match word {
            Word::Bookmark => None,
            Word::State { generation, leases } => {
                talk.enforced(generation).await?;
                self.generation = generation;
                let at = Instant::now();
                Some(Enforced { at, leases })
            }
        };
        if let Some(mut seen) = self.board.host(self.index) {
            seen.connected.get_or_insert_with(Instant::now);
            if let Some(enforced) = enforced {
                seen.states += 1;
                seen.enforced.push(enforced);
            }
        }
        Ok(())
    }
}
