//! One change: everything in it is committed together, with its audit records and the generation that publishes
//! it.

use sqlx::{Sqlite, Transaction};
use stayhand_guardrail::id::{Generation, HostId};
use tokio::sync::MutexGuard;

use super::{
    Commits, Origin, Signals, StoreError, list, number, parse, room::Room, signal::Touched,
    unsigned,
};

/// A change that is not committed yet. Dropping it undoes it.
pub struct Write<'s> {
    pub(super) tx: Transaction<'static, Sqlite>,
    pub(super) origin: &'s Origin,
    pub(super) touched: Touched,
    signals: &'s Signals,
    commits: Option<&'s dyn Commits>,
    pub(super) room: &'s Room,
    /// Given back with the writer
    _turn: Option<MutexGuard<'s, ()>>,
}

impl<'s> Write<'s> {
    pub(super) fn new(
        tx: Transaction<'static, Sqlite>,
        origin: &'s Origin,
        signals: &'s Signals,
        commits: Option<&'s dyn Commits>,
        room: &'s Room,
    ) -> Self {
        Self {
            tx,
            origin,
            touched: Touched::default(),
            signals,
            commits,
            room,
            _turn: None,
        }
    }

    /// The same, holding its turn until the end.
    pub(super) fn in_turn(self, turn: MutexGuard<'s, ()>) -> Self {
        Self {
            _turn: Some(turn),
            ..self
        }
    }

    /// Makes it last, then tells who waits.
    pub async fn commit(self) -> Result<(), StoreError> {
        if let Some(commits) = self.commits {
            commits.before()?;
        }
        self.tx.commit().await?;
        if let Some(commits) = self.commits {
            commits.after()?;
        }
        self.signals.tell(&self.touched);
        Ok(())
    }

    /// Takes the next generation for one host, or for every host. One counter serves all hosts, so a later change
    /// always has the higher number, and the commit order is the order of the numbers.
    pub async fn publish(&mut self, host: Option<&HostId>) -> Result<Generation, StoreError> {
        self.publish_on(host.map_or(&[], std::slice::from_ref))
            .await
    }

    /// Takes the next generation for these hosts; for every host where none is named.
    pub async fn publish_on(&mut self, hosts: &[HostId]) -> Result<Generation, StoreError> {
        let next: i64 =
            sqlx::query_scalar("UPDATE meta SET generation = generation + 1 RETURNING generation")
                .fetch_one(&mut *self.tx)
                .await?;
        let named = (!hosts.is_empty()).then(|| list(hosts));
        let hosts: Vec<String> = sqlx::query_scalar(
            "UPDATE hosts SET desired_generation = ?1
             WHERE ?2 IS NULL OR host IN (SELECT value FROM json_each(?2)) RETURNING host",
        )
        .bind(next)
        .bind(named)
        .fetch_all(&mut *self.tx)
        .await?;
        let generation = Generation(unsigned(next));
        for host in &hosts {
            self.touched.hosts.push((parse("host", host)?, generation));
        }
        Ok(generation)
    }

    /// Continues the numbers after `generation`, which a host says it enforces: a store that was restored from
    /// an older copy must not publish numbers that hosts have seen.
    pub async fn leap(&mut self, generation: Generation) -> Result<(), StoreError> {
        sqlx::query("UPDATE meta SET generation = max(generation, ?1)")
            .bind(number(generation.0)?)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }

    /// The newest generation of any host.
    pub async fn generation(&mut self) -> Result<Generation, StoreError> {
        let newest: i64 = sqlx::query_scalar("SELECT generation FROM meta")
            .fetch_one(&mut *self.tx)
            .await?;
        Ok(Generation(unsigned(newest)))
    }
}
