//! A revision that only watches restricts nothing, permits nothing, and is not covered by anything of its own.

use std::{cell::Cell, collections::BTreeSet};

use proptest::prelude::*;
use stayhand_agent_ebpf::abi::code::{reason, verdict};

use super::{
    agreement::{judge, over},
    disk::Disk,
    generate::Case,
};
use crate::{
    id::Revision,
    policy::{Flags, Versioned, compile_beside},
    time::UnixMs,
};

/// Revisions from here on only watch.
const WATCHING: u64 = 100;

/// The first policy of the case is enforced; the next one is watched as a later revision of it, and the others as new ones.
fn split(case: &Case) -> (Vec<Versioned>, Vec<Versioned>) {
    let enforced: Vec<Versioned> = case.policies.iter().take(1).cloned().collect();
    let first = case.policies.iter().take(1);
    let first = first.map(|one| one.policy.name.clone());
    let others = case.policies.iter().skip(1);
    let names = first.chain(others.clone().skip(1).map(|one| one.policy.name.clone()));
    let watched = others.zip(names).map(|(one, name)| {
        let mut policy = one.policy.clone();
        policy.name = name;
        Versioned {
            revision: Revision(one.revision.0 + WATCHING),
            policy,
        }
    });
    (enforced, watched.collect())
}

#[test]
fn whatever_a_shadow_says_verdicts_stay_and_only_would_haves_are_added() {
    let watched = Cell::new(0);
    over(500, false, |case| {
        let set = |all: &Vec<crate::id::FlagName>| -> Flags {
            all.iter()
                .map(|one| (one.clone(), UnixMs(u64::MAX)))
                .collect()
        };
        let flags = case.flags.as_ref().map(set);
        let (enforced, shadows) = split(case);
        let compiled = |shadows: &[Versioned]| {
            compile_beside(&enforced, shadows, flags.as_ref(), &BTreeSet::new())
        };
        let alone = compiled(&[]).unwrap();
        // Together they may be more than fits; then a host refuses it and nothing is judged.
        let Ok(beside) = compiled(&shadows) else {
            return Ok(());
        };
        let installed = |image| {
            let mut disk = Disk::with(&case.existing);
            disk.install(image);
            disk
        };
        let disks = (installed(&alone), installed(&beside));
        for tried in &case.attempts {
            let before = judge(&alone, case, &disks.0, tried);
            let after = judge(&beside, case, &disks.1, tried);
            prop_assert_eq!(before.verdict, after.verdict, "{:?}", tried);
            prop_assert_eq!(before.grant, after.grant);
            let by = beside.rule(after.by.rule).map(|rule| rule.revision);
            if by.is_some_and(|revision| revision.0 > WATCHING) && after.recorded != 0 {
                prop_assert_eq!(after.verdict, verdict::ALLOWED);
                prop_assert_eq!(after.reason, reason::WOULD_HAVE);
                prop_assert_eq!(after.by.permission, 0);
                watched.set(watched.get() + 1);
            } else if before.recorded != 0 && before.reason != reason::WOULD_HAVE {
                // What is in monitor mode by itself is judged together with what is watched.
                prop_assert_eq!(after.by, before.by);
            }
        }
        Ok(())
    });
    // Else nothing was shown.
    assert!(watched.get() > 20, "{}", watched.get());
}

/// A pin lasts, and then what is enforced restricts whoever has it.
#[test]
fn nobody_becomes_a_service_by_what_is_only_watched() {
    let source = "apiVersion: stayhand/v1\nkind: Policy\nmetadata: { name: p }\nspec:\n  subjects: { services: [runner] }\n  rules: [{ id: a, effect: deny, exec: { path: /a } }]\n";
    let one = Versioned {
        revision: Revision(2),
        policy: crate::policy::parse(source).unwrap(),
    };
    let runner = "runner".parse().unwrap();
    let image = compile_beside(&[], std::slice::from_ref(&one), None, &BTreeSet::new()).unwrap();
    assert!(image.subject_sets.iter().all(|set| set.services.is_empty()));
    assert_eq!(
        image.subject_sets_of(&runner, &[]),
        1,
        "one that is there is watched"
    );
    let image = compile_beside(&[one], &[], None, &BTreeSet::new()).unwrap();
    assert_eq!(image.subject_sets[0].services, [runner]);
}
