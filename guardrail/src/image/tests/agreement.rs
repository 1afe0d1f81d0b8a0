//! Thousands of generated policies: what the text means and what the kernel would do are the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stayhand_agent_ebpf::{
    abi::{
        code::{protocol, reason},
        net::{NET_INTERNET, NET_VSOCK},
        rate::Rate,
    },
    decide::{Attempt, Decision, Now},
};

use super::{
    disk::Disk,
    generate::{Case, NOW_NS, Origin, Tried, What, case, floor},
};
use crate::{
    action::Object,
    id::{FlagName, GrantId},
    image::{
        Image,
        eval::{Beside, judge_address, judge_name, judge_paths, judge_system},
        leases::rows,
        schedules::Wall,
    },
    policy::{
        Flags,
        args::{Arguments, Call, Programs, Sha256},
        compile_granted,
        explain::{End, Explanation, Question, explain},
        net::{mapped_octets, vsock_address},
    },
    reason::{Reason, Verdict},
    seeded,
    time::UnixMs,
};

pub(super) fn over(
    cases: u32,
    moving: bool,
    property: impl Fn(&Case) -> Result<(), TestCaseError>,
) {
    seeded::over(cases, &case(moving), |case| property(&case));
}

fn known<'a>(args: Option<&'a Vec<Vec<u8>>>, sha256: Option<u8>, origin: &'a Origin) -> Call<'a> {
    let programs = |(paths, all): &'a (Vec<String>, bool)| Programs { paths, all: *all };
    Call {
        arguments: args.map_or(Arguments::Unknown, |args| Arguments::Known(args)),
        sha256: sha256.map(|byte| Sha256([byte; 32])),
        terminal: origin.terminal,
        parents: programs(&origin.parents),
        ancestors: programs(&origin.ancestors),
    }
}

fn compiled(case: &Case) -> Image {
    // As long as anybody looks: how one ends is for the tests of points in time.
    let set = |all: &Vec<FlagName>| {
        all.iter()
            .map(|one| (one.clone(), UnixMs(u64::MAX)))
            .collect()
    };
    let flags: Option<Flags> = case.flags.as_ref().map(set);
    let leases = case.leases.iter();
    let granted = leases.flat_map(|one| one.permissions.clone()).collect();
    let image = compile_granted(&case.policies, flags.as_ref(), &granted);
    image.unwrap_or_else(|errors| panic!("{errors:?}\n{}", case.sources.join("---\n")))
}

/// Leases of who tries it, and schedules at the case's time.
fn beside(image: &Image, case: &Case, tried: &Tried) -> Beside {
    let mine = rows(&case.leases)
        .into_iter()
        .filter(|((user, _), _)| *user == tried.user);
    let wall = case.unix.map(|unix| Wall::of(unix, NOW_NS, NOW_NS));
    let wall = Wall {
        day: wall[0].day.min(wall[1].day),
        boot_to_wall_ns: wall[0].boot_to_wall_ns,
        tai_to_wall_ns: wall[1].tai_to_wall_ns,
    };
    Beside {
        leases: mine
            .map(|((_, permission), row)| (permission.get(), row))
            .collect::<BTreeMap<_, _>>(),
        schedules: wall.rows(&image.schedules),
        used_up: used_up(image, case),
    }
}

fn used_up(image: &Image, case: &Case) -> u64 {
    let is_used_up = |row: &Rate| {
        let rule = image.rule(row.rule).unwrap();
        let named = (rule.policy.clone(), rule.rule.clone());
        case.used_up.contains(&named)
    };
    let bits = image.rates.iter().enumerate();
    bits.filter(|(_, row)| is_used_up(row))
        .fold(0, |bits, (bit, _)| bits | 1 << bit)
}

pub(super) fn judge(image: &Image, case: &Case, disk: &Disk, tried: &Tried) -> Decision {
    let beside = beside(image, case, tried);
    let subjects = image.subject_sets_of(&tried.user, &tried.groups);
    let now = Now {
        boot_ns: NOW_NS,
        tai_ns: NOW_NS,
    };
    match &tried.what {
        What::Path {
            operations,
            path,
            args,
            sha256,
            origin,
        } => {
            let attempt = Attempt {
                ops: *operations,
                port: 0,
                protocol: 0,
                subjects,
            };
            let ends = [(disk.levels(path), attempt)];
            let call = known(args.as_ref(), *sha256, origin);
            judge_paths(image, &ends, call, now, &beside)
        }
        What::Ends {
            operations,
            from,
            to,
        } => {
            let ends = [(from, operations.0), (to, operations.1)].map(|(path, ops)| {
                let attempt = Attempt {
                    ops,
                    port: 0,
                    protocol: 0,
                    subjects,
                };
                (disk.levels(path), attempt)
            });
            judge_paths(image, &ends, Call::UNKNOWN, now, &beside)
        }
        What::Address {
            operations,
            ip,
            port,
            protocol,
        } => {
            let attempt = Attempt {
                ops: *operations,
                port: *port,
                protocol: protocol.unwrap_or(protocol::UNKNOWN),
                subjects,
            };
            let address = (NET_INTERNET, mapped_octets(*ip));
            judge_address(image, address, &attempt, now, &beside)
        }
        What::Name { operations, name } => {
            let attempt = Attempt {
                ops: *operations,
                port: 0,
                protocol: 0,
                subjects,
            };
            judge_name(image, name, &attempt, now, &beside)
        }
        What::Vsock {
            operations,
            cid,
            port,
        } => {
            let attempt = Attempt {
                ops: *operations,
                port: 0,
                protocol: 0,
                subjects,
            };
            let address = (NET_VSOCK, vsock_address(*cid, *port).to_be_bytes());
            judge_address(image, address, &attempt, now, &beside)
        }
        What::System { operation } => {
            let attempt = Attempt {
                ops: operation.bit(),
                port: 0,
                protocol: 0,
                subjects,
            };
            judge_system(image, &attempt, now, &beside)
        }
    }
}

fn ask(case: &Case, disk: &Disk, tried: &Tried) -> Explanation {
    let ends = match &tried.what {
        What::Path {
            operations, path, ..
        } => vec![(*operations, disk.known_as(path))],
        What::Ends {
            operations,
            from,
            to,
        } => vec![
            (operations.0, disk.known_as(from)),
            (operations.1, disk.known_as(to)),
        ],
        What::Address {
            operations,
            ip,
            port,
            protocol,
        } => {
            let (ip, port, protocol) = (*ip, *port, *protocol);
            let object = Object::Address { ip, port, protocol };
            vec![(*operations, vec![object.into()])]
        }
        What::Name { operations, name } => {
            let bytes = name.clone();
            vec![(*operations, vec![Object::Name { bytes }.into()])]
        }
        What::Vsock {
            operations,
            cid,
            port,
        } => {
            let (cid, port) = (*cid, *port);
            vec![(*operations, vec![Object::Vsock { cid, port }.into()])]
        }
        What::System { operation } => {
            let words = String::new();
            vec![(operation.bit(), vec![Object::Request { words }.into()])]
        }
    };
    let call = match &tried.what {
        What::Path {
            args,
            sha256,
            origin,
            ..
        } => known(args.as_ref(), *sha256, origin),
        _ => Call::UNKNOWN,
    };
    let ends: Vec<End<'_>> = ends
        .iter()
        .map(|(operations, objects)| End {
            operations: *operations,
            objects,
            call,
        })
        .collect();
    explain(&Question {
        policies: &case.policies,
        leases: &case.leases,
        user: &tried.user,
        groups: &tried.groups,
        ends: &ends,
        boot_ns: NOW_NS,
        tai_ns: NOW_NS,
        unix: Some(case.unix),
        used_up: &case.used_up,
        flags: case.flags.as_deref(),
    })
}

fn agree(image: &Image, reference: &Explanation, decision: &Decision) -> Result<(), TestCaseError> {
    prop_assert_eq!(Verdict::from_code(decision.verdict), reference.verdict);
    prop_assert_eq!(Reason::from_code(decision.reason), reference.reason);
    prop_assert_eq!(decision.recorded == 1, reference.recorded);
    let rule = image.rule(decision.by.rule);
    let named = reference.rule.as_ref();
    prop_assert_eq!(
        rule.map(|rule| (&rule.policy, &rule.rule)),
        named.map(|rule| (&rule.policy, &rule.rule))
    );
    prop_assert_eq!(
        rule.map(|rule| rule.revision),
        named.map(|rule| rule.revision)
    );
    prop_assert_eq!(
        rule.and_then(|rule| rule.message.clone()),
        reference.message.clone()
    );
    prop_assert_eq!(
        rule.and_then(|rule| rule.sensitivity),
        reference.sensitivity
    );
    let permission = image.permission(decision.by.permission);
    if let Some(grant) = GrantId::from_halves(decision.grant) {
        let through = (grant, permission.cloned().unwrap());
        prop_assert!(
            reference.covering.contains(&through),
            "{through:?} covers nothing"
        );
    } else {
        prop_assert!(reference.reason != Reason::Grant);
        prop_assert_eq!(permission, reference.permission.as_ref());
    }
    if reference.verdict == Verdict::Held {
        prop_assert_eq!(u64::from(decision.by.timeout_ms), reference.timeout.0);
    }
    Ok(())
}

#[test]
fn compiled_image_agrees_with_the_reference_over_generated_policies() {
    over(4_000, false, |case| {
        let image = compiled(case);
        let mut disk = Disk::with(&case.existing);
        disk.install(&image);
        for tried in &case.attempts {
            agree(
                &image,
                &ask(case, &disk, tried),
                &judge(&image, case, &disk, tried),
            )?;
        }
        Ok(())
    });
}

/// Whatever else a host has: policies, grants, flags, rates.
#[test]
fn nothing_that_a_control_plane_says_loosens_the_floor() {
    let denied = std::cell::Cell::new(0u32);
    seeded::over(2_000, &(case(false), floor()), |(case, floor)| {
        let alone = Case {
            policies: vec![floor.clone()],
            leases: vec![],
            flags: None,
            ..case.clone()
        };
        let mut all = case.clone();
        all.policies.push(floor.clone());
        let (alone_image, image) = (compiled(&alone), compiled(&all));
        let (mut bare, mut disk) = (Disk::with(&case.existing), Disk::with(&case.existing));
        bare.install(&alone_image);
        disk.install(&image);
        for tried in &case.attempts {
            let decision = judge(&image, &all, &disk, tried);
            agree(&image, &ask(&all, &disk, tried), &decision)?;
            let by_floor = judge(&alone_image, &alone, &bare, tried);
            if by_floor.reason == reason::RULE_DENY {
                denied.set(denied.get() + 1);
                prop_assert_eq!(decision.verdict, by_floor.verdict);
                prop_assert_eq!(
                    decision.by.rule,
                    by_floor.by.rule,
                    "the floor is named first"
                );
            }
        }
        Ok(())
    });
    assert!(denied.get() > 100, "{} denied by the floor", denied.get());
}

#[test]
fn names_alone_decide_like_labels_and_names_together() {
    over(1_000, false, |case| {
        let image = compiled(case);
        // Nothing but the root exists when the image is installed, so every other name is new.
        let mut bare = Disk::with(&[]);
        bare.install(&image);
        let mut full = Disk::with(&case.existing);
        full.install(&image);
        for tried in &case.attempts {
            prop_assert_eq!(
                judge(&image, case, &bare, tried),
                judge(&image, case, &full, tried)
            );
        }
        Ok(())
    });
}

#[test]
fn renamed_directories_keep_their_rules_and_their_new_place_has_its_own() {
    let restricted = std::cell::Cell::new(0u32);
    over(2_000, true, |case| {
        let image = compiled(case);
        let mut disk = Disk::with(&case.existing);
        disk.install(&image);
        for (from, to) in &case.renames {
            disk.rename(from, to);
        }
        for tried in &case.attempts {
            let decision = judge(&image, case, &disk, tried);
            let objects = match &tried.what {
                What::Path { path, .. } => disk.name_count(path),
                What::Ends { from, to, .. } => disk.name_count(from).max(disk.name_count(to)),
                What::Address { .. }
                | What::Name { .. }
                | What::Vsock { .. }
                | What::System { .. } => 1,
            };
            // Under two names with rules below both, the automaton would stand in three places; it restricts.
            if decision.reason == reason::WALK_FAILED && objects > 1 {
                restricted.set(restricted.get() + 1);
                continue;
            }
            agree(&image, &ask(case, &disk, tried), &decision)?;
        }
        Ok(())
    });
    println!(
        "attempts that the walk could not follow and restricted: {}",
        restricted.get()
    );
}

#[test]
fn generated_cases_reach_every_reason() {
    const WANTED: [Reason; 11] = [
        Reason::Default,
        Reason::RuleDeny,
        Reason::NoGrant,
        Reason::Grant,
        Reason::HoldPending,
        Reason::RuleAlert,
        Reason::RuleAllow,
        Reason::WouldHave,
        Reason::RateExceeded,
        Reason::WithinRate,
        Reason::NotAllowed,
    ];
    /// One is enough but for a few seeds in a hundred, whose cases leave out the rarest reason.
    const ROUNDS_MAX: usize = 10;
    let seen = std::cell::RefCell::new(BTreeMap::<Reason, u32>::new());
    let with_values = std::cell::Cell::new(0u32);
    let missing = || {
        let seen = seen.borrow();
        let missing = WANTED.iter().filter(|reason| !seen.contains_key(reason));
        missing.copied().collect::<Vec<_>>()
    };
    for _ in 0..ROUNDS_MAX {
        over(1_000, false, |case| {
            let image = compiled(case);
            let mut disk = Disk::with(&[]);
            disk.install(&image);
            for tried in &case.attempts {
                let decision = judge(&image, case, &disk, tried);
                let reason = Reason::from_code(decision.reason);
                *seen.borrow_mut().entry(reason).or_default() += 1;
                let covering = ask(case, &disk, tried).covering;
                let by_values = covering.iter().any(|(_, one)| !one.values.is_empty());
                with_values.set(with_values.get() + u32::from(by_values));
            }
            Ok(())
        });
        if missing().is_empty() && with_values.get() > 0 {
            break;
        }
    }
    println!("attempts by reason: {:?}", seen.borrow());
    assert!(
        with_values.get() > 0,
        "no grant with values covered anything"
    );
    assert_eq!(missing(), [], "no case gave these");
}
