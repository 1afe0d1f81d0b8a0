//! What is sent of a host's state, and what the host holds of it. Whether it fits is no question of conversions.

use stayhand_guardrail::{
    host::Answer,
    id::Generation,
    resource::{ResourceError, StateDigest},
};

use super::{
    Invalid,
    invalid::inside,
    scalar::{bounded, ids, text, texts},
};
use crate::{
    limits::{HELD_RESOURCES_MAX, ITEMS_MAX, STATE_ITEMS_MAX},
    message::{Delivery, Held, Misfitting, Relist, Resource, Withdrawal},
    resources::Versions,
    v1,
};

/// Empty where there is none.
pub(super) fn sent_digest(digest: Option<StateDigest>) -> Vec<u8> {
    digest.map(|one| one.0.to_vec()).unwrap_or_default()
}

/// None where it is empty.
pub(super) fn digest(field: &str, wire: &[u8]) -> Result<Option<StateDigest>, Invalid> {
    if wire.is_empty() {
        return Ok(None);
    }
    some_digest(field, wire).map(Some)
}

fn some_digest(field: &str, wire: &[u8]) -> Result<StateDigest, Invalid> {
    StateDigest::from_slice(wire).ok_or_else(|| {
        Invalid::new(
            field,
            format!("has {} bytes, and SHA-256 has 32", wire.len()),
        )
    })
}

impl From<Delivery> for v1::Delivery {
    fn from(delivery: Delivery) -> Self {
        let Delivery {
            nonce,
            from,
            to,
            upserted,
            removed,
            digest_after,
        } = delivery;
        let one = |Resource { name, body }| v1::Resource { name, body };
        Self {
            nonce,
            from_generation: from.unwrap_or_default().0,
            to_generation: to.0,
            whole: from.is_none(),
            upserted: upserted.into_iter().map(one).collect(),
            removed,
            digest_after: digest_after.0.to_vec(),
        }
    }
}

impl TryFrom<v1::Delivery> for Delivery {
    type Error = Invalid;
    fn try_from(wire: v1::Delivery) -> Result<Self, Invalid> {
        let v1::Delivery {
            nonce,
            from_generation,
            to_generation,
            whole,
            upserted,
            removed,
            digest_after,
        } = wire;
        let upserted = bounded("upserted", upserted, STATE_ITEMS_MAX)?.into_iter();
        Ok(Self {
            nonce,
            from: (!whole).then_some(Generation(from_generation)),
            to: Generation(to_generation),
            upserted: upserted
                .map(|v1::Resource { name, body }| {
                    let name = text("upserted.name", name)?;
                    Ok(Resource { name, body })
                })
                .collect::<Result<_, Invalid>>()?,
            removed: bounded("removed", removed, STATE_ITEMS_MAX)?,
            digest_after: some_digest("digest_after", &digest_after)?,
        })
    }
}

impl From<Withdrawal> for v1::Withdrawal {
    fn from(withdrawal: Withdrawal) -> Self {
        let Withdrawal {
            generation,
            grants,
            refusals,
        } = withdrawal;
        Self {
            generation: generation.0,
            grants: grants.iter().map(ToString::to_string).collect(),
            refusals: refusals.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Withdrawal> for Withdrawal {
    type Error = Invalid;
    fn try_from(wire: v1::Withdrawal) -> Result<Self, Invalid> {
        let v1::Withdrawal {
            generation,
            grants,
            refusals,
        } = wire;
        let refusals = bounded("refusals", refusals, ITEMS_MAX)?.into_iter();
        let refusals: Vec<stayhand_guardrail::host::HoldAnswer> = refusals
            .map(|one| inside("refusals", one.try_into()))
            .collect::<Result<_, _>>()?;
        if refusals.iter().any(|one| one.answer != Answer::Refused) {
            return Err(Invalid::new("refusals", "has an approval"));
        }
        Ok(Self {
            generation: Generation(generation),
            grants: ids("grants", bounded("grants", grants, ITEMS_MAX)?)?,
            refusals,
        })
    }
}

impl From<Relist> for v1::Relist {
    fn from(relist: Relist) -> Self {
        let Relist {
            nonce,
            why,
            held_generation,
            held_digest,
        } = relist;
        let reason = match why {
            Misfitting::Gap => v1::RelistReason::Gap,
            Misfitting::Digest => v1::RelistReason::Digest,
        };
        Self {
            nonce,
            reason: reason.into(),
            held_generation: held_generation.0,
            held_digest: held_digest.0.to_vec(),
        }
    }
}

impl TryFrom<v1::Relist> for Relist {
    type Error = Invalid;
    fn try_from(wire: v1::Relist) -> Result<Self, Invalid> {
        let v1::Relist {
            nonce,
            reason,
            held_generation,
            held_digest,
        } = wire;
        Ok(Self {
            nonce,
            // Whatever a newer agent gives as its reason: it asks for everything.
            why: match v1::RelistReason::try_from(reason) {
                Ok(v1::RelistReason::Digest) => Misfitting::Digest,
                Ok(v1::RelistReason::Gap | v1::RelistReason::Unspecified) | Err(_) => {
                    Misfitting::Gap
                }
            },
            held_generation: Generation(held_generation),
            held_digest: some_digest("held_digest", &held_digest)?,
        })
    }
}

impl From<Held> for v1::Held {
    fn from(held: Held) -> Self {
        let one = |(name, digest): (String, StateDigest)| v1::ResourceVersion {
            name,
            digest: digest.0.to_vec(),
        };
        Self {
            generation: held.generation.0,
            resources: held.versions.0.into_iter().map(one).collect(),
        }
    }
}

impl TryFrom<v1::Held> for Held {
    type Error = Invalid;
    fn try_from(wire: v1::Held) -> Result<Self, Invalid> {
        let v1::Held {
            generation,
            resources,
        } = wire;
        let resources = bounded("resources", resources, HELD_RESOURCES_MAX)?.into_iter();
        let versions = resources.map(|v1::ResourceVersion { name, digest }| {
            Ok((text("name", name)?, some_digest("digest", &digest)?))
        });
        Ok(Self {
            generation: Generation(generation),
            versions: Versions(versions.collect::<Result<_, Invalid>>()?),
        })
    }
}

/// As they travel.
pub(super) fn sent_errors(errors: Vec<ResourceError>) -> Vec<v1::ResourceError> {
    let one = |ResourceError { name, reason }| v1::ResourceError { name, reason };
    errors.into_iter().map(one).collect()
}

pub(super) fn errors(wire: Vec<v1::ResourceError>) -> Result<Vec<ResourceError>, Invalid> {
    let wire = bounded("errors", wire, ITEMS_MAX)?;
    let (names, reasons): (Vec<_>, Vec<_>) =
        wire.into_iter().map(|one| (one.name, one.reason)).unzip();
    let (names, reasons) = (
        texts("errors.name", names)?,
        texts("errors.reason", reasons)?,
    );
    let both = names.into_iter().zip(reasons);
    Ok(both
        .map(|(name, reason)| ResourceError { name, reason })
        .collect())
}
