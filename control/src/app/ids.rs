//! From what people type to one object: a resource name, an id, or a unique prefix of one.

use stayhand_guardrail::{
    id::{GrantId, HoldId},
    limits::REASON_BYTES_MAX,
    prefix::{IdPrefix, PrefixError},
};
use stayhand_proto::convert::name;

use super::{App, Error};
use crate::limits::CANDIDATES;

impl App {
    /// The grant that `text` names.
    pub async fn grant_id(&self, text: &str) -> Result<GrantId, Error> {
        let failed = |error| Error::Prefix {
            kind: "grant",
            error,
        };
        let prefix = IdPrefix::parse(name::bare(name::GRANTS, text)).map_err(failed)?;
        let found = self.store().grant_ids(&prefix, CANDIDATES).await?;
        unique(&prefix, found).map_err(failed)
    }

    /// The hold that `text` names.
    pub async fn hold_id(&self, text: &str) -> Result<HoldId, Error> {
        let failed = |error| Error::Prefix {
            kind: "hold",
            error,
        };
        let prefix = IdPrefix::parse(name::bare(name::HOLDS, text)).map_err(failed)?;
        let found = self.store().hold_ids(&prefix, CANDIDATES).await?;
        unique(&prefix, found).map_err(failed)
    }
}

fn unique<I: std::fmt::Display>(prefix: &IdPrefix, found: Vec<I>) -> Result<I, PrefixError> {
    prefix.resolve(found)
}

/// A reason that somebody gives.
pub(super) fn reason(text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::field(
            "reason",
            "is missing; say why, for whoever reads the record later",
        ));
    }
    if text.len() > REASON_BYTES_MAX {
        let problem = format!(
            "has {} bytes, more than the {REASON_BYTES_MAX} that are allowed",
            text.len()
        );
        return Err(Error::field("reason", problem));
    }
    Ok(())
}
