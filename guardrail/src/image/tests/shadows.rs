//! A revision that only watches restricts nothing, permits nothing, and is not covered by anything of its own.

use std::cell::Cell;

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

/// Every policy of the case, as a later revision of the one before it.
fn shadows(case: &Case) -> Vec<Versioned> {
    let names = case.policies.iter().map(|one| one.policy.name.clone());
    let names = names.cycle().skip(1);
    let both = case.policies.iter().zip(names);
    both.map(|(one, name)| {
        let mut policy = one.policy.clone();
        policy.name = name;
        Versioned {
            revision: Revision(one.revision.0 + WATCHING),
            policy,
        }
    })
    .collect()
}

#[test]
fn whatever_a_shadow_says_verdicts_stay_and_only_would_haves_are_added() {
    let watched = Cell::new(0);
    over(300, false, |case| {
        let set = |all: &Vec<crate::id::FlagName>| -> Flags {
            all.iter()
                .map(|one| (one.clone(), UnixMs(u64::MAX)))
                .collect()
        };
        let flags = case.flags.as_ref().map(set);
        let compiled =
            |shadows: &[Versioned]| compile_beside(&case.policies, shadows, flags.as_ref());
        let alone = compiled(&[]).unwrap();
        // Together they may be more than fits; then a host refuses it and nothing is judged.
        let Ok(beside) = compiled(&shadows(case)) else {
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
            } else if before.recorded != 0 {
                prop_assert_eq!(after.by, before.by);
            }
        }
        Ok(())
    });
    // Else nothing was shown.
    assert!(watched.get() > 20, "{}", watched.get());
}
