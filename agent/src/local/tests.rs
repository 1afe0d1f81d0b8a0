//! Who is told what: identity from the kernel, answers about the caller only.

use std::{os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc};

use hyper_util::rt::TokioIo;
use stayhand_guardrail::{id::Generation, sensitivity::Sensitivity};
use stayhand_proto::v1::{self, local_service_client::LocalServiceClient};
use tokio::net::UnixStream;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::*;
use crate::{
    catalog::Catalog,
    explain::Explanations,
    health::{Facts, Health},
    holds::Board,
    kernel::counters::Counters,
    port::Pinned,
    testing::{ALICE, All, NOW, Still, denial, hold, spool},
};

struct Rig {
    socket: PathBuf,
    catalog: Catalog,
    explanations: Arc<Explanations>,
    board: Arc<Board>,
    _place: tempfile::TempDir,
}

/// A service whose every caller is pinned so.
fn start(caller: Option<Pinned>) -> Rig {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("agent.sock");
    let (catalog, explanations, board) = (
        Catalog::default(),
        Arc::default(),
        Arc::new(Board::default()),
    );
    catalog.guard([(1001, 1)].into());
    let hooks = vec![
        ("file_open".to_owned(), Some(1_234)),
        ("capable".to_owned(), None),
    ];
    let answers = Answers {
        health: Arc::new(Health::new(Facts {
            version: "1".into(),
            hooks,
            ..Facts::default()
        })),
        explanations: Arc::clone(&explanations),
        board: Arc::clone(&board),
        catalog: catalog.clone(),
        spool: spool(&place.path().join("spool")),
        counters: Arc::new(Still(Counters {
            recorded: [1, 2, 3],
            restopped: 4,
            ..Counters::default()
        })),
        pins: Arc::new(All(caller)),
        control_uid: None,
    };
    let listener = bind(&socket).unwrap();
    tokio::spawn(serve(listener, answers));
    Rig {
        socket,
        catalog,
        explanations,
        board,
        _place: place,
    }
}

impl Rig {
    async fn client(&self) -> LocalServiceClient<Channel> {
        let path = self.socket.clone();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://agent.invalid");
        LocalServiceClient::new(endpoint.connect_with_connector(connector).await.unwrap())
    }

    async fn why(&self, last: u32, pid: u32) -> Vec<v1::Explanation> {
        let request = v1::WhyRequest { last, pid };
        self.client()
            .await
            .why(request)
            .await
            .unwrap()
            .into_inner()
            .explanations
    }
}

const BOB: Pinned = Pinned {
    auid: 1002,
    session: 4,
    process_cookie: 10,
};

#[tokio::test]
async fn nobody_is_told_about_others_and_a_guarded_root_is_still_herself() {
    // This test runs as root, as alice does after `sudo`: the pin counts, not the uid.
    let rig = start(Some(ALICE));
    rig.explanations.add(NOW, denial(1002, "/bin/of-bob"));
    assert!(rig.why(100, 0).await.is_empty());
    rig.explanations.add(NOW, denial(1001, "/bin/of-alice"));
    assert_eq!(rig.why(100, 0).await.len(), 1);
}

#[tokio::test]
async fn a_guarded_caller_may_not_ask_who_a_process_is() {
    let rig = start(Some(ALICE));
    let request = v1::IdentifyProcessRequest {
        pid: std::process::id(),
    };
    let refused = rig
        .client()
        .await
        .identify_process(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn unguarded_root_sees_all_and_may_ask_who_a_process_is() {
    let rig = start(None);
    if !nix::unistd::geteuid().is_root() {
        return; // only root is anybody here
    }
    rig.explanations.add(NOW, denial(1001, "/bin/a"));
    rig.explanations.add(NOW, denial(1002, "/bin/b"));
    assert_eq!(rig.why(100, 0).await.len(), 2);
    let mut client = rig.client().await;
    let request = v1::IdentifyProcessRequest {
        pid: std::process::id(),
    };
    let found = client.identify_process(request).await.unwrap().into_inner();
    assert!(!found.pinned && !found.guarded);
    let gone = client
        .identify_process(v1::IdentifyProcessRequest { pid: u32::MAX })
        .await
        .unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_denial_is_explained_with_rule_message_and_advice_and_by_process() {
    let rig = start(Some(ALICE));
    let mut sensitive = denial(1001, "/usr/bin/nc");
    sensitive.sensitivity = Some(Sensitivity::High);
    rig.explanations.add(NOW, sensitive);
    assert!(rig.why(1, 78).await.is_empty(), "another process");
    let told = rig.why(0, 77).await.remove(0);
    assert_eq!(
        (told.reason.as_str(), told.message.as_str()),
        ("rule-deny", "use the bastion")
    );
    assert!(!told.advice.is_empty());
    assert_eq!(told.sensitivity(), v1::Sensitivity::High);
    assert_eq!(told.rule.unwrap().rule, "r");
}

#[tokio::test]
async fn a_hold_from_before_a_restart_is_explained_from_the_journal() {
    let rig = start(Some(ALICE));
    let mut sensitive = hold(0xabc);
    sensitive.sensitivity = Some(Sensitivity::Critical);
    rig.board.put(&sensitive);
    let told = rig.why(1, 0).await.remove(0);
    assert_eq!(told.hold, "holds/0000000000000abc");
    assert_eq!(told.sensitivity(), v1::Sensitivity::Critical);
    assert!(
        told.command.contains("0000000000000abc"),
        "{}",
        told.command
    );
    rig.catalog.guard([].into());
}

#[tokio::test]
async fn everybody_may_ask_how_the_agent_is_and_the_account_is_open() {
    let rig = start(Some(BOB));
    let status = rig
        .client()
        .await
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(status.enforced);
    assert_eq!(status.counters["recorded-b"], 2);
    assert_eq!(
        status.counters["open-b"], 2,
        "recorded, and nothing stored for it"
    );
    assert_eq!(status.counters["restopped"], 4);
    assert_eq!(status.verified_instructions["file_open"], 1_234);
    assert_eq!(status.generation, Generation(0).0);
    assert_eq!(
        std::fs::metadata(&rig.socket).unwrap().mode() & 0o777,
        0o666
    );
}

#[tokio::test]
async fn garbage_and_silence_do_not_stop_the_service() {
    use tokio::io::AsyncWriteExt as _;
    let rig = start(Some(ALICE));
    let mut silent = Vec::new();
    for round in 0..40u8 {
        let Ok(mut stream) = UnixStream::connect(&rig.socket).await else {
            continue;
        };
        let _hung_up = stream.write_all(&[round; 500]).await;
        silent.push(UnixStream::connect(&rig.socket).await);
    }
    drop(silent);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(
        rig.client()
            .await
            .get_status(v1::GetStatusRequest {})
            .await
            .is_ok()
    );
}
