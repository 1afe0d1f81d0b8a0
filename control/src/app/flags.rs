//! Flags: what is said of the world for a while. A flag always has an end, which needs nobody: hosts are told when it is.

use stayhand_guardrail::{
    event::FlagChanged,
    id::FlagName,
    limits::{FLAG_MAX, FLAGS_MAX},
    time::DurationMs,
};

use super::{App, Error, ids};
use crate::{
    authz::{Action, Resource},
    operator::Operator,
    store::StoredFlag,
};

impl App {
    /// Sets a flag for so long from now, also one that is set already.
    pub async fn set_flag(
        &self,
        operator: &Operator,
        name: FlagName,
        ttl: DurationMs,
        reason: String,
    ) -> Result<StoredFlag, Error> {
        let resource = Resource::Flag { name: name.clone() };
        self.allows(operator, Action::FlagSet, &resource)?;
        ids::reason(&reason)?;
        if ttl.0 == 0 || ttl > FLAG_MAX {
            let problem = format!("a flag is set for up to {FLAG_MAX}, not for {ttl}");
            return Err(Error::field("ttl", problem));
        }
        let mut write = self.store().begin().await?;
        let now = self.now();
        let standing = write.drop_ended_flags(now).await?;
        if standing.len() >= FLAGS_MAX && standing.iter().all(|one| one.name != name) {
            return Err(Error::TooManyFlags(FLAGS_MAX));
        }
        let flag = StoredFlag {
            name,
            until: now.plus(ttl),
            set_by: operator.user().clone(),
            reason,
            set_time: now,
        };
        write.set_flag(&flag).await?;
        write.publish(None).await?;
        write.commit().await?;
        tracing::info!(flag = %flag.name, until = %flag.until, by = %flag.set_by, "flag set");
        Ok(flag)
    }

    /// Takes a flag away before its end.
    pub async fn clear_flag(
        &self,
        operator: &Operator,
        flag: FlagName,
        reason: String,
    ) -> Result<(), Error> {
        let resource = Resource::Flag { name: flag.clone() };
        self.allows(operator, Action::FlagClear, &resource)?;
        ids::reason(&reason)?;
        let mut write = self.store().begin().await?;
        let now = self.now();
        let standing = write.drop_ended_flags(now).await?;
        if standing.iter().all(|one| one.name != flag) {
            return Err(Error::UnknownFlag(flag));
        }
        let record = FlagChanged {
            flag: flag.clone(),
            until: None,
            by: operator.user().clone(),
            reason,
        };
        write.clear_flag(record, now).await?;
        write.publish(None).await?;
        write.commit().await?;
        tracing::info!(%flag, by = %operator.user(), "flag cleared");
        Ok(())
    }

    /// Flags that are set, by name.
    pub async fn flag_list(&self, operator: &Operator) -> Result<Vec<StoredFlag>, Error> {
        self.allows(operator, Action::FlagList, &Resource::Control)?;
        Ok(self.store().flags(self.now()).await?)
    }
}
