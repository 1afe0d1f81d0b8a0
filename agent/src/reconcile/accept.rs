//! From policy sources to an image, or every reason why not. Pure.

use std::sync::Arc;

use stayhand_guardrail::{
    host::{HostState, PolicyRevision},
    image::Image,
    policy::{self, HostLabels, Versioned, floor},
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

/// Parses every policy of a state and compiles those that count on a host with these labels, beside the host's own `floor`.
/// One that does not count here has to be readable all the same: what it says of hosts is part of it.
pub fn accept(
    state: HostState,
    labels: &HostLabels,
    floor: &[Versioned],
) -> Result<Accepted, Vec<String>> {
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
    policies.extend(floor.iter().cloned());
    policies.retain(|one| one.policy.hosts.selects(labels));
    // What leases carry that has values; what no profile of these policies gives permits nothing.
    match policy::compile_granted(&policies, Some(&state.flags), &state.with_values()) {
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
    if floor::is_floor(name) {
        return Err(vec![format!(
            "policy {name}@{revision}: {}",
            floor::reserved(name)
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
            let image = accept(state.clone(), &labels, &[]).unwrap().image;
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
            accept(state.clone(), &HostLabels::default(), &[])
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
        let reasons = accept(state, &labels, &[]).unwrap_err();
        assert!(reasons[0].contains("policy there@1:"), "{reasons:?}");
    }
}
