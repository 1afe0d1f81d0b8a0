//! Events: stored once whatever is sent how often, acknowledged after the commit, gaps counted, nothing dropped
//! for a slow reader.

use std::collections::BTreeMap;

use std::time::Duration;

use stayhand_guardrail::{
    action::{Object, Operation, ProcessInfo},
    event::{
        AccessTokenChange, AccessTokenChanged, AgentState, AuthorityChange, AuthorityChanged,
        DecisionEvent, Door, EnforcementEvent, Event, EventClass, EventKind, FlagChanged,
        GrantChanged, HoldChanged, JoinTokenChange, JoinTokenChanged, LockChange, LockChanged,
        LossStage, Lost, MembershipChange, MembershipChanged, PolicyChange, PolicyChanged,
        SessionChange, SessionChanged, Tamper,
    },
    grant::GrantChange,
    hold::HoldPhase,
    host::Phase,
    id::{
        AccessTokenId, EventSeq, Generation, GrantId, HoldId, JoinTokenId, LockId, Revision,
        SessionId,
    },
    lock::Target,
    reason::{Reason, Verdict},
    subject::Subject,
    time::UnixMs,
};
use stayhand_proto::v1::{self, GetHostRequest, TailEventsRequest, event::Kind};
use tonic::Code;
use uuid::Uuid;

use crate::{
    agent::{EventStream, HostStream, hello},
    world::{PROD, World, create, failed},
};

const EPOCH: u128 = 0xe;

fn event(seq: u64, kind: EventKind) -> v1::Event {
    let event = Event {
        host: "what-a-message-says".parse().unwrap(),
        boot_id: Uuid::from_u128(1),
        epoch: Uuid::from_u128(EPOCH),
        seq: EventSeq(seq),
        time: UnixMs(1_700_000_000_000 + seq % 1_000_000),
        kind,
    };
    event.into()
}

fn started(seq: u64) -> v1::Event {
    let state = AgentState {
        version: "0.1.0".into(),
        enforced: true,
        detail: format!("number {seq}"),
    };
    event(seq, EventKind::AgentStarted(state))
}

fn lost(seq: u64, count: u64) -> v1::Event {
    let lost = Lost {
        class: EventClass::B,
        count,
        stage: LossStage::Ring,
        since: UnixMs(1),
    };
    event(seq, EventKind::Lost(lost))
}

/// Numbers of the host's stored events, in the order of their positions.
async fn stored(world: &World) -> Vec<u64> {
    let all = world.all_events().await;
    let own = all
        .into_iter()
        .filter(|event| event.epoch == Uuid::from_u128(EPOCH).to_string());
    own.map(|event| event.sequence).collect()
}

async fn host(world: &World) -> v1::Host {
    let request = GetHostRequest {
        name: world.host_name(),
    };
    world
        .hosts()
        .await
        .get_host(request)
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_number_ends_the_stream_and_stores_nothing_of_its_batch() {
    let world = World::new().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    let hostile = v1::Event {
        sequence: 0,
        ..started(2)
    };
    let refused = stream.publish(vec![started(1), hostile]).await;
    failed(refused, Code::InvalidArgument, "INVALID_FIELD", "sequence");
    assert!(stored(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_over_the_limit_is_refused() {
    let world = World::new().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    let refused = stream.publish((1..=513).map(started).collect()).await;
    failed(
        refused,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "513 events",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_cannot_be_stored_is_refused() {
    let world = World::new().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    let refused = stream.publish(vec![started(u64::MAX)]).await;
    failed(refused, Code::InvalidArgument, "INVALID_FIELD", "sequence");
    assert!(stored(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_cannot_write_into_the_control_planes_own_record() {
    let world = World::with_policy().await;
    let own = world.all_events().await.remove(0).epoch;
    let mut stream = EventStream::open(world.host_channel().await).await;
    let forged = v1::Event {
        epoch: own,
        ..started(99)
    };
    failed(
        stream.publish(vec![forged]).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "own epoch",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_becomes_a_counted_loss_under_its_number() {
    let world = World::new().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    let hostile = v1::Event {
        kind: Some(Kind::Decision(v1::DecisionEvent::default())),
        ..started(2)
    };
    assert_eq!(
        stream
            .publish(vec![started(1), hostile, started(3)])
            .await
            .unwrap(),
        3
    );
    let second = world.all_events().await.remove(1);
    match second.kind {
        Some(Kind::Lost(lost)) => assert_eq!((lost.count, lost.stage.as_str()), (1, "decode")),
        other => panic!("{other:?}"),
    }
}

/// As many events as the store takes, and how many that were. After them it takes none for longer than anything else takes.
pub(crate) async fn fill(stream: &mut EventStream) -> u64 {
    let large = |seq| {
        let state = AgentState {
            version: "0".into(),
            enforced: true,
            detail: "x".repeat(8_000),
        };
        event(seq, EventKind::AgentStarted(state))
    };
    let mut acknowledged = 0;
    loop {
        let batch = (acknowledged + 1..=acknowledged + 20).map(large).collect();
        match tokio::time::timeout(FULL_AFTER, stream.publish(batch)).await {
            Ok(taken) => acknowledged = taken.unwrap(),
            Err(_) => return acknowledged,
        }
        assert!(acknowledged < 10_000, "a few MiB cannot hold this");
    }
}

/// Longer than a batch takes on a busy machine.
const FULL_AFTER: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_with_the_remedy_and_loses_nothing_that_it_acknowledged() {
    let mut world = World::with(|config| config.state.database_mib_max = Some(4)).await;
    world.apply(PROD).await.unwrap();
    let mut stream = EventStream::open(world.host_channel().await).await;
    let acknowledged = fill(&mut stream).await;
    let mut grants = world.grants().await;
    let mut made = 0;
    let full = loop {
        let grant = v1::CreateGrantRequest {
            reason: "x".repeat(200),
            ..create()
        };
        match grants.create_grant(grant).await {
            Ok(_) => made += 1,
            Err(status) => break status,
        }
        assert!(made < 10_000, "4 MiB cannot hold this");
    };
    assert!(made > 20, "{made} changes had room after all events");
    let failure = failed(
        Err::<(), _>(full),
        Code::ResourceExhausted,
        "STORE_FULL",
        "nothing was lost",
    );
    assert!(failure.remedy.contains("free space"), "{failure:?}");
    drop((stream, grants));
    world.stop().await;
    world.start().await;
    assert_eq!(
        stored(&world).await,
        (1..=acknowledged).collect::<Vec<u64>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_batch_is_stored_once() {
    let world = World::new().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    assert_eq!(
        stream.publish(vec![started(1), started(2)]).await.unwrap(),
        2
    );
    drop(stream);
    let mut stream = EventStream::open(world.host_channel().await).await;
    assert_eq!(
        stream
            .publish(vec![started(1), started(2), started(3)])
            .await
            .unwrap(),
        3
    );
    assert_eq!(stored(&world).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn skipped_numbers_and_counted_losses_show_at_the_host() {
    let world = World::new().await;
    let mut sync = HostStream::open(world.host_channel().await, hello(0)).await;
    sync.state().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    assert_eq!(
        stream
            .publish(vec![started(1), started(5), lost(6, 12)])
            .await
            .unwrap(),
        6
    );
    let seen = host(&world).await;
    assert_eq!(
        (
            seen.events_acknowledged,
            seen.events_missing,
            seen.events_lost
        ),
        (6, 3, 12)
    );
    assert_eq!(
        stream
            .publish(vec![started(2), started(3), started(4)])
            .await
            .unwrap(),
        6
    );
    assert_eq!(
        host(&world).await.events_missing,
        0,
        "what comes late is missing no more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_tail_gets_every_event_in_order() {
    let world = World::with_policy().await;
    let request = TailEventsRequest {
        follow: true,
        host: world.host_name(),
        ..Default::default()
    };
    let mut tail = world
        .events()
        .await
        .tail_events(request)
        .await
        .unwrap()
        .into_inner();
    let mut stream = EventStream::open(world.host_channel().await).await;
    for batch in 0..20 {
        let first = batch * 100 + 1;
        assert_eq!(
            stream
                .publish((first..first + 100).map(started).collect())
                .await
                .unwrap(),
            first + 99
        );
    }
    world.grants().await.create_grant(create()).await.unwrap();
    let (mut numbers, mut position) = (vec![], 0);
    loop {
        let one = tail.message().await.unwrap().unwrap();
        assert!(one.position > position);
        position = one.position;
        let event = one.event.unwrap();
        assert_eq!(event.host, world.host_name());
        match event.kind {
            Some(Kind::Agent(_)) => numbers.push(event.sequence),
            Some(Kind::GrantChanged(_)) => break,
            _ => {}
        }
    }
    assert_eq!(numbers, (1..=2_000).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_starts_where_it_is_asked_to() {
    let world = World::new().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    stream
        .publish((1..=10).map(started).collect())
        .await
        .unwrap();
    let tail = async |request: TailEventsRequest| {
        let mut tail = world
            .events()
            .await
            .tail_events(request)
            .await?
            .into_inner();
        let mut seen = vec![];
        while let Some(one) = tail.message().await? {
            seen.push((one.position, one.event.unwrap().sequence));
        }
        Ok::<_, tonic::Status>(seen)
    };
    let last = tail(TailEventsRequest {
        last: 3,
        ..Default::default()
    })
    .await
    .unwrap();
    assert_eq!(
        last.iter().map(|(_, seq)| *seq).collect::<Vec<_>>(),
        [8, 9, 10]
    );
    let after = tail(TailEventsRequest {
        after: last[0].0,
        ..Default::default()
    })
    .await
    .unwrap();
    assert_eq!(after, last[1..]);
    let nowhere = tail(TailEventsRequest {
        host: "nowhere".into(),
        ..Default::default()
    })
    .await
    .unwrap();
    assert!(nowhere.is_empty());
    let both = tail(TailEventsRequest {
        after: 1,
        last: 1,
        ..Default::default()
    })
    .await;
    failed(both, Code::InvalidArgument, "INVALID_FIELD", "together");
}

/// Kinds of events. Another one gets a number in [`which`], and a place among those that are tried.
const KINDS: usize = 16;

/// Which kind it is, and whether an agent ever makes one.
fn which(kind: &EventKind) -> (usize, bool) {
    match kind {
        EventKind::Decision(_) => (0, true),
        EventKind::Lost(_) => (1, true),
        EventKind::AgentStarted(_) => (2, true),
        EventKind::AgentStopped(_) => (3, true),
        EventKind::Enforcement(_) => (4, true),
        EventKind::Tamper(_) => (5, true),
        EventKind::HoldChanged(_) => (6, false),
        EventKind::GrantChanged(_) => (7, false),
        EventKind::PolicyChanged(_) => (8, false),
        EventKind::FlagChanged(_) => (9, false),
        EventKind::LockChanged(_) => (10, false),
        EventKind::MembershipChanged(_) => (11, false),
        EventKind::JoinTokenChanged(_) => (12, false),
        EventKind::AuthorityChanged(_) => (13, false),
        EventKind::SessionChanged(_) => (14, false),
        EventKind::AccessTokenChanged(_) => (15, false),
    }
}

fn made_by_agents() -> Vec<EventKind> {
    let state = || AgentState {
        version: "0.1.0".into(),
        enforced: true,
        detail: "hooks: file_open".into(),
    };
    vec![
        EventKind::Decision(Box::new(DecisionEvent {
            verdict: Verdict::Held,
            reason: Reason::HoldPending,
            operation: Operation::Write,
            object: Object::Path {
                bytes: b"/etc/hosts".to_vec(),
            },
            object_cut: false,
            subject: Subject {
                auid: 1000,
                user: None,
                session: None,
            },
            process: ProcessInfo::default(),
            args_redacted: 0,
            generation: Generation(9),
            rule: None,
            message: None,
            sensitivity: None,
            permission: None,
            grant: None,
            hold: None,
            monitor: false,
        })),
        EventKind::Lost(Lost {
            class: EventClass::B,
            count: 1,
            stage: LossStage::Ring,
            since: UnixMs(1),
        }),
        EventKind::AgentStarted(state()),
        EventKind::AgentStopped(state()),
        EventKind::Enforcement(EnforcementEvent {
            generation: Generation(4),
            phase: Phase::Enforced,
        }),
        EventKind::Tamper(Tamper {
            what: "link gone".into(),
            subject: None,
            process: None,
        }),
    ]
}

fn made_by_operators() -> Vec<EventKind> {
    let by = || Some("carol".parse().unwrap());
    vec![
        EventKind::HoldChanged(HoldChanged {
            hold: HoldId(3),
            from: HoldPhase::Pending,
            to: HoldPhase::Approved,
            released: false,
            by: by(),
            reason: Some("forged".into()),
        }),
        EventKind::GrantChanged(GrantChanged {
            grant: GrantId(Uuid::from_u128(1)),
            change: GrantChange::Created,
            user: "alice".parse().unwrap(),
            permissions: vec!["prod/db".parse().unwrap()],
            profile: None,
            by: by(),
            reason: None,
            expire_time: UnixMs(99_000),
        }),
        EventKind::PolicyChanged(PolicyChanged {
            policy: "prod".parse().unwrap(),
            revision: Revision(2),
            by: by(),
            change: PolicyChange::Approved,
            proposal: None,
            reason: None,
        }),
        EventKind::FlagChanged(FlagChanged {
            flag: "high-traffic".parse().unwrap(),
            until: None,
            by: "root".parse().unwrap(),
            reason: "forged".into(),
        }),
        EventKind::LockChanged(LockChanged {
            lock: LockId(7),
            target: Target::new(by(), None).unwrap(),
            change: LockChange::Removed,
            until: None,
            by: by(),
            reason: None,
        }),
    ]
}

fn made_at_the_doors() -> Vec<EventKind> {
    let by = || Some("carol".parse().unwrap());
    vec![
        EventKind::MembershipChanged(MembershipChanged {
            member: "db1".parse().unwrap(),
            change: MembershipChange::Recovered,
            by: by(),
            token: None,
            address: None,
            reason: None,
        }),
        EventKind::JoinTokenChanged(JoinTokenChanged {
            token: JoinTokenId(7),
            change: JoinTokenChange::Refused,
            by: by(),
            member: None,
            expire_time: UnixMs(9_000),
            uses_left: 3,
            address: None,
            reason: None,
        }),
        EventKind::AuthorityChanged(AuthorityChanged {
            authority: 2,
            change: AuthorityChange::Retired,
            by: by(),
            reason: None,
        }),
        EventKind::SessionChanged(SessionChanged {
            session: Some(SessionId(9)),
            change: SessionChange::Revoked,
            user: by(),
            door: Door::Token,
            subject: None,
            token: Some(AccessTokenId(8)),
            by: by(),
            expire_time: None,
            address: None,
            reason: None,
        }),
        EventKind::AccessTokenChanged(AccessTokenChanged {
            token: AccessTokenId(8),
            change: AccessTokenChange::Refused,
            purpose: "deployments".to_owned(),
            user: "carol".parse().unwrap(),
            actions: vec!["flag.set".to_owned()],
            by: None,
            expire_time: UnixMs(9_000),
            address: None,
            reason: None,
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_makes_no_record_of_a_kind_that_no_agent_makes() {
    let world = World::new().await;
    let mut stream = EventStream::open(world.host_channel().await).await;
    let kinds = made_by_agents().into_iter();
    let kinds = kinds.chain(made_by_operators()).chain(made_at_the_doors());
    let (mut batch, mut own) = (vec![], BTreeMap::new());
    for (seq, kind) in (1..).zip(kinds) {
        let (number, is_own) = which(&kind);
        assert_eq!(own.insert(seq, (number, is_own)), None);
        batch.push(event(seq, kind));
    }
    let mut numbers: Vec<usize> = own.values().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..KINDS).collect::<Vec<_>>(), "every kind once");
    stream.publish(batch).await.unwrap();
    let epoch = Uuid::from_u128(EPOCH).to_string();
    let mut seen = 0;
    for event in world.all_events().await {
        if event.epoch == epoch {
            let (number, is_own) = own[&event.sequence];
            let refused = matches!(&event.kind, Some(Kind::Lost(lost)) if lost.stage == "decode");
            assert_eq!(refused, !is_own, "{number}: {:?}", event.kind);
            seen += 1;
        }
    }
    assert_eq!(seen, KINDS, "a refused one leaves its number");
}
