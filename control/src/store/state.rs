//! Desired states of hosts, read for all who ask at once from one snapshot of the store: what is the same for every host is read
//! once, whether one host asks or all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use sqlx::{FromRow, SqliteConnection, SqlitePool};
use stayhand_guardrail::{
    host::{HoldAnswer, HostState},
    id::{Generation, HostId, UserName},
    lock::Lock,
    policy::{Flags, HostLabels, Label},
    time::{DurationMs, UnixMs},
};

use super::{
    InForce, Store, StoreError, StoredGrant, flag, freshness::History, gather::Gather, grant, hold,
    list, locks, rollout, unlist, unsigned,
};

/// Hosts that are looked up together: a fleet of common size. What is found of one is some hundred bytes and what all share, so
/// that long policies are not there once for each.
const TOGETHER_MAX: usize = 8_192;
/// How long a host that only looks whether it missed something waits for others who do.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A host that asks.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    host: HostId,
    /// What it was sent last, or enforces
    has: Generation,
    now: UnixMs,
}

/// Hosts that ask.
#[derive(Debug)]
pub(super) struct States {
    /// Because something changed
    soon: Gather<Asked, Answer>,
    /// Because some time has passed
    seldom: Gather<Asked, Answer>,
}

/// What a look at the store finds for a host.
#[derive(Clone, Debug)]
pub enum Looked<S = HostState> {
    /// Nobody knows the host
    Unknown,
    /// What it has is what it should have
    Same,
    /// It should have this
    Another(S),
}

type Answer = Result<Looked<Found>, StoreError>;

impl States {
    /// Nobody has asked yet. Nobody waits for time where that is simulated.
    pub(super) fn new(is_simulated: bool) -> Self {
        let pause = if is_simulated {
            Duration::ZERO
        } else {
            LOOK_PAUSE
        };
        Self {
            soon: Gather::new(Duration::ZERO, TOGETHER_MAX),
            seldom: Gather::new(pause, TOGETHER_MAX),
        }
    }
}

impl Store {
    /// The desired state of a host, all of it from one snapshot of the store that is made after this is asked.
    pub async fn host_state(
        &self,
        host: &HostId,
        has: Generation,
        now: UnixMs,
        urgent: bool,
    ) -> Result<Looked, StoreError> {
        let gather = if urgent {
            &self.states.soon
        } else {
            &self.states.seldom
        };
        let asked = Asked {
            host: host.clone(),
            has,
            now,
        };
        let pool = self.read.clone();
        let read = gather.ask(asked.clone(), move |all| {
            let pool = pool.clone();
            async move { each(&pool, all).await }
        });
        let found = read.await.unwrap_or(Err(StoreError::BrokeOff))?;
        // Here, where every host's stream is a task of its own.
        Ok(match found {
            Looked::Unknown => Looked::Unknown,
            Looked::Same => Looked::Same,
            Looked::Another(found) => Looked::Another(found.state(&asked)?),
        })
    }
}

/// What cannot be read for one host keeps no other from its state.
async fn each(pool: &SqlitePool, all: Vec<Asked>) -> Vec<Answer> {
    match together(pool, &all).await {
        Ok(states) => states.into_iter().map(Ok).collect(),
        Err(error) if all.len() == 1 => vec![Err(error)],
        Err(_) => {
            let mut states = Vec::with_capacity(all.len());
            for one in all {
                let read = together(pool, std::slice::from_ref(&one)).await;
                states.push(read.map(|mut states| states.pop().unwrap_or(Looked::Unknown)));
            }
            states
        }
    }
}

#[derive(Clone, FromRow)]
struct Row {
    host: String,
    desired_generation: i64,
    labels: String,
    watches_shadows: bool,
}

/// What is the same for every host.
struct Shared {
    in_force: InForce,
    grants: Vec<StoredGrant>,
    flags: Flags,
    /// Whose grants and approvals do not count, and where
    locks: Vec<Lock>,
    fresh_for: Option<DurationMs>,
    /// Hosts that have answers
    answered: BTreeSet<String>,
}

/// What is to be sent to one host, before it is put together.
struct Found {
    row: Row,
    shared: Arc<Shared>,
    answers: Vec<HoldAnswer>,
}

async fn together(pool: &SqlitePool, all: &[Asked]) -> Result<Vec<Looked<Found>>, StoreError> {
    let mut snapshot = pool.begin().await?;
    let names: Vec<&str> = all.iter().map(|one| one.host.as_str()).collect();
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT host, desired_generation, labels, watches_shadows FROM hosts
         WHERE host IN (SELECT value FROM json_each(?1))",
    )
    .bind(list(&names))
    .fetch_all(&mut *snapshot)
    .await?;
    let rows: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.host.as_str(), row)).collect();
    let mut shared_by_all = None;
    let mut found = Vec::with_capacity(all.len());
    for one in all {
        let Some(row) = rows.get(one.host.as_str()).copied() else {
            found.push(Looked::Unknown);
            continue;
        };
        // Most of the time nobody is to have anything else.
        if row.generation() == one.has {
            found.push(Looked::Same);
            continue;
        }
        let shared = if let Some(shared) = &shared_by_all {
            Arc::clone(shared)
        } else {
            let first = all.iter().map(|one| one.now).min().unwrap_or_default();
            let read = Arc::new(read_shared(&mut snapshot, first).await?);
            Arc::clone(shared_by_all.insert(read))
        };
        let answers = if shared.answered.contains(&row.host) {
            hold::answers(&mut snapshot, &one.host, &shared.locks).await?
        } else {
            vec![]
        };
        found.push(Looked::Another(Found {
            row: row.clone(),
            shared,
            answers,
        }));
    }
    snapshot.commit().await?;
    Ok(found)
}

async fn read_shared(snapshot: &mut SqliteConnection, now: UnixMs) -> Result<Shared, StoreError> {
    let answered: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT host FROM hold_answers WHERE is_done = 0")
            .fetch_all(&mut *snapshot)
            .await?;
    Ok(Shared {
        in_force: rollout::in_force(&mut *snapshot).await?,
        grants: grant::active(&mut *snapshot, now).await?,
        flags: flag::told(&mut *snapshot, now).await?,
        locks: locks::standing(&mut *snapshot).await?,
        fresh_for: History::read(&mut *snapshot).await?.now(),
        answered: answered.into_iter().collect(),
    })
}

impl Row {
    fn generation(&self) -> Generation {
        Generation(unsigned(self.desired_generation))
    }
}

/// Whose grants do not count on one host.
#[derive(Default)]
struct Locked<'a> {
    everybody: bool,
    users: BTreeSet<&'a UserName>,
}

impl<'a> Locked<'a> {
    fn on(host: &HostId, locks: &'a [Lock]) -> Self {
        let mut locked = Self::default();
        for Lock { target, .. } in locks {
            if target.host().is_none_or(|own| own == host) {
                locked.everybody |= target.user().is_none();
                locked.users.extend(target.user());
            }
        }
        locked
    }

    fn covers(&self, user: &UserName) -> bool {
        self.everybody || self.users.contains(user)
    }
}

impl Found {
    fn state(self, asked: &Asked) -> Result<HostState, StoreError> {
        let Self {
            row,
            shared,
            answers,
        } = self;
        let labels: HostLabels = unlist::<Label>("host", &row.labels)?.into_iter().collect();
        let (policies, shadows) = shared.in_force.clone().on(&labels);
        let locked = Locked::on(&asked.host, &shared.locks);
        let leases = shared.grants.iter();
        let leases = leases.filter_map(|grant| grant.grant.lease(&asked.host, asked.now));
        let leases = leases.filter(|lease| !locked.covers(&lease.user));
        let flags = shared.flags.iter().filter(|(_, until)| **until > asked.now);
        Ok(HostState {
            generation: row.generation(),
            policies,
            leases: leases.collect(),
            answers,
            flags: flags.map(|(flag, until)| (flag.clone(), *until)).collect(),
            // An agent that does not know them would have to carry them for nothing.
            shadows: if row.watches_shadows { shadows } else { vec![] },
            fresh_for: shared.fresh_for,
            digest: None,
        })
    }
}
