//! Installing: what fails changes nothing, what succeeds is whole, and the order of writes is the promised one.

use stayhand_agent_ebpf::abi::{
    code::op,
    image::{
        ACTIVE_FRESH_FOR, ACTIVE_UNRULED, LEASES_PER_ROW, Label, LabelKey, LeaseKey, SERVICE_ROW,
        Subject, SubjectKey, active_image,
    },
    net::{NET_SPACE_BITS, NetBits},
};
use stayhand_guardrail::{
    id::{Generation, GrantId},
    key::PermissionKey,
    time::DurationMs,
};
use uuid::Uuid;

use super::{
    super::{InstallError, InstallLease},
    ALICE, deny, desired,
    disk::Disk,
    installer,
    shared::Maps,
};
use crate::{
    clock::Deadlines,
    kernel::{
        identity::IdentityError,
        table::{Table as _, TableError},
    },
};

fn ready() -> (Maps, Disk) {
    (Maps::new(), Disk::new(&["/usr/bin/nc", "/srv/prod/x"]))
}

#[test]
fn a_full_map_leaves_the_active_image_untouched_and_makes_room_again() {
    let (maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    installer
        .install(desired(1, &[&deny("a", "/usr/bin/nc")]))
        .unwrap();
    let (labels, active) = (maps.labels.rows(), maps.active());
    maps.edges.bound(maps.edges.rows().len() + 1);
    let error = installer
        .install(desired(
            2,
            &[&deny("a", "/srv/prod/x"), &deny("b", "/usr/bin/nc")],
        ))
        .unwrap_err();
    assert!(
        matches!(
            error,
            InstallError::Table(TableError::Full { map: "EDGES", .. })
        ),
        "{error}"
    );
    assert_eq!((maps.active(), maps.labels.rows()), (active, labels));
    assert_eq!(
        maps.active.rows()[&1],
        2,
        "slot 1 stays marked as being built"
    );
    maps.edges.bound(1_000);
    installer
        .install(desired(3, &[&deny("a", "/srv/prod/x")]))
        .unwrap();
    assert_eq!((maps.active(), maps.active.rows()[&1]), ((3, 1), 0));
}

#[test]
fn rows_that_do_not_read_back_are_not_flipped_to() {
    for which in 0..13 {
        let (maps, disk) = ready();
        let mut installer = installer(&maps, &disk);
        match which {
            0 => maps.labels.deafen(),
            1 => maps.edges.deafen(),
            2 => maps.subjects.deafen(),
            3 => maps.nodes.deafen(),
            4 => maps.entries.deafen(),
            5 => maps.nets.deafen(),
            6 => maps.args.deafen(),
            7 => maps.arg_steps.deafen(),
            8 => maps.label_bits.deafen(),
            9 => maps.names.deafen(),
            10 => maps.schedules.deafen(),
            11 => maps.rates.deafen(),
            _ => maps.leases.deafen(),
        }
        let mut wanted = desired(
            1,
            &[
                &deny("a", "/usr/bin/nc"),
                "{ id: n, effect: deny, net: { ops: [connect], cidr: 10.0.0.0/8 } }",
                "{ id: t, effect: throttle, system: { ops: [signal] }, rate: { limit: 3, per: 1m, then: deny } }",
                "{ id: u, effect: deny, net: { ops: [connect], abstract: [a, \"b*\"] } }",
                "{ id: c, effect: deny, exec: { path: /usr/bin/kubectl, anyArg: [scale], }, when: { windows: \"daily 01:00-02:00 UTC\" } }",
            ],
        );
        wanted.leases.push(lease(ALICE, 7));
        let error = installer.install(wanted).unwrap_err();
        assert!(
            matches!(error, InstallError::ReadBack { .. }),
            "{which}: {error}"
        );
        assert_eq!(maps.active(), (0, 0), "{which}");
    }
}

#[test]
fn a_root_that_cannot_be_labelled_refuses_and_an_object_does_not() {
    let (maps, disk) = ready();
    disk.shut("/usr/bin/nc");
    let report = installer(&maps, &disk)
        .install(desired(1, &[&deny("a", "/usr/bin/nc")]))
        .unwrap();
    assert!(
        report.problems[0].contains("/usr/bin/nc")
            && report.to_string().contains("matched by name"),
        "{report}"
    );
    disk.shut("/");
    let error = installer(&maps, &disk)
        .install(desired(2, &[&deny("a", "/usr/bin/nc")]))
        .unwrap_err();
    assert!(
        matches!(error, InstallError::Identity(IdentityError::Open { .. })),
        "{error}"
    );
    assert_eq!(maps.active().0, 1);
}

#[test]
fn a_users_own_fuse_mount_does_not_keep_policies_out_but_a_disk_does() {
    for (kind, installs) in [("fuse.sshfs", true), ("xfs", false)] {
        let (maps, disk) = ready();
        disk.mount("/home/alice/mnt", kind);
        disk.shut("/home/alice/mnt");
        let outcome = installer(&maps, &disk).install(desired(1, &[&deny("a", "/home/**")]));
        assert_eq!(outcome.is_ok(), installs, "{kind}");
    }
}

#[test]
fn what_a_dead_agent_left_in_the_idle_slot_is_gone() {
    let (maps, disk) = ready();
    let leftover = LabelKey {
        ino: 99,
        dev: 9,
        igen: 9,
        slot: 0,
        pad: 0,
    };
    maps.labels.set(leftover, Label { node: 3, pad: 0 });
    maps.subjects
        .set(SubjectKey { auid: 7, slot: 0 }, Subject::default());
    installer(&maps, &disk)
        .install(desired(1, &[&deny("a", "/usr/bin/nc")]))
        .unwrap();
    assert!(!maps.labels.rows().contains_key(&leftover));
    assert_eq!(
        maps.subjects.rows().len(),
        1,
        "alice; a login uid without sets is not guarded"
    );
}

#[test]
fn the_slot_is_marked_before_the_first_write_and_the_flip_follows_the_last() {
    let (maps, disk) = ready();
    maps.active.set(ACTIVE_FRESH_FOR, u64::MAX);
    let mut installer = installer(&maps, &disk);
    for (generation, slot) in [(5u64, 0u64), (6, 1), (7, 0)] {
        maps.log.lock().unwrap().clear();
        installer
            .install(desired(generation, &[&deny("a", "/usr/bin/nc")]))
            .unwrap();
        let mut log = maps.log.lock().unwrap().clone();
        assert_eq!(log[0], ("ACTIVE", (slot + 1).to_string()));
        assert_eq!(
            log[1],
            ("ACTIVE", (generation - 4).to_string()),
            "the kernel forgets what it keeps before the flip, even if the generation is the same"
        );
        // Those of the rule, and of a permission that `desired` has beside it.
        let unruled = u64::from(!(op::EXEC | op::MAP_EXEC | op::WRITE)).to_string();
        let taken = if generation == 5 { "0" } else { &unruled };
        let flip = (generation << 1 | slot).to_string();
        let last = log.split_off(log.len() - 6);
        assert_eq!(
            last.iter().map(|(map, _)| *map).collect::<Vec<_>>(),
            [
                "UNRULED_NETS",
                "ACTIVE",
                "ACTIVE",
                "ACTIVE",
                "UNRULED_NETS",
                "ACTIVE"
            ],
            "what it names is judged before the flip, and what nothing names is passed over after it"
        );
        assert_eq!(
            [1, 2, 3, 5].map(|at| last[at].1.as_str()),
            [taken, &flip, "0", &unruled]
        );
        assert!(log[2..].iter().all(|(map, _)| *map != "ACTIVE"));
        assert_eq!(
            installer.active().unwrap().unwrap().generation,
            Generation(generation)
        );
    }
}

#[test]
fn an_operation_of_either_image_is_not_passed_over_while_they_are_exchanged() {
    let (maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    let opens = "{ id: a, effect: deny, file: { ops: [write], path: /srv/prod/x } }";
    installer
        .install(desired(1, &[&deny("a", "/usr/bin/nc")]))
        .unwrap();
    maps.log.lock().unwrap().clear();
    installer.install(desired(2, &[opens])).unwrap();
    let log = maps.log.lock().unwrap().clone();
    let either = u64::from(!(op::EXEC | op::MAP_EXEC | op::WRITE)).to_string();
    assert_eq!(log[log.len() - 5], ("ACTIVE", either));
    assert_eq!(maps.active.rows()[&ACTIVE_UNRULED], u64::from(!op::WRITE));
}

#[test]
fn an_image_that_would_be_passed_over_is_not_flipped_to() {
    let to_ten = "{ id: n, effect: deny, net: { ops: [connect], cidr: 10.0.0.0/8 } }";
    let to_eleven = to_ten.replace("10.0", "11.0");
    for deafened in [true, false] {
        let (maps, disk) = ready();
        let mut installer = installer(&maps, &disk);
        installer.install(desired(1, &[to_ten])).unwrap();
        if deafened {
            maps.unruled_nets.deafen();
        }
        let outcome = installer.install(desired(2, &[&to_eleven]));
        assert_eq!(outcome.is_err(), deafened, "{outcome:?}");
        let generation = if deafened { 1 } else { 2 };
        assert_eq!(maps.active().0, generation, "{outcome:?}");
        let nets = maps.unruled_nets.rows()[&0];
        let is_unruled = [10, 11, 12].map(|first| {
            let address = u32::from_be_bytes([first, 1, 2, 3]);
            nets.may_have(0xffff << 32 | u128::from(address))
        });
        assert_eq!(is_unruled, [!deafened, deafened, true]);
    }
}

#[test]
fn what_is_passed_over_by_somebody_elses_hand_is_noticed() {
    let (mut maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    let rule = "{ id: n, effect: deny, net: { ops: [connect], cidr: 10.0.0.0/8 } }";
    installer.install(desired(1, &[rule])).unwrap();
    let (none, all) = (NetBits::default(), NetBits::default().others());
    let mut map_named = |operations: u64, nets: &NetBits| {
        maps.active.put(&ACTIVE_UNRULED, &operations).unwrap();
        maps.unruled_nets.put(&0, nets).unwrap();
        match installer.verify() {
            Ok(()) => None,
            Err(InstallError::ReadBack { map }) => Some(map),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(map_named(u64::MAX, &none), Some("ACTIVE"));
    assert_eq!(map_named(0, &all), Some("UNRULED_NETS"));
    assert_eq!(map_named(0, &none), None);
}

#[test]
fn the_slot_that_was_active_is_not_touched() {
    let (maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    installer
        .install(desired(1, &[&deny("a", "/usr/bin/nc")]))
        .unwrap();
    let before: Vec<_> = maps.edges.rows().into_iter().collect();
    installer
        .install(desired(2, &[&deny("a", "/srv/prod/x")]))
        .unwrap();
    let after: Vec<_> = maps
        .edges
        .rows()
        .into_iter()
        .filter(|(key, _)| key.slot == 0)
        .collect();
    assert_eq!(before, after);
}

#[test]
fn subjects_carry_the_operations_of_their_own_entries() {
    let (maps, disk) = ready();
    let rules = [
        "{ id: a, effect: deny, exec: { path: /usr/bin/nc } }",
        "{ id: b, effect: alert, file: { ops: [write], path: /srv/prod/x } }",
    ];
    let mut wanted = desired(1, &rules);
    wanted.subjects.insert(1003, 2);
    installer(&maps, &disk).install(wanted).unwrap();
    let subjects = maps.subjects.rows();
    let alice = subjects[&SubjectKey {
        auid: ALICE,
        slot: 0,
    }];
    assert_eq!(
        (alice.sets, alice.ops, alice.restricted_ops),
        (
            1,
            op::EXEC | op::MAP_EXEC | op::WRITE,
            op::EXEC | op::MAP_EXEC
        )
    );
    let other = subjects[&SubjectKey {
        auid: 1003,
        slot: 0,
    }];
    assert_eq!((other.sets, other.ops, other.restricted_ops), (2, 0, 0));
}

#[test]
fn a_service_has_a_row_more_and_none_of_it_is_left_behind() {
    let (maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    let row = |slot: u32| SubjectKey { auid: ALICE, slot };
    let mut wanted = desired(1, &[&deny("a", "/usr/bin/nc")]);
    // Whom no policy guards is no service, whatever name it has.
    wanted.services = [ALICE, 1002].into();
    installer.install(wanted).unwrap();
    let rows = maps.subjects.rows();
    assert_eq!(rows[&row(0)], rows[&row(SERVICE_ROW)]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    for generation in 2..4 {
        installer
            .install(desired(generation, &[&deny("a", "/usr/bin/nc")]))
            .unwrap();
    }
    let keys: Vec<SubjectKey> = maps.subjects.rows().into_keys().collect();
    assert_eq!(keys, [row(0), row(1)]);
}

/// What a control plane can send, up to the highest number: none of it reads as no image, or as the host's own.
#[test]
fn a_generation_that_would_read_as_another_one_is_not_installed() {
    let (maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    let rules = [deny("a", "/usr/bin/nc")];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    installer.install(desired(7, &rules)).unwrap();
    let (active, labels) = (maps.active(), maps.labels.rows());
    for generation in [1 << 61, 1 << 62, 1 << 63, (1 << 63) + 1, u64::MAX] {
        let refused = installer.install(desired(generation, &rules));
        assert!(
            matches!(refused, Err(InstallError::Generation(_))),
            "{generation}"
        );
        assert_eq!(
            (maps.active(), maps.labels.rows()),
            (active, labels.clone())
        );
    }
    installer.install(desired((1 << 61) - 1, &rules)).unwrap();
    let now = installer.active().unwrap().unwrap();
    assert_eq!(now.generation, Generation((1 << 61) - 1));
}

#[test]
fn an_image_without_a_state_is_one_in_either_slot() {
    let (maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    for slot in [0, 1, 0] {
        installer
            .install(desired(0, &[&deny("a", "/usr/bin/nc")]))
            .unwrap();
        let active = installer.active().unwrap().unwrap();
        assert_eq!((active.generation, active.slot), (Generation(0), slot));
        installer.verify().unwrap();
    }
    installer
        .install(desired(1, &[&deny("a", "/usr/bin/nc")]))
        .unwrap();
    assert_eq!(
        installer.active().unwrap().unwrap().generation,
        Generation(1)
    );
}

fn lease(auid: u32, ends: u64) -> InstallLease {
    InstallLease {
        auid,
        permission: PermissionKey::from_raw(42).unwrap(),
        deadlines: Deadlines {
            boot_ns: ends,
            tai_ns: ends + 1,
        },
        grant: GrantId(Uuid::from_u128(u128::from(ends))),
    }
}

#[test]
fn of_too_many_leases_those_that_end_last_are_kept() {
    let (maps, disk) = ready();
    let mut wanted = desired(1, &[&deny("a", "/usr/bin/nc")]);
    wanted.leases = [30, 10, 50, 20, 40].map(|ends| lease(ALICE, ends)).to_vec();
    wanted.leases.push(lease(1002, 5));
    installer(&maps, &disk).install(wanted).unwrap();
    let rows = maps.leases.rows();
    let row = rows[&LeaseKey {
        permission: 42,
        auid: ALICE,
        slot: 0,
    }];
    assert_eq!(
        row.leases.map(|lease| lease.boot_deadline_ns),
        [50, 40, 30, 20]
    );
    assert_eq!(row.leases.len(), LEASES_PER_ROW);
    let other = rows[&LeaseKey {
        permission: 42,
        auid: 1002,
        slot: 0,
    }];
    assert_eq!(
        other.leases.map(|lease| lease.tai_deadline_ns),
        [6, 0, 0, 0]
    );
}

#[test]
fn address_ranges_have_their_slot_as_the_top_of_the_prefix() {
    let (maps, disk) = ready();
    let rule =
        "{ id: n, effect: deny, net: { ops: [connect], cidr: 10.20.0.0/16, ports: [5432] } }";
    let mut installer = installer(&maps, &disk);
    installer.install(desired(1, &[rule])).unwrap();
    installer.install(desired(2, &[rule])).unwrap();
    let slots: Vec<_> = maps
        .nets
        .rows()
        .keys()
        .map(|net| (net.bits - NET_SPACE_BITS, net.key.space_be))
        .collect();
    assert_eq!(slots, [(96 + 16, [0, 0, 0, 0]), (96 + 16, [0, 0, 0, 1])]);
}

#[test]
fn somebody_elses_write_is_found() {
    let (maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    installer
        .install(desired(1, &[&deny("a", "/usr/bin/nc")]))
        .unwrap();
    installer.verify().unwrap();
    let stranger = LabelKey {
        ino: 1,
        dev: 2,
        igen: 3,
        slot: 0,
        pad: 0,
    };
    maps.labels.set(stranger, Label { node: 1, pad: 0 });
    assert!(matches!(
        installer.verify(),
        Err(InstallError::ReadBack { map: "LABELS" })
    ));
}

const SECOND: u64 = 1_000_000_000;

/// Leases of the older image never count for longer than it says, nor those of the newer one.
#[test]
fn a_shorter_freshness_comes_before_the_image_and_a_longer_one_after_it() {
    let (maps, disk) = ready();
    let mut installer = installer(&maps, &disk);
    let mut install = |generation, seconds: Option<u64>| {
        maps.log.lock().unwrap().clear();
        let mut desired = desired(generation, &[&deny("a", "/usr/bin/nc")]);
        desired.fresh_for = seconds.map(DurationMs::from_secs);
        installer.install(desired).unwrap();
        installer.verify().unwrap();
        let flip = active_image(generation, maps.active().1).to_string();
        let log = maps.log.lock().unwrap();
        let written = log.iter().filter(|(map, _)| *map == "ACTIVE");
        let written: Vec<String> = written.map(|(_, value)| value.clone()).collect();
        let cell = maps.active.rows()[&ACTIVE_FRESH_FOR];
        let place = |value: &str| written.iter().position(|one| one == value);
        let (at, flip) = (place(&cell.to_string()), place(&flip).unwrap());
        (cell, at.map(|at| at < flip))
    };
    assert_eq!(install(101, None), (u64::MAX, Some(false)));
    assert_eq!(install(102, Some(90)), (90 * SECOND, Some(true)));
    assert_eq!(install(103, Some(90)), (90 * SECOND, None), "as it was");
    assert_eq!(install(104, Some(120)), (120 * SECOND, Some(false)));
    maps.active.set(ACTIVE_FRESH_FOR, u64::MAX);
    let error = installer.verify().unwrap_err();
    assert!(
        matches!(error, InstallError::ReadBack { map: "ACTIVE" }),
        "{error}"
    );
}
