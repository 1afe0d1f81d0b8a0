//! From records to events: hostile bytes, secrets, holds, and an account that balances.

use std::sync::{
    Arc,
    atomic::AtomicU64,
    mpsc::{Receiver, channel},
};

use stayhand_agent_ebpf::abi::{
    code::{hook, op},
    hold::HoldKey,
    image::LabelKey,
};
use stayhand_guardrail::{
    action::Operation,
    event::{EventClass, EventKind},
    hold::{Fact, HoldPhase},
    id::{Generation, HoldId, Revision},
    image::{Image, RuleInfo},
    key::RuleKey,
    reason::{Effect, Reason, Verdict},
    redact::{RedactConfig, Redactor},
    sensitivity::Sensitivity,
    time::DurationMs,
};
use stayhand_proto::codec::decode_event;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::{
    catalog::Catalog,
    clock::Now,
    explain::Explanations,
    holds::{Board, Message, Row},
    kernel::{counters::Counters, mounts::Mounts, record::RawRecord},
    spool::{Numbered, Spool},
    tell::Teller,
    testing::{All, NOW, Still, hold, identity, spool},
};

const AT: Now = Now {
    boot_ns: 10_000_000_000,
    tai_ns: 0,
    unix: NOW,
};

fn rule_key() -> RuleKey {
    RuleKey::of(&"p".parse().unwrap(), &"r".parse().unwrap())
}

/// Alice's denied execution of a program with a hostile name.
fn raw() -> RawRecord {
    RawRecord {
        class: EventClass::B,
        boot_ns: 9_000_000_000,
        tai_ns: 0,
        generation: Generation(1),
        rule: Some(rule_key()),
        permission: None,
        grant: None,
        hold: None,
        hold_key: HoldKey {
            task_cookie: 5,
            digest: [1, 2],
        },
        boot_deadline_ns: 0,
        process_cookie: 9,
        tgid: u32::MAX,
        tid: u32::MAX,
        ppid: 1,
        uid: 0,
        auid: 4_000_000_000,
        session: Some(3),
        hook: hook::EXEC,
        ops: op::EXEC,
        operation: Some(Operation::Exec),
        verdict: Verdict::Denied,
        reason: Reason::RuleDeny,
        monitor: false,
        stopped_without_hold: false,
        object: LabelKey {
            ino: 1,
            dev: 1,
            igen: 0,
            slot: 0,
            pad: 0,
        },
        destination: None,
        request: None,
        path: vec![b"bin".to_vec(), b"a\n\x1b[2J\xff".to_vec()],
        other_path: None,
        path_cut: false,
        comm: b"bash".to_vec(),
        tty: Some(b"pts/7".to_vec()),
        args: vec![b"nc".to_vec(), b"--password=hunter2".to_vec()],
        args_cut: false,
    }
}

fn held() -> RawRecord {
    RawRecord {
        class: EventClass::A,
        hold: Some(HoldId(0xabc)),
        verdict: Verdict::Held,
        reason: Reason::HoldPending,
        boot_deadline_ns: 70_000_000_000,
        ..raw()
    }
}

fn catalog() -> Catalog {
    let info = RuleInfo {
        policy: "p".parse().unwrap(),
        revision: Revision(3),
        rule: "r".parse().unwrap(),
        effect: Effect::Hold,
        message: Some("ask first".into()),
        permission: None,
        timeout: DurationMs(60_000),
        approval: None,
        sensitivity: Some(Sensitivity::Critical),
        rate: None,
        monitor: false,
        when: None,
    };
    let catalog = Catalog::default();
    let image = Image {
        rules: [(rule_key(), info)].into(),
        ..Image::default()
    };
    catalog.announce(Generation(1), &Arc::new(image));
    catalog
}

fn enricher(board: &Arc<Board>) -> Enricher {
    let redactor = Redactor::new(&RedactConfig::default()).unwrap();
    Enricher::new(
        identity(),
        catalog(),
        Arc::clone(board),
        redactor,
        Arc::new(All(None)),
        Arc::default(),
    )
}

fn read(record: &RawRecord) -> Enriched {
    enricher(&Arc::default()).enrich(record, &Mounts::default(), &AT)
}

fn decision(enriched: &Enriched) -> &stayhand_guardrail::event::DecisionEvent {
    match &enriched.event.kind {
        EventKind::Decision(decision) => decision,
        other => panic!("{other:?}"),
    }
}

#[test]
fn secrets_are_hidden_before_anything_is_stored_and_the_number_of_arguments_stays() {
    let enriched = read(&held());
    let row = serde_json::to_string(&enriched.opened.as_ref().unwrap()).unwrap();
    assert!(!format!("{:?}", enriched.event).contains("hunter2") && !row.contains("hunter2"));
    assert_eq!(decision(&enriched).process.args.len(), 2);
    assert_eq!(decision(&enriched).args_redacted, 1);
}

#[test]
fn hostile_names_stay_bytes_in_the_event_and_move_no_cursor_on_the_terminal() {
    let enriched = read(&raw());
    let shown = enriched.told.unwrap().text;
    assert!(
        shown.contains("use `") || shown.contains("denied: exec /bin/a\\n\\x1b[2J\\xff"),
        "{shown:?}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn an_unknown_rule_or_a_decision_about_no_object_is_still_an_event() {
    let enriched = read(&RawRecord {
        rule: None,
        generation: Generation(99),
        ..raw()
    });
    assert_eq!(decision(&enriched).rule, None);
    assert_eq!(decision(&enriched).sensitivity, None);
    let enriched = read(&RawRecord {
        reason: Reason::CapAuditControl,
        operation: None,
        path: vec![],
        object: LabelKey {
            ino: 0,
            dev: 0,
            igen: 0,
            slot: 0,
            pad: 0,
        },
        ..raw()
    });
    let EventKind::Tamper(tamper) = enriched.event.kind else {
        panic!("{:?}", enriched.event)
    };
    assert!(tamper.what.contains("CAP_AUDIT_CONTROL"));
    assert_eq!(tamper.subject.unwrap().auid, 4_000_000_000);
}

#[test]
fn monitor_mode_and_what_goes_on_is_told_to_nobody() {
    assert!(
        read(&RawRecord {
            monitor: true,
            ..raw()
        })
        .told
        .is_none()
    );
    let approved = RawRecord {
        verdict: Verdict::Allowed,
        reason: Reason::HoldApproved,
        ..held()
    };
    assert!(read(&approved).told.is_none());
}

#[test]
fn a_process_that_is_gone_or_another_one_lends_no_paths() {
    let pid = std::process::id();
    let enriched = read(&RawRecord {
        tgid: pid,
        tid: pid,
        ..raw()
    });
    assert_eq!(
        decision(&enriched).process.exe,
        None,
        "no pin, another process"
    );
    let redactor = Redactor::new(&RedactConfig::default()).unwrap();
    let pinned = Arc::new(All(Some(crate::testing::ALICE)));
    let mut reader = Enricher::new(
        identity(),
        catalog(),
        Arc::default(),
        redactor,
        pinned,
        Arc::default(),
    );
    let other_program = reader.enrich(
        &RawRecord {
            tgid: pid,
            tid: pid,
            ..raw()
        },
        &Mounts::default(),
        &AT,
    );
    assert_eq!(
        decision(&other_program).process.exe,
        None,
        "`bash` acted, and this is not bash"
    );
    let comm = std::fs::read(format!("/proc/{pid}/comm")).unwrap();
    let comm = comm.strip_suffix(b"\n").unwrap().to_vec();
    let same = reader.enrich(
        &RawRecord {
            tgid: pid,
            tid: pid,
            comm,
            ..raw()
        },
        &Mounts::default(),
        &AT,
    );
    assert!(decision(&same).process.exe.is_some());
}

#[test]
fn a_hold_is_opened_with_its_kernel_key_deadline_rule_and_revision() {
    let enriched = read(&held());
    let row = enriched.opened.as_ref().unwrap();
    assert_eq!(
        (row.task_cookie, row.digest, row.boot_deadline_ns),
        (5, [1, 2], 70_000_000_000)
    );
    assert_eq!(row.hold.expire_time.since(NOW), DurationMs(60_000));
    assert_eq!(row.hold.rule.revision, Revision(3));
    assert_eq!(row.hold.message.as_deref(), Some("ask first"));
    let sensitivity = Some(Sensitivity::Critical);
    assert_eq!(row.hold.sensitivity, sensitivity);
    assert_eq!(decision(&enriched).sensitivity, sensitivity);
    assert!(enriched.outcome.is_none(), "it has only begun");
}

/// An agent that comes back reads what the one before it wrote down.
#[test]
fn a_hold_from_before_rules_had_a_sensitivity_is_still_read() {
    let row = read(&held()).opened.unwrap();
    let mut stored = serde_json::to_value(&row).unwrap();
    let hold = stored.pointer_mut("/hold").unwrap();
    let had = hold.as_object_mut().unwrap().remove("sensitivity").unwrap();
    assert_eq!(had, "critical");
    let before: Row = serde_json::from_value(stored).unwrap();
    assert_eq!(before.hold.sensitivity, None);
    assert_eq!(before.hold.id, row.hold.id);
}

#[test]
fn an_outcome_names_who_answered_and_why() {
    let board = Arc::new(Board::default());
    let by = "carol".parse().unwrap();
    let refused = hold(0xabc)
        .step(
            Fact::Refuse {
                by,
                reason: "not today".into(),
            },
            NOW,
        )
        .unwrap()
        .hold;
    assert_eq!(refused.state.phase(), HoldPhase::Refused);
    board.put(&refused);
    let record = RawRecord {
        verdict: Verdict::Denied,
        reason: Reason::HoldRefused,
        ..held()
    };
    let enriched = enricher(&board).enrich(&record, &Mounts::default(), &AT);
    let known = decision(&enriched).hold.as_ref().unwrap();
    assert_eq!(known.answered_by.as_ref().unwrap().as_str(), "carol");
    assert!(enriched.told.unwrap().text.contains("not today"));
    assert_eq!(enriched.outcome, Some((0xabc, Reason::HoldRefused)));
}

#[test]
fn a_hold_that_lapsed_is_told_as_that_and_as_nobodys_refusal() {
    let board = Arc::new(Board::default());
    let why = "stage 1 of prod-change: nobody approved in 15m".to_owned();
    let lapsed = hold(0xabc).step(Fact::Lapsed { why: why.clone() }, NOW);
    board.put(&lapsed.unwrap().hold);
    let record = RawRecord {
        verdict: Verdict::Denied,
        reason: Reason::HoldRefused,
        ..held()
    };
    let enriched = enricher(&board).enrich(&record, &Mounts::default(), &AT);
    assert_eq!(decision(&enriched).reason, Reason::HoldLapsed);
    let known = decision(&enriched).hold.as_ref().unwrap();
    assert_eq!(
        (&known.answered_by, &known.answer_reason),
        (&None, &Some(why.clone()))
    );
    // The hold's own life goes by the kernel's word.
    assert_eq!(enriched.outcome, Some((0xabc, Reason::HoldRefused)));
    let text = enriched.told.unwrap().text;
    assert!(
        text.contains(&why) && text.contains("nobody refused it"),
        "{text}"
    );
}

struct Ring(mpsc::Receiver<RawRecord>, [u64; 3]);

impl Source for Ring {
    async fn next(&mut self) -> Option<RawRecord> {
        self.0.recv().await
    }
    fn malformed(&self) -> [u64; 3] {
        self.1
    }
}

struct Rig {
    records: mpsc::Sender<RawRecord>,
    spool: Arc<Spool>,
    holds: Receiver<Message>,
    _place: tempfile::TempDir,
}

fn start(counters: Counters, malformed: [u64; 3]) -> Rig {
    let place = tempfile::tempdir().unwrap();
    let spool = spool(place.path());
    let (records, ring) = mpsc::channel(64);
    let (inbox, holds) = channel();
    let recorder = Recorder {
        source: Ring(ring, malformed),
        counters: Arc::new(Still(counters)),
        enricher: enricher(&Arc::default()),
        spool: Arc::clone(&spool),
        stored: watch::Sender::new(0),
        holds: inbox,
        recover: Some(Message::Recover(Box::new(|_| None))),
        teller: Teller::silent(),
        explanations: Arc::new(Explanations::default()),
        alive: Arc::new(AtomicU64::new(0)),
    };
    tokio::spawn(recorder.run());
    Rig {
        records,
        spool,
        holds,
        _place: place,
    }
}

impl Rig {
    async fn events(&self, count: usize) -> Vec<EventKind> {
        for _ in 0..400 {
            let batch = self.spool.hand_out(0, NOW).unwrap();
            if batch.len() >= count {
                return batch.iter().map(kind).collect();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{count} events never came");
    }
}

fn kind(one: &Numbered) -> EventKind {
    use prost::Message as _;
    let mut wire = stayhand_proto::v1::Event::decode(one.payload.as_slice()).unwrap();
    wire.sequence = one.sequence;
    decode_event(&wire.encode_to_vec()).unwrap().kind
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_agent_lost_is_counted_once_everything_is_quiet() {
    let rig = start(
        Counters {
            recorded: [3, 4, 0],
            lost: [0, 1, 0],
            ..Counters::default()
        },
        [0; 3],
    );
    rig.records.send(held()).await.unwrap();
    let mut told: Vec<(EventClass, &str, u64)> = vec![];
    for event in rig.events(4).await {
        if let EventKind::Lost(lost) = event {
            told.push((lost.class, lost.stage.as_str(), lost.count));
        }
    }
    told.sort_unstable();
    assert_eq!(
        told,
        [
            (EventClass::A, "crash", 2),
            (EventClass::B, "crash", 3),
            (EventClass::B, "ring", 1)
        ]
    );
    let balance = rig.spool.reconcile([3, 4, 0], [0, 1, 0], NOW);
    assert!(
        balance
            .iter()
            .all(|class| class.recorded == class.stored + class.lost),
        "{balance:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_no_records_are_counted_losses() {
    let rig = start(
        Counters {
            recorded: [0, 0, 2],
            ..Counters::default()
        },
        [0, 0, 2],
    );
    let events = rig.events(1).await;
    let EventKind::Lost(lost) = &events[0] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (lost.class, lost.stage.as_str(), lost.count),
        (EventClass::C, "decode", 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_stored_before_its_manager_hears_of_it_and_recovery_comes_after_the_rings() {
    let rig = start(
        Counters {
            recorded: [1, 0, 0],
            ..Counters::default()
        },
        [0; 3],
    );
    rig.records.send(held()).await.unwrap();
    let Rig { spool, holds, .. } = &rig;
    let heard = tokio::task::block_in_place(|| {
        let first = holds
            .recv_timeout(std::time::Duration::from_secs(5))
            .unwrap();
        let stored = spool.stats().spooled;
        let second = holds
            .recv_timeout(std::time::Duration::from_secs(5))
            .unwrap();
        (
            matches!(first, Message::Opened(..)),
            stored,
            matches!(second, Message::Recover(_)),
        )
    });
    assert_eq!(heard, (true, 1, true));
}
