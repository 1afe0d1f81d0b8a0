//! From policy sources to an image, or every reason why not. Pure.

use std::sync::Arc;

use stayhand_guardrail::{
    host::{HostState, PolicyRevision},
    image::Image,
    policy::{self, Versioned},
    text::cut,
};
use stayhand_proto::limits::SOURCES_BYTES_MAX;

/// Reasons that are reported: more is noise.
const REASONS_MAX: usize = 20;
/// Characters of one reason.
const REASON_CHARS_MAX: usize = 400;

/// A state whose policies can be enforced.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// As it came
    pub state: HostState,
    /// Its policies
    pub image: Arc<Image>,
}

/// Parses and compiles every policy of a state.
pub fn accept(state: HostState) -> Result<Accepted, Vec<String>> {
    let bytes: usize = state
        .policies
        .iter()
        .map(|policy| policy.source.len())
        .sum();
    if bytes > SOURCES_BYTES_MAX {
        return Err(vec![format!(
            "the policies have {bytes} bytes, more than the {SOURCES_BYTES_MAX} of one host"
        )]);
    }
    let mut reasons = Vec::new();
    let mut policies = Vec::new();
    for one in &state.policies {
        match parse(one) {
            Ok(policy) => policies.push(policy),
            Err(found) => reasons.extend(found),
        }
    }
    if !reasons.is_empty() {
        return Err(shown(reasons));
    }
    match policy::compile(&policies) {
        Ok(image) => Ok(Accepted {
            state,
            image: Arc::new(image),
        }),
        Err(errors) => Err(shown(errors.iter().map(ToString::to_string).collect())),
    }
}

fn parse(one: &PolicyRevision) -> Result<Versioned, Vec<String>> {
    let PolicyRevision {
        name,
        revision,
        source,
    } = one;
    let policy = policy::parse(source).map_err(|found| {
        found
            .iter()
            .map(|one| format!("policy {name}@{revision}:{one}"))
            .collect::<Vec<_>>()
    })?;
    if policy.name != *name {
        return Err(vec![format!(
            "policy {name}@{revision}: its document says that it is `{}`",
            policy.name
        )]);
    }
    Ok(Versioned {
        revision: *revision,
        policy,
    })
}

fn shown(mut reasons: Vec<String>) -> Vec<String> {
    let more = reasons.len().saturating_sub(REASONS_MAX);
    reasons.truncate(REASONS_MAX);
    let mut shown: Vec<String> = reasons
        .into_iter()
        .map(|reason| cut(reason, REASON_CHARS_MAX))
        .collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}
