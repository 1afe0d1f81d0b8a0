//! From policy sources to an image, or every reason why not. Pure.

use std::sync::Arc;

use stayhand_guardrail::{
    host::{HostState, PolicyRevision},
    id::PolicyName,
    image::Image,
    policy::{self, HostLabels, Versioned},
    resource::ResourceError,
    text::cut,
};
use stayhand_proto::{limits::SOURCES_BYTES_MAX, resources};

use crate::floor::Floor;

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

/// Why a state cannot be enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Every reason, or the first of many
    pub reasons: Vec<String>,
    /// Those that are about one resource
    pub errors: Vec<ResourceError>,
}

impl Refused {
    pub(super) fn because(reason: String) -> Self {
        Self {
            reasons: vec![reason],
            errors: vec![],
        }
    }

    fn of(&mut self, collection: &str, policy: &PolicyName, reasons: Vec<String>) {
        self.errors
            .extend(reasons.iter().map(|reason| ResourceError {
                name: resources::name(collection, policy.as_str()),
                reason: cut(reason.clone(), REASON_CHARS_MAX),
            }));
        self.reasons.extend(reasons);
    }

    fn bounded(mut self) -> Self {
        self.errors.truncate(REASONS_MAX);
        self.reasons = shown(self.reasons);
        self
    }
}

/// Parses every policy of a state and compiles those that count on a host with these labels, beside the host's own `floor`,
/// and beside them those that are only watched. One that does not count here has to be readable all the same: what it says of
/// hosts is part of it.
pub fn accept(state: HostState, labels: &HostLabels, floor: &Floor) -> Result<Accepted, Refused> {
    let sources = state.policies.iter().chain(&state.shadows);
    let bytes: usize = sources.map(|policy| policy.source.len()).sum();
    if bytes > SOURCES_BYTES_MAX {
        return Err(Refused::because(format!(
            "the policies have {bytes} bytes, more than the {SOURCES_BYTES_MAX} of one host"
        )));
    }
    let mut refused = Refused::default();
    let mut counting = |collection: &str, sources: &[PolicyRevision]| {
        let mut policies = Vec::new();
        for source in sources {
            match parse(source) {
                Ok(one) => match floor.refuses(&one.policy) {
                    Some(reason) if one.policy.hosts.selects(labels) => {
                        refused.of(collection, &source.name, vec![reason]);
                    }
                    _ => policies.push(one),
                },
                Err(found) => refused.of(collection, &source.name, found),
            }
        }
        policies.retain(|one| one.policy.hosts.selects(labels));
        policies
    };
    let mut policies = counting(resources::POLICIES, &state.policies);
    let shadows = counting(resources::SHADOWS, &state.shadows);
    if !refused.reasons.is_empty() {
        return Err(refused.bounded());
    }
    let own = floor.policies().iter();
    let own = own.filter(|one| one.policy.hosts.selects(labels));
    policies.extend(own.cloned());
    // What leases carry that has values; what no profile of these policies gives permits nothing.
    let granted = state.with_values();
    match policy::compile_beside(&policies, &shadows, Some(&state.flags), &granted) {
        Ok(image) => Ok(Accepted {
            state,
            image: Arc::new(image),
        }),
        Err(errors) => {
            let reasons = errors.iter().map(ToString::to_string).collect();
            let errors = vec![];
            Err(Refused { reasons, errors }.bounded())
        }
    }
}

fn parse(one: &PolicyRevision) -> Result<Versioned, Vec<String>> {
    let PolicyRevision {
        name,
        revision,
        source,
    } = one;
    if policy::floor::is_floor(name) {
        return Err(vec![format!(
            "policy {name}@{revision}: {}",
            policy::floor::reserved(name)
        )]);
    }
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

#[cfg(test)]
mod tests {
    use stayhand_guardrail::{
        host::Lease,
        id::{Generation, GrantId, Revision},
        time::UnixMs,
    };

    use super::*;

    fn state(policies: &[(&str, &str)]) -> HostState {
        let policies = policies.iter().map(|(name, hosts)| PolicyRevision {
            name: name.parse().unwrap(),
            revision: Revision(1),
            source: format!(
                "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  hosts: {hosts}\n  subjects: {{ users: \
                 [alice] }}\n  rules:\n    - {{ id: a, effect: deny, exec: {{ path: /a }} }}\n"
            ),
        });
        HostState {
            generation: Generation(1),
            policies: policies.collect(),
            ..HostState::default()
        }
    }

    #[test]
    fn a_policy_of_other_hosts_is_no_part_of_the_image() {
        let state = state(&[
            ("here", "{ env: prod }"),
            ("there", "{ env: staging }"),
            ("nowhere", "{ env: prod, role: db }"),
        ]);
        let guarded = |labels: &[&str]| -> Vec<String> {
            let labels = labels.iter().map(|one| one.parse().unwrap()).collect();
            let image = accept(state.clone(), &labels, &Floor::default())
                .unwrap()
                .image;
            let sets = image.subject_sets.iter();
            sets.map(|set| set.policy.to_string()).collect()
        };
        assert_eq!(guarded(&["env=prod"]), ["here"]);
        assert_eq!(guarded(&["env=prod", "role=db"]), ["here", "nowhere"]);
        assert!(guarded(&[]).is_empty());
    }

    #[test]
    fn a_lease_brings_its_values_and_one_that_no_profile_gives_brings_nothing() {
        let source = "apiVersion: stayhand/v1\nkind: Policy\nmetadata: { name: p }\nspec:\n  subjects: { users: [alice] }\n  \
                      permissions: { logs: { file: { ops: [read], path: \"/var/log/${service}/**\" } } }\n  profiles: [{ name: care, \
                      allow: logs, parameters: { service: { enum: [nginx] } } }]\n  rules: [{ id: a, effect: deny, exec: { path: /a } }]\n";
        let with = |carried: &str| HostState {
            policies: vec![PolicyRevision {
                name: "p".parse().unwrap(),
                revision: Revision(1),
                source: source.to_owned(),
            }],
            leases: vec![Lease {
                grant: GrantId(uuid::Uuid::from_u128(7)),
                user: "alice".parse().unwrap(),
                permissions: vec![carried.parse().unwrap()],
                expire_time: UnixMs(9),
                server_time: UnixMs(1),
            }],
            ..HostState::default()
        };
        let permits = |state: &HostState| {
            accept(state.clone(), &HostLabels::default(), &Floor::default())
                .unwrap()
                .image
                .permissions
                .len()
        };
        let (nginx, other, bare) = (
            with("p/logs(service=nginx)"),
            with("p/logs(service=etc)"),
            with("p/logs"),
        );
        assert_eq!(
            (permits(&nginx), permits(&other), permits(&bare)),
            (1, 0, 0)
        );
        assert!(
            !nginx.compiles_as(&bare)
                && bare.compiles_as(&HostState {
                    leases: vec![],
                    ..bare.clone()
                })
        );
        let journaled = serde_json::to_string(&nginx).unwrap();
        assert_eq!(
            serde_json::from_str::<HostState>(&journaled).unwrap(),
            nginx
        );
        let before = r#""permissions":["p/logs"]"#;
        assert!(
            serde_json::to_string(&bare).unwrap().contains(before),
            "as it was written before there were values"
        );
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_refused_wherever_it_is_meant() {
        let state = state(&[("here", "{ env: prod }"), ("there", "[staging]")]);
        let labels = ["env=prod"]
            .map(|one| one.parse().unwrap())
            .into_iter()
            .collect();
        let Refused { reasons, errors } = accept(state, &labels, &Floor::default()).unwrap_err();
        assert!(reasons[0].contains("policy there@1:"), "{reasons:?}");
        assert_eq!(errors[0].name, "policies/there");
    }

    /// What is enforced, and the same document as a later revision that is watched.
    fn watched() -> (HostState, HostLabels) {
        let mut state = state(&[("here", "{ env: prod }")]);
        let shadows = state.policies.iter().map(|one| PolicyRevision {
            revision: Revision(2),
            ..one.clone()
        });
        state.shadows = shadows.collect();
        let labels = ["env=prod"].map(|one| one.parse().unwrap());
        (state, labels.into_iter().collect())
    }

    #[test]
    fn a_shadow_that_cannot_be_read_is_refused() {
        let (mut state, labels) = watched();
        state.shadows[0].source.push_str("  nonsense: 1\n");
        let Refused { reasons, errors } = accept(state, &labels, &Floor::default()).unwrap_err();
        assert!(reasons[0].contains("policy here@2:"), "{reasons:?}");
        assert_eq!(errors[0].name, "shadows/here");
    }

    #[test]
    fn a_shadow_only_watches_under_its_own_revision_and_makes_another_image() {
        let (state, labels) = watched();
        let without = HostState {
            shadows: vec![],
            ..state.clone()
        };
        assert!(!state.compiles_as(&without));
        let image = accept(state, &labels, &Floor::default()).unwrap().image;
        let rules = image.rules.values();
        let rules: Vec<(u64, bool)> = rules.map(|one| (one.revision.0, one.monitor)).collect();
        assert_eq!(rules.len(), 2);
        assert!(
            rules.contains(&(1, false)) && rules.contains(&(2, true)),
            "{rules:?}"
        );
    }
}
