//! The uplink against a control plane of a few lines that hangs up, lies, and comes back.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use stayhand_guardrail::{
    event::EventClass,
    host::{HostState, Phase},
    id::Generation,
};
use stayhand_proto::{
    codec::encode_event,
    protocol::PROTOCOL,
    v1::{
        PublishEventsResponse, SyncResponse,
        host_sync_service_server::{HostSyncService, HostSyncServiceServer},
    },
};
use tokio::{net::UnixListener, task::JoinHandle};
use tokio_stream::{StreamExt as _, wrappers::UnixListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use stayhand_proto::message::{ToHost, ToHostMessage};

use super::*;
use crate::{
    health::Facts,
    spool::Entry,
    testing::{NOW, hold, identity, spool},
};

type Answers<T> = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[derive(Default)]
struct Seen {
    said: Mutex<Vec<FromHost>>,
    sequences: Mutex<Vec<u64>>,
    states: Mutex<Vec<HostState>>,
    acknowledges: AtomicBool,
    lies: AtomicBool,
}

#[derive(Clone, Default)]
struct Control(Arc<Seen>);

#[tonic::async_trait]
impl HostSyncService for Control {
    type SyncStream = Answers<SyncResponse>;
    type PublishEventsStream = Answers<PublishEventsResponse>;

    async fn sync(
        &self,
        request: Request<Streaming<SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (seen, mut said) = (Arc::clone(&self.0), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(message)) = said.message().await {
                seen.said.lock().unwrap().push(message.try_into().unwrap());
            }
        });
        let states: Vec<ToHost> = self
            .0
            .states
            .lock()
            .unwrap()
            .iter()
            .cloned()
            .map(sent)
            .collect();
        let answers = tokio_stream::iter(states.into_iter().map(|one| Ok(one.into())));
        Ok(Response::new(Box::pin(
            answers.chain(tokio_stream::pending()),
        )))
    }

    async fn publish_events(
        &self,
        request: Request<Streaming<PublishEventsRequest>>,
    ) -> Result<Response<Self::PublishEventsStream>, Status> {
        let seen = Arc::clone(&self.0);
        let answers = request.into_inner().filter_map(move |batch| {
            let batch = batch.ok()?.events;
            let events: Vec<Event> = batch
                .iter()
                .map(|event| codec::event_of_batch(event).unwrap())
                .collect();
            seen.sequences
                .lock()
                .unwrap()
                .extend(events.iter().map(|event| event.sequence));
            let through =
                events.last()?.sequence + u64::from(seen.lies.load(Ordering::Relaxed)) * 1_000;
            let epoch = events.last()?.epoch.clone();
            let response = PublishEventsResponse {
                epoch,
                acknowledged_through: through,
            };
            seen.acknowledges
                .load(Ordering::Relaxed)
                .then_some(Ok(response))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn sent(state: HostState) -> ToHost {
    ToHost {
        server_time: NOW,
        protocol: PROTOCOL,
        message: ToHostMessage::State(state),
    }
}

struct Rig {
    control: Control,
    /// A runtime of its own: ending it ends its connections, as the death of a process does
    server: Option<tokio::runtime::Runtime>,
    uplink: JoinHandle<()>,
    spool: Arc<Spool>,
    board: Arc<Board>,
    health: Arc<Health>,
    acks: watch::Sender<Option<Ack>>,
    stored: watch::Sender<u64>,
    woken: std::sync::mpsc::Receiver<Wake>,
    place: tempfile::TempDir,
}

impl Rig {
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let (spool, board) = (
            spool(&place.path().join("spool")),
            Arc::new(Board::default()),
        );
        let health = Arc::new(Health::new(Facts {
            version: "1".into(),
            ..Facts::default()
        }));
        let (acks, acked) = watch::channel(None);
        let stored = watch::Sender::new(0);
        let (uplink, woken) = testing::uplink(place.path(), Arc::clone(&spool));
        let uplink = Uplink {
            health: Arc::clone(&health),
            board: Arc::clone(&board),
            acks: acked,
            stored: stored.subscribe(),
            ..uplink
        };
        let uplink = tokio::spawn(uplink.run());
        let control = Control::default();
        control.0.acknowledges.store(true, Ordering::Relaxed);
        Self {
            control,
            server: None,
            uplink,
            spool,
            board,
            health,
            acks,
            stored,
            woken,
            place,
        }
    }

    fn serve(&mut self) {
        let path = self.place.path().join("control");
        drop(std::fs::remove_file(&path));
        let service = HostSyncServiceServer::new(self.control.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        self.server = Some(runtime);
    }

    fn hang_up(&mut self) {
        self.server.take().unwrap().shutdown_background();
    }

    fn store(&self, count: u64) {
        let event = identity().event(
            NOW,
            stayhand_guardrail::event::EventKind::AgentStarted(
                stayhand_guardrail::event::AgentState {
                    version: "1".into(),
                    enforced: true,
                    detail: String::new(),
                },
            ),
        );
        let entry = Entry {
            class: EventClass::A,
            recorded: false,
            payload: encode_event(event),
        };
        for _ in 0..count {
            self.spool.append(vec![entry.clone()], NOW).unwrap();
        }
        self.stored.send_modify(|count| *count += 1);
    }

    fn said(&self, found: impl Fn(&FromHost) -> bool) -> bool {
        self.control.0.said.lock().unwrap().iter().any(found)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.uplink.abort();
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_beyond_what_was_sent_is_not_believed() {
    let mut rig = Rig::start();
    rig.control.0.lies.store(true, Ordering::Relaxed);
    rig.store(3);
    rig.serve();
    until("the events came twice", || {
        rig.control.0.sequences.lock().unwrap().len() >= 6
    })
    .await;
    assert_eq!(rig.spool.stats().acknowledged, 0, "nothing was let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_control_plane_that_is_away_and_come_in_order_without_gaps() {
    let mut rig = Rig::start();
    rig.store(2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!rig.health.now().control_connected);
    rig.serve();
    until("both are acknowledged", || {
        rig.spool.stats().acknowledged == 2
    })
    .await;
    rig.control.0.acknowledges.store(false, Ordering::Relaxed);
    rig.store(3);
    until("three came", || {
        rig.control.0.sequences.lock().unwrap().len() == 5
    })
    .await;
    rig.hang_up();
    rig.control.0.acknowledges.store(true, Ordering::Relaxed);
    rig.serve();
    until("they came again", || rig.spool.stats().acknowledged == 5).await;
    let sequences = rig.control.0.sequences.lock().unwrap().clone();
    assert_eq!(
        sequences,
        [1, 2, 3, 4, 5, 3, 4, 5],
        "the same numbers for the same events"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_event_keeps_its_number_and_is_told_as_a_loss() {
    let mut rig = Rig::start();
    let entry = Entry {
        class: EventClass::B,
        recorded: true,
        payload: vec![0xff; 9],
    };
    rig.spool.append(vec![entry], NOW).unwrap();
    rig.store(1);
    rig.serve();
    until("both are acknowledged", || {
        rig.spool.stats().acknowledged == 2
    })
    .await;
    assert_eq!(*rig.control.0.sequences.lock().unwrap(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_is_told_every_hold_and_the_last_word_on_the_state() {
    let mut rig = Rig::start();
    rig.board.put(&hold(5));
    rig.serve();
    let pending =
        |id| move |said: &FromHost| matches!(said, FromHost::Hold(hold) if hold.id.0 == id);
    until("the hold that was there", || rig.said(pending(5))).await;
    rig.board.put(&hold(6));
    until("the hold that came", || rig.said(pending(6))).await;
    rig.acks
        .send_replace(Some(Ack::new(Generation(4), Phase::Enforced)));
    let enforced = |said: &FromHost| matches!(said, FromHost::Ack { ack, .. } if ack.generation == Generation(4));
    until("the acknowledgement", || rig.said(enforced)).await;
    rig.health
        .change(|health| (health.generation, health.kept) = (Generation(5), Generation(4)));
    rig.hang_up();
    rig.control.0.said.lock().unwrap().clear();
    rig.serve();
    until("all of it again", || {
        rig.said(pending(5)) && rig.said(pending(6)) && rig.said(enforced)
    })
    .await;
    let said = rig.control.0.said.lock().unwrap();
    let FromHost::Hello(hello) = &said[0] else {
        panic!("the first word is {:?}", said[0])
    };
    // The kernel has 5, and a boot would take it back.
    assert_eq!(hello.enforced_generation, Generation(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_enforced_at_once_takes_one_word_and_what_takes_longer_two() {
    let mut rig = Rig::start();
    rig.serve();
    // The first one is said once everything has been said that there was before.
    let heartbeat = |said: &FromHost| matches!(said, FromHost::Heartbeat { .. });
    until("the connection", || rig.said(heartbeat)).await;
    let say = |generation, phase| {
        let ack = Ack::new(Generation(generation), phase);
        rig.acks.send_replace(Some(ack));
    };
    let is = |generation, wanted: Phase| move |said: &FromHost| matches!(said, FromHost::Ack { ack, .. } if ack.generation == Generation(generation) && ack.phase == wanted);
    for generation in 1.. {
        let begun = Instant::now();
        say(generation, Phase::Received);
        // So that it is seen.
        tokio::time::sleep(RECEIVED_PAUSE / 5).await;
        say(generation, Phase::Enforced);
        let was_at_once = begun.elapsed() < RECEIVED_PAUSE;
        let enforced = is(generation, Phase::Enforced);
        until("that it is enforced", || rig.said(&enforced)).await;
        if was_at_once {
            let received = rig.said(is(generation, Phase::Received));
            assert!(!received, "both words were said");
            break;
        }
    }
    say(1_000, Phase::Received);
    until("that it came", || rig.said(is(1_000, Phase::Received))).await;
    say(1_000, Phase::Enforced);
    until("that it is enforced", || {
        rig.said(is(1_000, Phase::Enforced))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desired_state_reaches_the_reconciler_with_the_servers_clock() {
    let mut rig = Rig::start();
    let state = HostState {
        generation: Generation(9),
        ..HostState::default()
    };
    rig.control.0.states.lock().unwrap().push(state);
    rig.serve();
    let mut came = None;
    until("the state", || {
        came = rig.woken.try_recv().ok().or(came.take());
        came.is_some()
    })
    .await;
    let Some(Wake::State(state, _)) = came else {
        panic!("{came:?}")
    };
    assert_eq!(state.generation, Generation(9));
    assert!(rig.health.now().control_connected);
}
