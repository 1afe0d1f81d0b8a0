//! Hosts: what they should enforce, and their own words on how far they are.

use serde_json::{Value, json};
use sqlx::FromRow;
use stayhand_guardrail::{
    host::{Ack, Phase},
    id::{Generation, HostId},
    policy::{HostLabels, Label},
    resource::{ResourceError, StateDigest},
    time::UnixMs,
};
use stayhand_proto::message::{Hello, HostHealth};
use uuid::Uuid;

use super::{Store, StoreError, Write, freshness::History, list, number, parse, unlist, unsigned};

/// What a host says while it is connected.
#[derive(Clone, Debug)]
pub enum Word {
    /// How far it is with a generation
    Ack(Ack),
    /// That it is there, how many recorded decisions of it left no event, and how it is if it says so
    Seen {
        /// How many
        events_lost: u64,
        /// How it is
        health: Option<HostHealth>,
    },
}

/// A host as the store knows it.
#[derive(Clone, Debug)]
pub struct StoredHost {
    /// The host
    pub id: HostId,
    /// Version of its agent
    pub agent_version: String,
    /// Its kernel
    pub kernel_release: String,
    /// Its boot
    pub boot_id: Uuid,
    /// Hooks that are attached
    pub hooks: Vec<String>,
    /// Hooks that were attached and are gone
    pub hooks_gone: Vec<String>,
    /// What is wrong, as it said last
    pub problems: Vec<String>,
    /// What it is
    pub labels: HostLabels,
    /// Policies of its own floor, each with a digest
    pub floor: Vec<String>,
    /// Whether it watches revisions beside those that it enforces
    pub watches_shadows: bool,
    /// When it was last heard of; 0 where it joined and never was
    pub last_seen: UnixMs,
    /// Recorded decisions that left no event, as its loss records or its heartbeat count them
    pub events_lost: u64,
    /// Last number of its newest epoch that is stored
    pub events_through: u64,
    /// Numbers that are missing in its epochs
    pub events_missing: u64,
    /// What it should enforce
    pub desired: Generation,
    /// What it has stored
    pub received: Generation,
    /// What its kernel enforces
    pub enforced: Generation,
    /// What it refused last
    pub rejected: Generation,
    /// Why
    pub rejected_reasons: Vec<String>,
    /// The same for single resources
    pub rejected_resources: Vec<ResourceError>,
    /// Of the resources that it enforces; none where it does not say
    pub enforced_digest: Option<StateDigest>,
    /// Which protocol its agent speaks
    pub protocol: u32,
    /// How often what was sent did not fit what it holds, and when and why it did not last
    pub relists: u64,
    /// When, and why
    pub relisted: Option<(UnixMs, String)>,
    /// When it last acknowledged something
    pub acknowledge_time: Option<UnixMs>,
    /// Whether its certificates were taken away
    pub revoked: bool,
    /// When its leases end at the latest, should it hear nothing until then; none where they end only in their own time
    pub void_time: Option<UnixMs>,
}

impl StoredHost {
    /// When it was last heard of; none where it joined and never was.
    pub fn last_seen(&self) -> Option<UnixMs> {
        self.was_seen().then_some(self.last_seen)
    }

    /// Whether it was ever heard of.
    pub fn was_seen(&self) -> bool {
        self.last_seen > UnixMs(0)
    }

    /// How far it is.
    pub fn progress(&self) -> StoredProgress {
        StoredProgress {
            id: self.id.clone(),
            received: self.received,
            enforced: self.enforced,
            rejected: self.rejected,
            rejected_reasons: self.rejected_reasons.clone(),
            rejected_resources: self.rejected_resources.clone(),
            enforced_digest: self.enforced_digest,
            acknowledge_time: self.acknowledge_time,
            last_seen: self.last_seen,
            void_time: self.void_time,
        }
    }
}

/// How far a host is: of a whole fleet this is read again and again.
#[derive(Clone, Debug)]
pub struct StoredProgress {
    /// The host
    pub id: HostId,
    /// What it has stored
    pub received: Generation,
    /// What its kernel enforces
    pub enforced: Generation,
    /// What it refused last
    pub rejected: Generation,
    /// Why
    pub rejected_reasons: Vec<String>,
    /// What of it, and why
    pub rejected_resources: Vec<ResourceError>,
    /// Digest of what its kernel enforces
    pub enforced_digest: Option<StateDigest>,
    /// When it last acknowledged something
    pub acknowledge_time: Option<UnixMs>,
    /// When it was last heard of; 0 where it joined and never was
    pub last_seen: UnixMs,
    /// When its leases end at the latest, should it hear nothing until then; none where they end only in their own time
    pub void_time: Option<UnixMs>,
}

impl StoredProgress {
    /// When it was last heard of; none where it joined and never was.
    pub fn last_seen(&self) -> Option<UnixMs> {
        (self.last_seen > UnixMs(0)).then_some(self.last_seen)
    }

    /// Its words, in the order in which they count: the newer of receipt and refusal, and last what the kernel has.
    pub fn acks(&self) -> [Ack; 3] {
        let received = Ack::new(self.received, Phase::Received);
        let reasons = self.rejected_reasons.clone();
        let rejected = Ack {
            errors: self.rejected_resources.clone(),
            ..Ack::new(self.rejected, Phase::Rejected { reasons })
        };
        let enforced = Ack {
            digest: self.enforced_digest,
            ..Ack::new(self.enforced, Phase::Enforced)
        };
        if received.generation > rejected.generation {
            [rejected, received, enforced]
        } else {
            [received, rejected, enforced]
        }
    }
}

#[derive(FromRow)]
struct ProgressRow {
    host: String,
    received_generation: i64,
    enforced_generation: i64,
    rejected_generation: i64,
    rejected_reasons: String,
    rejected_resources: String,
    enforced_digest: Option<String>,
    acknowledge_time: Option<i64>,
    last_seen_time: i64,
    fresh_for_ms: Option<i64>,
}

impl ProgressRow {
    fn read(self, freshness: &History) -> Result<StoredProgress, StoreError> {
        let enforced = Generation(unsigned(self.enforced_generation));
        let last_seen = UnixMs(unsigned(self.last_seen_time));
        Ok(StoredProgress {
            void_time: freshness.void_time(enforced, self.fresh_for_ms, last_seen),
            id: parse("host", &self.host)?,
            received: Generation(unsigned(self.received_generation)),
            enforced,
            rejected: Generation(unsigned(self.rejected_generation)),
            rejected_reasons: unlist("host", &self.rejected_reasons)?,
            rejected_resources: serde_json::from_str(&self.rejected_resources)
                .map_err(|problem| StoreError::corrupt("host", problem))?,
            enforced_digest: self
                .enforced_digest
                .map(|digest| parse("host", &digest))
                .transpose()?,
            acknowledge_time: self.acknowledge_time.map(|at| UnixMs(unsigned(at))),
            last_seen,
        })
    }
}

#[derive(FromRow)]
struct HostRow {
    host: String,
    agent_version: String,
    kernel_release: String,
    boot_id: String,
    hooks: String,
    hooks_gone: String,
    problems: String,
    labels: String,
    floor: String,
    watches_shadows: bool,
    fresh_for_ms: Option<i64>,
    last_seen_time: i64,
    events_lost: i64,
    stream_lost: i64,
    stream_missing: i64,
    stream_through: i64,
    desired_generation: i64,
    received_generation: i64,
    enforced_generation: i64,
    rejected_generation: i64,
    rejected_reasons: String,
    rejected_resources: String,
    enforced_digest: Option<String>,
    protocol: i64,
    relists: i64,
    relist_time: Option<i64>,
    relist_reason: Option<String>,
    acknowledge_time: Option<i64>,
    revoked: bool,
}

impl HostRow {
    fn read(self, freshness: &History) -> Result<StoredHost, StoreError> {
        let generation = |value| Generation(unsigned(value));
        let last_seen = UnixMs(unsigned(self.last_seen_time));
        let enforced = generation(self.enforced_generation);
        Ok(StoredHost {
            void_time: freshness.void_time(enforced, self.fresh_for_ms, last_seen),
            id: parse("host", &self.host)?,
            agent_version: self.agent_version,
            kernel_release: self.kernel_release,
            boot_id: parse("host", &self.boot_id)?,
            hooks: unlist("host", &self.hooks)?,
            hooks_gone: unlist("host", &self.hooks_gone)?,
            problems: unlist("host", &self.problems)?,
            labels: unlist::<Label>("host", &self.labels)?.into_iter().collect(),
            floor: unlist("host", &self.floor)?,
            watches_shadows: self.watches_shadows,
            last_seen,
            events_lost: unsigned(self.events_lost.max(self.stream_lost)),
            events_through: unsigned(self.stream_through),
            events_missing: unsigned(self.stream_missing),
            desired: generation(self.desired_generation),
            received: generation(self.received_generation),
            enforced,
            rejected: generation(self.rejected_generation),
            rejected_reasons: unlist("host", &self.rejected_reasons)?,
            rejected_resources: serde_json::from_str(&self.rejected_resources)
                .map_err(|problem| StoreError::corrupt("host", problem))?,
            enforced_digest: self
                .enforced_digest
                .map(|digest| parse("host", &digest))
                .transpose()?,
            protocol: u32::try_from(self.protocol).unwrap_or(u32::MAX),
            relists: unsigned(self.relists),
            relisted: self
                .relist_time
                .map(|at| (UnixMs(unsigned(at)), self.relist_reason.unwrap_or_default())),
            acknowledge_time: self.acknowledge_time.map(|at| UnixMs(unsigned(at))),
            revoked: self.revoked,
        })
    }
}

impl Write<'_> {
    /// A host's desired generation and boot; none where it was never heard of.
    pub async fn host_desired(
        &mut self,
        host: &HostId,
    ) -> Result<Option<(Generation, String)>, StoreError> {
        let row: Option<(i64, String)> = sqlx::query_as(
            "SELECT desired_generation, boot_id FROM hosts WHERE host = ?1 AND last_seen_time > 0",
        )
        .bind(host.as_str())
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(row.map(|(desired, boot_id)| (Generation(unsigned(desired)), boot_id)))
    }

    /// What of a host's own words says which revisions it is sent; none where it is new.
    pub async fn host_traits(
        &mut self,
        host: &HostId,
    ) -> Result<Option<(HostLabels, bool)>, StoreError> {
        traits(&mut self.tx, host).await
    }

    /// Writes what a host says of itself. What it enforces counts from now on: after a reboot that is nothing.
    pub async fn put_host(
        &mut self,
        host: &HostId,
        hello: &Hello,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let Hello {
            agent_version,
            kernel_release,
            boot_id,
            hooks,
            enforced_generation,
            labels,
            floor,
            watches_shadows,
            protocol,
            capabilities: _,
            held: _,
            fresh_for,
        } = hello;
        let labels: Vec<String> = labels.shown().collect();
        let generation = self.generation().await?;
        sqlx::query(
            "INSERT INTO hosts (host, agent_version, kernel_release, boot_id, hooks, last_seen_time,
                 desired_generation, enforced_generation, labels, floor, watches_shadows,
                 protocol, fresh_for_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (host) DO UPDATE SET agent_version = excluded.agent_version,
                 kernel_release = excluded.kernel_release, boot_id = excluded.boot_id, hooks = excluded.hooks,
                 last_seen_time = excluded.last_seen_time, enforced_generation = excluded.enforced_generation,
                 hooks_gone = '[]', problems = '[]', labels = excluded.labels,
                 floor = excluded.floor, watches_shadows = excluded.watches_shadows, protocol = excluded.protocol,
                 fresh_for_ms = excluded.fresh_for_ms, enforced_digest = CASE WHEN enforced_generation = excluded.enforced_generation
                     THEN enforced_digest END",
        )
        .bind(host.as_str())
        .bind(agent_version)
        .bind(kernel_release)
        .bind(boot_id.to_string())
        .bind(list(hooks))
        .bind(number(now.0)?)
        .bind(number(generation.0)?)
        .bind(number(enforced_generation.0)?)
        .bind(list(&labels))
        .bind(list(floor))
        .bind(watches_shadows)
        .bind(protocol)
        .bind(fresh_for.map(|span| number(span.0)).transpose()?)
        .execute(&mut *self.tx)
        .await?;
        self.touched.grants = true;
        Ok(())
    }

    /// Writes that there is a host of which nobody has heard yet, so that it is shown and counted where it enforces nothing.
    pub async fn expect_host(&mut self, host: &HostId) -> Result<(), StoreError> {
        let generation = self.generation().await?;
        sqlx::query(
            "INSERT INTO hosts (host, agent_version, kernel_release, boot_id, hooks, last_seen_time, desired_generation)
             VALUES (?1, '', '', ?2, '[]', 0, ?3) ON CONFLICT (host) DO NOTHING",
        )
        .bind(host.as_str())
        .bind(Uuid::nil().to_string())
        .bind(number(generation.0)?)
        .execute(&mut *self.tx)
        .await?;
        self.touched.grants = true;
        Ok(())
    }

    /// Writes words of hosts, each host's once, in one statement for each kind. A word on a generation that nobody published
    /// counts as none.
    pub async fn put_words(
        &mut self,
        words: &[(HostId, Word)],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let (mut acks, mut seen) = (vec![], vec![]);
        for (host, word) in words {
            match word {
                Word::Ack(ack) => acks.push(acknowledged(host, ack)),
                Word::Seen {
                    events_lost,
                    health,
                } => seen.push(still_there(host, *events_lost, health.as_ref())),
            }
        }
        if !acks.is_empty() {
            self.put_acks(acks, now).await?;
        }
        if !seen.is_empty() {
            self.put_seen(seen, now).await?;
        }
        Ok(())
    }

    async fn put_acks(&mut self, acks: Vec<Value>, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE hosts SET
                 received_generation = CASE word.phase WHEN 0 THEN max(received_generation, word.generation)
                     ELSE received_generation END,
                 enforced_generation = CASE word.phase WHEN 1 THEN word.generation ELSE enforced_generation END,
                 rejected_generation = CASE word.phase WHEN 2 THEN word.generation ELSE rejected_generation END,
                 rejected_reasons = coalesce(word.reasons, rejected_reasons),
                 rejected_resources = coalesce(word.resources, rejected_resources),
                 enforced_digest = CASE word.phase WHEN 1 THEN word.digest ELSE enforced_digest END,
                 fresh_for_ms = CASE word.phase WHEN 1 THEN word.fresh_for ELSE fresh_for_ms END,
                 acknowledge_time = ?2, last_seen_time = ?2
             FROM (SELECT value ->> 0 AS host, value ->> 1 AS phase, value ->> 2 AS generation, value ->> 3 AS reasons,
                     value ->> 4 AS resources, value ->> 5 AS digest, value ->> 6 AS fresh_for
                 FROM json_each(?1)) AS word
             WHERE hosts.host = word.host AND word.generation <= desired_generation",
        )
        .bind(Value::from(acks).to_string())
        .bind(number(now.0)?)
        .execute(&mut *self.tx)
        .await?;
        self.touched.grants = true;
        Ok(())
    }

    /// Counts that what was sent to a host did not fit.
    pub async fn relisted(
        &mut self,
        host: &HostId,
        reason: &str,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE hosts SET relists = relists + 1, relist_time = ?2, relist_reason = ?3 WHERE host = ?1",
        )
        .bind(host.as_str())
        .bind(number(now.0)?)
        .bind(reason)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn put_seen(&mut self, seen: Vec<Value>, now: UnixMs) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE hosts SET last_seen_time = ?2, events_lost = word.lost, hooks = coalesce(word.hooks, hosts.hooks),
                 hooks_gone = coalesce(word.gone, hosts.hooks_gone), problems = coalesce(word.problems, hosts.problems)
             FROM (SELECT value ->> 0 AS host, value ->> 1 AS lost, value ->> 2 AS hooks, value ->> 3 AS gone,
                     value ->> 4 AS problems FROM json_each(?1)) AS word
             WHERE hosts.host = word.host",
        )
        .bind(Value::from(seen).to_string())
        .bind(number(now.0)?)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

fn acknowledged(host: &HostId, ack: &Ack) -> Value {
    let (phase, reasons) = match &ack.phase {
        Phase::Received => (0, None),
        Phase::Enforced => (1, None),
        Phase::Rejected { reasons } => (2, Some(list(reasons))),
    };
    let generation = i64::try_from(ack.generation.0).unwrap_or(i64::MAX);
    let resources = reasons
        .as_ref()
        .and_then(|_| serde_json::to_string(&ack.errors).ok());
    let digest = ack.digest.map(|digest| digest.to_string());
    let fresh_for = ack.fresh_for.map(|span| span.0);
    json!([
        host.as_str(),
        phase,
        generation,
        reasons,
        resources,
        digest,
        fresh_for
    ])
}

fn still_there(host: &HostId, events_lost: u64, health: Option<&HostHealth>) -> Value {
    json!([
        host.as_str(),
        i64::try_from(events_lost).unwrap_or(i64::MAX),
        health.map(|health| list(&health.hooks)),
        health.map(|health| list(&health.hooks_gone)),
        health.map(|health| list(&health.problems)),
    ])
}

impl Store {
    /// Hosts by name, after one; or just one.
    pub async fn hosts(
        &self,
        only: Option<&HostId>,
        after: &str,
        max: u32,
    ) -> Result<Vec<StoredHost>, StoreError> {
        let rows: Vec<HostRow> = sqlx::query_as(
            "SELECT h.*,
                 CAST((SELECT total(lost) FROM event_streams WHERE host = h.host AND epoch <> ?4) AS INTEGER)
                     AS stream_lost,
                 CAST((SELECT total(through - stored) FROM event_streams
                     WHERE host = h.host AND epoch <> ?4) AS INTEGER) AS stream_missing,
                 coalesce((SELECT through FROM event_streams WHERE host = h.host AND epoch <> ?4
                     ORDER BY update_time DESC LIMIT 1), 0) AS stream_through,
                 EXISTS (SELECT 1 FROM members WHERE host = h.host AND revoke_time IS NOT NULL) AS revoked
             FROM hosts AS h WHERE (?1 IS NULL OR h.host = ?1) AND h.host > ?2 ORDER BY h.host LIMIT ?3",
        )
        .bind(only.map(HostId::as_str))
        .bind(after)
        .bind(max)
        .bind(self.origin.epoch.to_string())
        .fetch_all(&self.read)
        .await?;
        let freshness = self.freshness().await?;
        rows.into_iter().map(|row| row.read(&freshness)).collect()
    }

    /// How far every host is that is to enforce something, by name.
    pub async fn progress(&self) -> Result<Vec<StoredProgress>, StoreError> {
        let rows: Vec<ProgressRow> = sqlx::query_as(
            "SELECT host, received_generation, enforced_generation, rejected_generation, rejected_reasons,
                 rejected_resources, enforced_digest, acknowledge_time, last_seen_time, fresh_for_ms
             FROM hosts WHERE host NOT IN (SELECT host FROM members WHERE revoke_time IS NOT NULL) ORDER BY host",
        )
        .fetch_all(&self.read)
        .await?;
        let freshness = self.freshness().await?;
        rows.into_iter().map(|row| row.read(&freshness)).collect()
    }

    /// The generation that a host should enforce.
    pub async fn desired(&self, host: &HostId) -> Result<Option<Generation>, StoreError> {
        let desired: Option<i64> =
            sqlx::query_scalar("SELECT desired_generation FROM hosts WHERE host = ?1")
                .bind(host.as_str())
                .fetch_optional(&self.read)
                .await?;
        Ok(desired.map(|desired| Generation(unsigned(desired))))
    }

    /// What a host says that it is; nothing of one that is not known.
    pub async fn host_labels(&self, host: &HostId) -> Result<HostLabels, StoreError> {
        let mut connection = self.read.acquire().await?;
        let traits = traits(&mut connection, host).await?;
        Ok(traits.map(|(labels, _)| labels).unwrap_or_default())
    }
}

async fn traits(
    connection: &mut sqlx::SqliteConnection,
    host: &HostId,
) -> Result<Option<(HostLabels, bool)>, StoreError> {
    let row: Option<(String, bool)> =
        sqlx::query_as("SELECT labels, watches_shadows FROM hosts WHERE host = ?1")
            .bind(host.as_str())
            .fetch_optional(connection)
            .await?;
    let Some((labels, watches)) = row else {
        return Ok(None);
    };
    let labels = unlist::<Label>("host", &labels)?.into_iter().collect();
    Ok(Some((labels, watches)))
}
