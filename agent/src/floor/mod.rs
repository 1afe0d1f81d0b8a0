//! The host's own floor: policies in a directory of this host, which the control plane can neither change nor loosen.
//!
//! Read once, at the start; what they may say is [`stayhand_guardrail::policy::floor`]'s. A floor that cannot be read
//! never becomes no floor: the last good one counts, and that is said. Never writes to the directory.

mod keep;
mod read;
#[cfg(test)]
mod tests;

pub use keep::settle;
pub use read::{FloorError, sources, sources_if_there};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stayhand_guardrail::{
    id::{Revision, UserName},
    policy::{self, Policy, Versioned, case, compile, floor},
};

/// Where it is looked for if nothing else is said.
pub const DIRECTORY: &str = "/etc/stayhand/floor";
/// Policies of one floor: they take from the 64 that a host has.
pub const DOCUMENTS_MAX: usize = 16;
/// What a policy of the floor has for a revision: nobody counts what is on a host.
const REVISION: Revision = Revision(0);

/// One file of the floor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name
    pub file: String,
    /// The YAML document, byte for byte
    pub text: String,
}

/// The floor of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    policies: Vec<Versioned>,
    sources: Vec<Source>,
    /// Users that other policies may name as services; any where it is none
    services: Option<Vec<UserName>>,
}

impl Floor {
    /// Parses the documents; every reason why not, where one is wrong.
    pub fn parse(sources: Vec<Source>) -> Result<Self, FloorError> {
        let mut wrong = Vec::new();
        let mut policies: Vec<Versioned> = Vec::new();
        for source in &sources {
            match one(source) {
                Ok(policy) => policies.push(policy),
                Err(found) => wrong.extend(found),
            }
        }
        if wrong.is_empty()
            && let Err(errors) = compile(&policies)
        {
            wrong.extend(errors.iter().map(ToString::to_string));
        }
        if wrong.is_empty() {
            Ok(Self {
                policies,
                sources,
                services: None,
            })
        } else {
            Err(FloorError::Wrong(wrong))
        }
    }

    /// With those users only as services of other policies. What a service starts is the service, also where it logs people in,
    /// so that a control plane could make somebody whom the floor denies something a service that it allows it.
    #[must_use]
    pub fn with_services(self, services: Option<Vec<UserName>>) -> Self {
        Self { services, ..self }
    }

    /// Why a policy that is not the floor's cannot count here.
    pub fn refuses(&self, policy: &Policy) -> Option<String> {
        let allowed = self.services.as_ref()?;
        let mut named = policy.subjects.services.iter();
        let other = named.find(|one| !allowed.contains(one))?;
        Some(format!(
            "policy {}: `{other}` is no service on this host; `floor.services` in its agent's configuration has those that are",
            policy.name
        ))
    }

    /// The policies, of whatever hosts they are meant for.
    pub fn policies(&self) -> &[Versioned] {
        &self.policies
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// `floor.base sha256:0123456789abcdef`, each: which document it is, for who compares hosts.
    pub fn shown(&self) -> Vec<String> {
        let each = self.policies.iter().zip(&self.sources);
        each.map(|(one, source)| {
            let digest = Sha256::digest(&source.text);
            // Enough to tell two floors of one fleet apart.
            let begins = digest
                .first_chunk()
                .map_or(0, |one| u64::from_be_bytes(*one));
            format!("{} sha256:{begins:016x}", one.policy.name)
        })
        .collect()
    }
}

fn one(source: &Source) -> Result<Versioned, Vec<String>> {
    let file = &source.file;
    let shown = |found: &[policy::Diagnostic]| -> Vec<String> {
        found.iter().map(|one| format!("{file}:{one}")).collect()
    };
    let policy = policy::parse(&source.text).map_err(|found| shown(&found))?;
    if !floor::is_floor(&policy.name) {
        return Err(vec![format!(
            "{file}: a policy of the floor has a name that begins with `{}`, such as `{}{}`",
            floor::PREFIX,
            floor::PREFIX,
            policy.name
        )]);
    }
    let (failed, findings) = case::alone(&policy);
    if failed != 0 {
        return Err(shown(&findings));
    }
    Ok(Versioned {
        revision: REVISION,
        policy,
    })
}
