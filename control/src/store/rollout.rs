//! Roll-outs, and which revision each host has while one runs.

use sqlx::FromRow;
use stayhand_guardrail::{
    host::PolicyRevision,
    id::{PolicyName, Revision},
    policy::{HostLabels, floor},
    rollout::{Phase, Rollout},
};
use stayhand_proto::codec;

use super::{
    Store, StoreError, StoredPolicy, Write, number,
    policy::{self, PolicyRow},
};

/// Every revision that some host is to have.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// What hosts have where no roll-out says otherwise, by name
    pub standing: Vec<StoredPolicy>,
    /// What is being rolled out
    pub rolling: Vec<(Rollout, StoredPolicy)>,
}

impl InForce {
    /// What a host with these labels enforces, and what it watches beside that.
    pub fn on(self, labels: &HostLabels) -> (Vec<PolicyRevision>, Vec<PolicyRevision>) {
        let Self {
            mut standing,
            rolling,
        } = self;
        let mut shadows = Vec::new();
        for (rollout, policy) in rolling {
            if rollout.phase() == Some(Phase::Monitor) {
                shadows.push(sent(policy));
            } else if rollout.revision_on(labels) == Some(policy.revision) {
                standing.retain(|one| one.name != policy.name);
                standing.push(policy);
            }
        }
        standing.sort_by(|a, b| a.name.cmp(&b.name));
        // Applied before hosts had floors: each of them would refuse the whole state for it.
        standing.retain(|one| !floor::is_floor(&one.name));
        (standing.into_iter().map(sent).collect(), shadows)
    }
}

fn sent(policy: StoredPolicy) -> PolicyRevision {
    PolicyRevision {
        name: policy.name,
        revision: policy.revision,
        source: policy.source,
    }
}

#[derive(FromRow)]
struct RolloutRow {
    body: Vec<u8>,
}

impl RolloutRow {
    fn read(self) -> Result<Rollout, StoreError> {
        codec::decode_rollout(&self.body).map_err(|problem| StoreError::corrupt("rollout", problem))
    }
}

impl Write<'_> {
    /// Every revision that some host is to have.
    pub async fn in_force(&mut self) -> Result<InForce, StoreError> {
        in_force(&mut self.tx).await
    }

    /// The roll-out of a policy that is not over.
    pub async fn open_rollout(
        &mut self,
        policy: &PolicyName,
    ) -> Result<Option<Rollout>, StoreError> {
        open_of(&mut self.tx, policy).await
    }

    /// Writes a roll-out, as a new one or as what became of one.
    pub async fn put_rollout(&mut self, rollout: &Rollout) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO rollouts (policy, revision, before, is_over, body) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (policy, revision) DO UPDATE SET is_over = excluded.is_over, body = excluded.body",
        )
        .bind(rollout.policy.as_str())
        .bind(number(rollout.revision.0)?)
        .bind(number(rollout.before.0)?)
        .bind(rollout.is_over())
        .bind(codec::encode_rollout(rollout.clone()))
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Every revision that some host is to have.
    pub async fn in_force(&self) -> Result<InForce, StoreError> {
        // One snapshot: a roll-out and its policy belong together.
        let mut snapshot = self.read.begin().await?;
        let found = in_force(&mut snapshot).await?;
        snapshot.commit().await?;
        Ok(found)
    }

    /// Roll-outs that are not over, by policy.
    pub async fn open_rollouts(&self) -> Result<Vec<Rollout>, StoreError> {
        open(&mut *self.read.acquire().await?).await
    }

    /// How a revision came to the hosts; none where all got it at once.
    pub async fn rollout(
        &self,
        policy: &PolicyName,
        revision: Revision,
    ) -> Result<Option<Rollout>, StoreError> {
        let row: Option<RolloutRow> =
            sqlx::query_as("SELECT body FROM rollouts WHERE policy = ?1 AND revision = ?2")
                .bind(policy.as_str())
                .bind(number(revision.0)?)
                .fetch_optional(&self.read)
                .await?;
        row.map(RolloutRow::read).transpose()
    }

    /// The roll-out of a policy that is not over.
    pub async fn open_rollout(&self, policy: &PolicyName) -> Result<Option<Rollout>, StoreError> {
        open_of(&mut *self.read.acquire().await?, policy).await
    }
}

/// For the desired state of a host, too.
pub(super) async fn in_force(
    connection: &mut sqlx::SqliteConnection,
) -> Result<InForce, StoreError> {
    let standing: Vec<PolicyRow> = sqlx::query_as(
        "SELECT p.* FROM policies AS p LEFT JOIN rollouts AS r ON r.policy = p.name AND r.is_over = 0
         WHERE p.revision = CASE WHEN r.policy IS NULL
             THEN (SELECT max(revision) FROM policies WHERE name = p.name) ELSE r.before END
           AND p.source <> ''
         ORDER BY p.name",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut rolling = Vec::new();
    for rollout in open(&mut *connection).await? {
        if !rollout.is_running() {
            continue;
        }
        let (name, revision) = (&rollout.policy, Some(rollout.revision));
        let stored = policy::one(&mut *connection, name, revision).await?;
        let stored = stored.ok_or_else(|| StoreError::corrupt("rollout", "its policy is gone"))?;
        rolling.push((rollout, stored));
    }
    Ok(InForce {
        standing: standing
            .into_iter()
            .map(PolicyRow::read)
            .collect::<Result<_, _>>()?,
        rolling,
    })
}

async fn open(connection: &mut sqlx::SqliteConnection) -> Result<Vec<Rollout>, StoreError> {
    let rows: Vec<RolloutRow> =
        sqlx::query_as("SELECT body FROM rollouts WHERE is_over = 0 ORDER BY policy")
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(RolloutRow::read).collect()
}

async fn open_of(
    connection: &mut sqlx::SqliteConnection,
    policy: &PolicyName,
) -> Result<Option<Rollout>, StoreError> {
    let row: Option<RolloutRow> =
        sqlx::query_as("SELECT body FROM rollouts WHERE policy = ?1 AND is_over = 0")
            .bind(policy.as_str())
            .fetch_optional(connection)
            .await?;
    row.map(RolloutRow::read).transpose()
}
