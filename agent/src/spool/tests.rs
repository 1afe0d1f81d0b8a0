//! The spool under crashes, torn writes and a full disk: nothing that was stored is lost, every number keeps its
//! event, every loss is counted.

mod disk;

use std::{collections::BTreeMap, sync::Arc};

use disk::Disk;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use stayhand_guardrail::event::LossStage;

use super::*;

const NOW: UnixMs = UnixMs(1_700_000_000_000);
const BOOT: Uuid = Uuid::from_u128(7);

fn setup(boot_id: Uuid, bytes_max: u64) -> Setup {
    Setup {
        boot_id,
        new_epoch: Uuid::from_u128(9),
        bytes_max,
        encode_lost: Box::new(|lost| {
            format!(
                "lost {} {} {}",
                lost.class.as_str(),
                lost.stage.as_str(),
                lost.count
            )
            .into_bytes()
        }),
        now: NOW,
    }
}

fn open(disk: &Arc<Disk>, bytes_max: u64) -> Result<Spool, SpoolError> {
    let disk = Arc::clone(disk);
    let store = Store::open_with(Box::new(move || disk.open()))?;
    Spool::with_store(store, None, setup(BOOT, bytes_max))
}

fn entry(class: EventClass, text: &str) -> Entry {
    Entry {
        class,
        recorded: true,
        payload: text.as_bytes().to_vec(),
    }
}

fn texts(batch: &[Numbered]) -> Vec<String> {
    batch
        .iter()
        .map(|one| String::from_utf8_lossy(&one.payload).into_owned())
        .collect()
}

#[test]
fn an_acknowledgement_of_what_was_never_handed_out_is_refused() {
    let spool = open(&Disk::new(), 1 << 20).unwrap();
    spool
        .append(vec![entry(EventClass::B, "one")], NOW)
        .unwrap();
    assert!(matches!(
        spool.acknowledge(1),
        Err(SpoolError::NeverHandedOut { .. })
    ));
    assert_eq!(texts(&spool.hand_out(0, NOW).unwrap()), ["one"]);
    spool.acknowledge(1).unwrap();
    assert!(spool.hand_out(1, NOW).unwrap().is_empty());
    assert_eq!(spool.stats().bytes, 0);
}

#[test]
fn beyond_the_bound_observations_go_first_then_denials_and_holds_never() {
    let spool = open(&Disk::new(), 5_000).unwrap();
    let big = "x".repeat(1_000);
    for class in [EventClass::A, EventClass::B, EventClass::C, EventClass::C] {
        spool.append(vec![entry(class, &big)], NOW).unwrap();
    }
    for index in 0..6 {
        spool
            .append(vec![entry(EventClass::A, &format!("{index}{big}"))], NOW)
            .unwrap();
    }
    let told = texts(&spool.hand_out(0, NOW).unwrap());
    let losses: Vec<_> = told
        .iter()
        .filter(|text| text.starts_with("lost"))
        .cloned()
        .collect();
    assert_eq!(losses, ["lost C spool 2", "lost B spool 1"]);
    assert_eq!(told.len(), 2 + 7, "every event of class A is there");
}

#[test]
fn a_numbered_event_is_never_dropped_so_numbers_have_no_gaps() {
    let spool = open(&Disk::new(), 3_000).unwrap();
    let big = "y".repeat(1_000);
    spool.append(vec![entry(EventClass::C, &big)], NOW).unwrap();
    assert_eq!(spool.hand_out(0, NOW).unwrap().len(), 1);
    for _ in 0..9 {
        spool.append(vec![entry(EventClass::C, &big)], NOW).unwrap();
    }
    let mut after = 0;
    let mut numbers = Vec::new();
    loop {
        let batch = spool.hand_out(after, NOW).unwrap();
        let Some(last) = batch.last() else { break };
        numbers.extend(batch.iter().map(|one| one.sequence));
        after = last.sequence;
    }
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(spool.stats().lost, 8);
}

#[test]
fn ring_losses_are_counted_once_and_the_account_balances() {
    let spool = open(&Disk::new(), 1 << 20).unwrap();
    spool
        .append(vec![entry(EventClass::B, "one")], NOW)
        .unwrap();
    for _ in 0..3 {
        let [_, b, _] = spool.reconcile([0, 5, 0], [0, 4, 0], NOW);
        assert_eq!((b.recorded, b.stored, b.lost, b.open), (5, 1, 4, 0));
        spool.flush(NOW).unwrap();
    }
    assert_eq!(
        texts(&spool.hand_out(0, NOW).unwrap()),
        ["lost B ring 4", "one"]
    );
}

#[test]
fn what_the_kernel_counted_and_nobody_stored_shows_as_open() {
    let spool = open(&Disk::new(), 1 << 20).unwrap();
    let [a, ..] = spool.reconcile([3, 0, 0], [0; 3], NOW);
    assert_eq!(a.open, 3);
    spool.lose(EventClass::A, LossStage::Crash, 3, NOW);
    assert_eq!(spool.reconcile([3, 0, 0], [0; 3], NOW)[0].open, 0);
}

#[test]
fn counters_that_start_again_start_a_new_account() {
    let spool = open(&Disk::new(), 1 << 20).unwrap();
    spool
        .append(
            vec![entry(EventClass::B, "one"), entry(EventClass::B, "two")],
            NOW,
        )
        .unwrap();
    let [_, b, _] = spool.reconcile([0, 1, 0], [0; 3], NOW);
    assert_eq!((b.recorded, b.stored, b.open), (1, 0, 1));
}

#[test]
fn a_new_boot_tells_of_one_uncounted_loss_and_numbers_go_on() {
    let disk = Disk::new();
    let spool = open(&disk, 1 << 20).unwrap();
    spool
        .append(vec![entry(EventClass::B, "before")], NOW)
        .unwrap();
    assert_eq!(spool.hand_out(0, NOW).unwrap()[0].sequence, 1);
    drop(spool);
    let again = Arc::clone(&disk);
    let store = Store::open_with(Box::new(move || again.open())).unwrap();
    let spool = Spool::with_store(store, None, setup(Uuid::from_u128(8), 1 << 20)).unwrap();
    let batch = spool.hand_out(0, NOW).unwrap();
    assert_eq!(texts(&batch), ["before", "lost A crash 0"]);
    assert_eq!(
        batch.iter().map(|one| one.sequence).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(spool.reconcile([0; 3], [0; 3], NOW)[1], Balance::default());
}

#[test]
fn a_full_disk_keeps_rows_in_memory_and_stores_them_later_in_order() {
    let disk = Disk::new();
    let spool = open(&disk, 1 << 20).unwrap();
    disk.fill();
    for index in 0..50 {
        let full = spool.append(vec![entry(EventClass::A, &format!("event {index}"))], NOW);
        assert!(full.is_err());
    }
    assert_eq!(spool.stats().waiting, 50);
    assert_eq!(
        spool.reconcile([50, 0, 0], [0; 3], NOW)[0].open,
        0,
        "waiting is not missing"
    );
    disk.make_room();
    spool.flush(NOW).unwrap();
    let told = texts(&spool.hand_out(0, NOW).unwrap());
    assert_eq!(
        told,
        (0..50)
            .map(|index| format!("event {index}"))
            .collect::<Vec<_>>()
    );
}

#[test]
fn what_the_other_side_has_is_let_go_of_once_there_is_room_without_being_said_again() {
    let disk = Disk::new();
    let spool = open(&disk, 1 << 20).unwrap();
    spool
        .append(vec![entry(EventClass::A, "event")], NOW)
        .unwrap();
    assert_eq!(spool.hand_out(0, NOW).unwrap().len(), 1);
    disk.fill();
    assert!(spool.acknowledge(1).is_err());
    assert!(spool.flush(NOW).is_err());
    assert_ne!(spool.stats().bytes, 0);
    disk.make_room();
    spool.flush(NOW).unwrap();
    let stats = spool.stats();
    assert_eq!((stats.bytes, stats.acknowledged), (0, 1));
}

#[test]
fn what_overflows_the_memory_while_the_disk_is_full_is_counted() {
    let disk = Disk::new();
    let spool = open(&disk, 64 << 20).unwrap();
    disk.fill();
    let big = "z".repeat(1 << 20);
    for class in [EventClass::A, EventClass::B, EventClass::C] {
        for _ in 0..4 {
            assert!(spool.append(vec![entry(class, &big)], NOW).is_err());
        }
    }
    disk.make_room();
    spool.flush(NOW).unwrap();
    let balance = spool.reconcile([4, 4, 4], [0; 3], NOW);
    assert!(
        balance
            .iter()
            .all(|class| class.open == 0 && class.waiting == 0),
        "{balance:?}"
    );
    assert_eq!(
        (balance[0].lost, balance[0].stored),
        (0, 4),
        "class A goes last"
    );
    assert_eq!(balance[2].lost, 4, "class C goes first");
}

#[test]
fn a_spool_that_is_no_database_is_put_aside_and_never_deleted() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(
        place.path().join("agent.redb"),
        b"not a database at all, and long enough",
    )
    .unwrap();
    let spool = Spool::open(place.path(), setup(BOOT, 1 << 20)).unwrap();
    spool
        .append(vec![entry(EventClass::A, "one")], NOW)
        .unwrap();
    let kept = std::fs::read_dir(place.path()).unwrap().flatten();
    assert!(
        kept.into_iter()
            .any(|file| file.file_name().to_string_lossy().contains("damaged"))
    );
}

/// One life of a spool: random operations, random crashes with torn and reordered writes, a disk that fills up.
fn live(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let disk = Disk::new();
    let mut spool = open(&disk, 1 << 20).unwrap();
    let mut durable = Vec::new(); // appended and confirmed
    let mut maybe = Vec::new(); // appended, then the disk failed or the machine went down
    let mut gone = Vec::new(); // waited in memory when the machine went down
    let mut handed: BTreeMap<u64, String> = BTreeMap::new();
    let mut acknowledged = 0;
    for step in 0..60 {
        match random.random_range(0..10) {
            0..5 => {
                let text = format!("{seed}/{step}");
                match spool.append(vec![entry(EventClass::B, &text)], NOW) {
                    Ok(()) => {
                        durable.append(&mut maybe); // a later success stores what waited
                        durable.push(text);
                    }
                    Err(_) => maybe.push(text),
                }
            }
            5..7 => {
                for one in spool.hand_out(acknowledged, NOW).unwrap_or_default() {
                    let text = String::from_utf8(one.payload).unwrap();
                    let before = handed.insert(one.sequence, text.clone());
                    assert!(
                        before.is_none_or(|before| before == text),
                        "seed {seed}: number reused"
                    );
                }
            }
            7 => {
                if let Some((last, _)) = handed.last_key_value()
                    && spool.acknowledge(*last).is_ok()
                {
                    acknowledged = *last;
                }
            }
            8 => {
                disk.make_room();
                if random.random_range(0..3) == 0 {
                    disk.fill();
                }
            }
            _ => {
                disk.crash(&mut random);
                drop(spool); // what it still writes comes after the crash and is lost
                disk.make_room();
                gone.append(&mut maybe);
                spool = open(&disk, 1 << 20).unwrap();
                acknowledged = acknowledged.min(spool.lock().meta.acknowledged);
            }
        }
    }
    disk.make_room();
    spool.flush(NOW).unwrap();
    let mut after = acknowledged;
    loop {
        let batch = spool.hand_out(after, NOW).unwrap();
        let Some(last) = batch.last() else { break };
        after = last.sequence;
        for one in batch {
            let text = String::from_utf8(one.payload).unwrap();
            let before = handed.insert(one.sequence, text.clone());
            assert!(
                before.is_none_or(|before| before == text),
                "seed {seed}: number reused"
            );
        }
    }
    let numbers: Vec<u64> = handed.keys().copied().collect();
    assert_eq!(
        numbers,
        (1..=numbers.len() as u64).collect::<Vec<_>>(),
        "seed {seed}: gap"
    );
    let told: Vec<&String> = handed.values().collect();
    for text in &durable {
        let times = told.iter().filter(|other| **other == text).count();
        assert_eq!(
            times, 1,
            "seed {seed}: {text} was stored and told {times} times"
        );
    }
    let possible =
        |text: &&String| durable.contains(text) || maybe.contains(text) || gone.contains(text);
    assert!(told.iter().all(possible), "seed {seed}: invented event");
}

#[test]
fn stored_events_survive_crashes_and_keep_their_numbers() {
    let base: u64 = rand::random();
    println!("seed {base}");
    for offset in 0..40 {
        live(base.wrapping_add(offset));
    }
}
