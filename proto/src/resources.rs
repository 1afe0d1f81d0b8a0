//! A host's state as resources: what differs between two of them, what comes of a difference, and one digest over all. The one
//! place where both ends take a state apart and put it together. The bytes of a resource count as they came: a field that one end
//! does not know stays in them. Decides nothing, and never yields a state that is not the one that was meant.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use stayhand_guardrail::{
    host::HostState,
    id::Generation,
    resource::{ResourceError, StateDigest},
    time::UnixMs,
};

use crate::{
    convert::{Invalid, resource},
    limits::STATE_ITEMS_MAX,
    message::{Delivery, Resource},
    v1,
};

/// Policies that are enforced.
pub const POLICIES: &str = "policies";
/// Revisions that are only watched.
pub const SHADOWS: &str = "shadows";
/// Grants.
pub const LEASES: &str = "leases";
/// Answers to holds.
pub const ANSWERS: &str = "answers";
/// Flags that are set.
pub const FLAGS: &str = "flags";
/// Of the host, each by its name; one that it does not know it keeps, and does nothing with.
pub const SETTINGS: &str = "settings";
/// For how long leases count after a proof.
const FRESHNESS: &str = "freshness";

/// What a host holds, without the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(pub BTreeMap<String, StateDigest>);

impl Versions {
    /// Over all of them.
    pub fn digest(&self) -> StateDigest {
        StateDigest::of_all(self.0.iter().map(|(name, one)| (name.as_str(), one)))
    }
}

/// Why a delivery is not taken. What the host holds stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It begins elsewhere
    #[error("it begins at generation {from}, and this host holds {held}")]
    Gap {
        /// Where it begins
        from: Generation,
        /// Where the host is
        held: Generation,
    },
    /// Something else comes of it
    #[error("its digest is {meant}, and {found} comes of it")]
    Digest {
        /// As the control plane says
        meant: StateDigest,
        /// As it is
        found: StateDigest,
    },
}

/// Resources of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    bodies: BTreeMap<String, Vec<u8>>,
    versions: Versions,
}

impl Resources {
    /// Takes a state apart. Its generation and the times at which it was sent are no part of them.
    pub fn of(state: HostState) -> Self {
        let mut all = Self::default();
        let v1::HostState {
            generation: _,
            policies,
            leases,
            answers,
            flags,
            shadows,
            freshness,
        } = state.into();
        for (collection, sources) in [(POLICIES, policies), (SHADOWS, shadows)] {
            for one in sources {
                all.put(name(collection, &one.name), one.encode_to_vec());
            }
        }
        for one in leases {
            all.put(name(LEASES, &one.grant), one.encode_to_vec());
        }
        for one in answers {
            all.put(name(ANSWERS, &one.hold), one.encode_to_vec());
        }
        for one in flags {
            all.put(name(FLAGS, &one.flag), one.encode_to_vec());
        }
        if let Some(one) = freshness {
            all.put(name(SETTINGS, FRESHNESS), one.encode_to_vec());
        }
        all
    }

    fn put(&mut self, name: String, body: Vec<u8>) {
        let digest = StateDigest::of_body(&body);
        self.versions.0.insert(name.clone(), digest);
        self.bodies.insert(name, body);
    }

    /// Each with the digest of its bytes.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Over all of them.
    pub fn digest(&self) -> StateDigest {
        self.versions.digest()
    }

    /// What makes these of what somebody holds at a generation; everything, for whom nobody knows.
    pub fn after(&self, held: Option<(Generation, &Versions)>, to: Generation) -> Delivery {
        let nothing = Versions::default();
        let known = held.map_or(&nothing, |(_, versions)| versions);
        let differs = |name: &String| known.0.get(name) != self.versions.0.get(name);
        let upserted = self.bodies.iter().filter(|(name, _)| differs(name));
        let removed = known.0.keys();
        Delivery {
            nonce: 0,
            from: held.map(|(from, _)| from),
            to,
            upserted: upserted
                .map(|(name, body)| Resource {
                    name: name.clone(),
                    body: body.clone(),
                })
                .collect(),
            removed: removed
                .filter(|name| !self.bodies.contains_key(*name))
                .cloned()
                .collect(),
            digest_after: self.digest(),
        }
    }

    /// What comes of a delivery for whom holds these at a generation, if it is exactly what was meant.
    pub fn taking(&self, held: Generation, delivery: Delivery) -> Result<Self, Misfit> {
        let mut next = match delivery.from {
            None => Self::default(),
            Some(from) if from == held => self.clone(),
            Some(from) => return Err(Misfit::Gap { from, held }),
        };
        for name in &delivery.removed {
            next.bodies.remove(name);
            next.versions.0.remove(name);
        }
        for Resource { name, body } in delivery.upserted {
            next.put(name, body);
        }
        let (meant, found) = (delivery.digest_after, next.digest());
        if meant == found {
            Ok(next)
        } else {
            Err(Misfit::Digest { meant, found })
        }
    }

    /// The state that they are. What is of no known collection says nothing here.
    pub fn state(
        &self,
        generation: Generation,
        server_time: UnixMs,
    ) -> Result<HostState, Vec<ResourceError>> {
        let mut state = HostState {
            generation,
            digest: Some(self.digest()),
            ..HostState::default()
        };
        if self.bodies.len() > STATE_ITEMS_MAX {
            return Err(vec![ResourceError {
                name: String::new(),
                reason: format!(
                    "there are {} resources, more than the {STATE_ITEMS_MAX} of one host",
                    self.bodies.len()
                ),
            }]);
        }
        let errors: Vec<ResourceError> = self
            .bodies
            .iter()
            .filter_map(|(name, body)| {
                let invalid = read(&mut state, name, body, server_time).err()?;
                Some(ResourceError {
                    name: name.clone(),
                    reason: invalid.to_string(),
                })
            })
            .collect();
        if errors.is_empty() {
            Ok(state)
        } else {
            Err(errors)
        }
    }

    /// Names of one collection, without it.
    pub fn names_in<'a>(versions: &'a Versions, collection: &str) -> BTreeSet<&'a str> {
        let names = versions.0.keys();
        names
            .filter_map(|one| one.split_once('/').filter(|(of, _)| *of == collection))
            .map(|(_, name)| name)
            .collect()
    }
}

/// How a resource is called.
pub fn name(collection: &str, id: &str) -> String {
    format!("{collection}/{id}")
}

fn read(
    state: &mut HostState,
    whole: &str,
    body: &[u8],
    server_time: UnixMs,
) -> Result<(), Invalid> {
    let Some((collection, id)) = whole.split_once('/') else {
        return Ok(());
    };
    let own = match collection {
        POLICIES | SHADOWS => {
            let one: v1::PolicySource = decode(body)?;
            let own = one.name.clone();
            let into = if collection == POLICIES {
                &mut state.policies
            } else {
                &mut state.shadows
            };
            into.push(one.try_into()?);
            own
        }
        LEASES => {
            let one: v1::Lease = decode(body)?;
            let own = one.grant.clone();
            state.leases.push(resource::lease(one, server_time)?);
            own
        }
        ANSWERS => {
            let one: v1::HoldAnswer = decode(body)?;
            let own = one.hold.clone();
            state.answers.push(one.try_into()?);
            own
        }
        FLAGS => {
            let one: v1::SetFlag = decode(body)?;
            let own = one.flag.clone();
            let (flag, until) = resource::flag(one)?;
            state.flags.insert(flag, until);
            own
        }
        SETTINGS if id == FRESHNESS => {
            state.fresh_for = Some(resource::fresh_for(decode(body)?)?);
            return Ok(());
        }
        _ => return Ok(()),
    };
    // Two of one name would otherwise come in under two.
    if own == id {
        Ok(())
    } else {
        Err(Invalid::new(
            "name",
            "is another one than the document's own",
        ))
    }
}

fn decode<W: prost::Message + Default>(body: &[u8]) -> Result<W, Invalid> {
    W::decode(body).map_err(|error| Invalid::new("body", error))
}

#[cfg(test)]
mod tests;
