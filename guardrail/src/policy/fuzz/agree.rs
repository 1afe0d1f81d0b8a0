//! Reference evaluator and compiled image say the same of actions that a policy suggests.

use std::collections::BTreeMap;

use stayhand_agent_ebpf::{
    abi::net::{NET_INTERNET, NET_VSOCK},
    decide::{Attempt as Tried, Decision, Now},
};

use crate::{
    action::Object,
    id::{GroupName, PolicyName, RuleId, UserName},
    image::{
        Image,
        eval::{Beside, Level, judge_address, judge_name, judge_paths, judge_system},
        leases::rows,
        schedules::Wall,
    },
    key::PermissionRef,
    policy::{
        Attempt, Policy, Subjects, Versioned, When,
        case::{self, Lineage, ask},
        diff::witnesses,
        explain::Explanation,
        net::{mapped_octets, vsock_address},
    },
    reason::{Reason, Verdict},
    time::UnixMs,
};

/// Actions of one policy that are judged; the policy's own tests come first.
const ACTIONS_MAX: usize = 48;
/// Times at which each is judged.
const TIMES_MAX: usize = 3;

/// Who acts.
type Person = (UserName, Vec<GroupName>);

/// Holds the two against each other and says how many actions there were.
pub(super) fn hold(host: &[Versioned; 1], image: &Image) -> usize {
    let [Versioned { policy, .. }] = host;
    let tested = policy.tests.iter().map(|case| case.attempt.clone());
    let attempts: Vec<Attempt> = tested
        .chain(witnesses([policy, policy]).0)
        .take(ACTIONS_MAX)
        .collect();
    let all: Vec<PermissionRef> = policy
        .permissions
        .iter()
        .map(|one| PermissionRef::plain(policy.name.clone(), one.name.clone()))
        .chain(policy.examples())
        .collect();
    let with_rates = policy.rules.iter().filter(|rule| rule.rate.is_some());
    let throttles: Vec<(PolicyName, RuleId)> = with_rates
        .map(|rule| (policy.name.clone(), rule.id.clone()))
        .collect();
    for (user, groups) in people(policy) {
        for time in times(policy) {
            for attempt in &attempts {
                for grants in [&[], all.as_slice()] {
                    for used_up in [&[], throttles.as_slice()] {
                        let beside = case::Beside {
                            grants,
                            used_up,
                            time,
                            flags: None,
                        };
                        let reference = ask(host, &user, &groups, attempt, beside);
                        let decision = judge(image, (&user, &groups), attempt, beside);
                        agrees(image, attempt, &reference, &decision);
                    }
                }
            }
        }
    }
    attempts.len()
}

/// One whom the policy guards, and one whom it may not.
fn people(policy: &Policy) -> Vec<Person> {
    let stranger = UserName::new("stranger").ok().map(|user| (user, vec![]));
    let Subjects {
        users, services, ..
    } = &policy.subjects;
    let user = users.first().or(services.first());
    let guarded = user.map(|user| (user.clone(), vec![])).or_else(|| {
        let group = policy.subjects.groups.first()?.clone();
        Some((UserName::new("member").ok()?, vec![group]))
    });
    stranger.into_iter().chain(guarded).collect()
}

/// An unknown time, and some at which rules count or do not.
fn times(policy: &Policy) -> Vec<Option<UnixMs>> {
    let whens = policy.rules.iter().filter_map(|rule| rule.when.as_ref());
    let examples = whens.flat_map(When::examples).take(TIMES_MAX);
    std::iter::once(None).chain(examples.map(Some)).collect()
}

fn judge(
    image: &Image,
    (user, groups): (&UserName, &[GroupName]),
    attempt: &Attempt,
    now_there: case::Beside<'_>,
) -> Decision {
    let case::Beside {
        grants,
        used_up,
        time,
        flags: _,
    } = now_there;
    let now = Now {
        boot_ns: 0,
        tai_ns: 0,
    };
    let beside = Beside {
        leases: rows(&case::leases(user, grants))
            .into_iter()
            .map(|((_, permission), row)| (permission.get(), row))
            .collect::<BTreeMap<_, _>>(),
        schedules: time.map_or_else(Vec::new, |time| {
            Wall::of(time, now.boot_ns, now.tai_ns).rows(&image.schedules)
        }),
        // All or none.
        used_up: if used_up.is_empty() { 0 } else { u64::MAX },
    };
    let subjects = image.subject_sets_of(user, groups);
    let tried = |ops: u32| Tried {
        ops,
        port: 0,
        protocol: 0,
        subjects,
    };
    let ends = attempt.ends();
    let call = Lineage::of(attempt);
    let paths: Option<Vec<(Vec<Level>, Tried)>> = ends
        .iter()
        .map(|(ops, object)| match object {
            Object::Path { bytes } => Some((levels(image, bytes), tried(*ops))),
            _ => None,
        })
        .collect();
    if let Some(paths) = paths {
        return judge_paths(image, &paths, call.call(), now, &beside);
    }
    let [(ops, object)] = ends.as_slice() else {
        panic!("two ends that are no paths: {attempt}");
    };
    match object {
        Object::Address { ip, port, protocol } => {
            let on = Tried {
                port: *port,
                protocol: protocol.unwrap_or(stayhand_agent_ebpf::abi::code::protocol::UNKNOWN),
                ..tried(*ops)
            };
            let address = (NET_INTERNET, mapped_octets(*ip));
            judge_address(image, address, &on, now, &beside)
        }
        Object::Name { bytes } => judge_name(image, bytes, &tried(*ops), now, &beside),
        Object::Vsock { cid, port } => {
            let address = (NET_VSOCK, vsock_address(*cid, *port).to_be_bytes());
            judge_address(image, address, &tried(*ops), now, &beside)
        }
        _ => judge_system(image, &tried(*ops), now, &beside),
    }
}

/// The way down to a path where nothing but the root was there when the image was installed; what labels add is the
/// agreement test's question.
fn levels(image: &Image, path: &[u8]) -> Vec<Level> {
    let root = Level {
        name: vec![],
        label: image.node_at([]),
    };
    let names = path.split(|byte| *byte == b'/');
    let below = names.filter(|name| !name.is_empty()).map(|name| Level {
        name: name.to_vec(),
        label: 0,
    });
    std::iter::once(root).chain(below).collect()
}

fn agrees(image: &Image, attempt: &Attempt, reference: &Explanation, decision: &Decision) {
    let rule = image.rule(decision.by.rule);
    let compiled = (
        Verdict::from_code(decision.verdict),
        Reason::from_code(decision.reason),
        decision.recorded == 1,
        rule.map(|rule| rule.rule.clone()),
        rule.and_then(|rule| rule.message.clone()),
        rule.and_then(|rule| rule.sensitivity),
    );
    let named = reference.rule.as_ref();
    let meant = (
        reference.verdict,
        reference.reason,
        reference.recorded,
        named.map(|rule| rule.rule.clone()),
        reference.message.clone(),
        reference.sensitivity,
    );
    assert_eq!(compiled, meant, "image and reference differ on {attempt}");
    if reference.verdict == Verdict::Held {
        let timeout = u64::from(decision.by.timeout_ms);
        assert_eq!(timeout, reference.timeout.0, "{attempt}");
    }
}
