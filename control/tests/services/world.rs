//! One control plane in a temporary directory, with the users alice, bob, carol and others, and the group dev.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use stayhand_control::{
    config::Config,
    names::{NameService, Names, NamesError},
    server::{Running, start},
};
use stayhand_guardrail::{
    id::{GroupName, UserName},
    subject::Subject,
};
use stayhand_proto::{
    failure::Failure,
    message::Identity,
    v1::{
        self, event_service_client::EventServiceClient, grant_service_client::GrantServiceClient,
        hold_service_client::HoldServiceClient, host_service_client::HostServiceClient,
        join_token_service_client::JoinTokenServiceClient,
        policy_service_client::PolicyServiceClient,
    },
};
use tokio::{net::UnixStream, task::JoinHandle};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Uri},
};

use crate::agent::FakeAgent;

/// Guards alice and everybody in dev, and knows the permissions `db` and `nginx`.
pub(crate) const PROD: &str = "apiVersion: stayhand/v1
kind: Policy
metadata: { name: prod }
spec:
  mode: enforce
  subjects: { users: [alice], groups: [dev] }
  permissions:
    db: { net: { ops: [connect], cidr: 10.20.0.0/16, ports: [5432] } }
    nginx: { file: { ops: [write, create], path: /etc/nginx/** } }
  rules:
    - { id: db, effect: require-grant, permission: db }
    - { id: nginx, effect: hold, permission: nginx, timeout: 1m, message: ask carol }
";

/// A second policy with a permission `db`.
pub(crate) fn other_policy() -> String {
    PROD.replace("name: prod", "name: other")
}

struct FakeNames {
    people: BTreeMap<&'static str, (u32, Vec<&'static str>)>,
    is_down: Arc<AtomicBool>,
}

impl FakeNames {
    /// Root is in a file of this machine, and everybody else in the directory.
    fn asked(&self, user: &str) -> Result<(), NamesError> {
        if user == "root" || !self.is_down.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(NamesError {
            about: format!("`{user}`"),
            cause: "ECONNREFUSED: Connection refused".into(),
        })
    }
}

impl NameService for FakeNames {
    fn uid(&self, user: &UserName) -> Result<Option<u32>, NamesError> {
        self.asked(user.as_str())?;
        Ok(self.people.get(user.as_str()).map(|(uid, _)| *uid))
    }

    fn user(&self, uid: u32) -> Result<Option<UserName>, NamesError> {
        // Whoever runs the tests is root here.
        let own = nix::unistd::geteuid().as_raw();
        let uid = if uid == own { 0 } else { uid };
        let found = self.people.iter().find(|(_, (known, _))| *known == uid);
        self.asked(found.map_or("nobody", |(name, _)| *name))?;
        Ok(found.map(|(name, _)| name.parse().unwrap()))
    }

    fn groups(&self, user: &UserName) -> Result<Vec<GroupName>, NamesError> {
        self.asked(user.as_str())?;
        let found = self.people.get(user.as_str());
        Ok(found
            .map(|(_, groups)| groups.iter().map(|group| group.parse().unwrap()).collect())
            .unwrap_or_default())
    }

    fn tells(&self, group: &GroupName) -> Result<(), NamesError> {
        self.asked(group.as_str())
    }
}

fn names(is_down: &Arc<AtomicBool>) -> Names {
    let people = BTreeMap::from([
        ("root", (0, vec!["root"])),
        ("alice", (1000, vec!["alice"])),
        ("bob", (1001, vec!["bob"])),
        ("carol", (1002, vec!["carol", "stayhand-operators"])),
        // Another name of hers, and one of alice's.
        ("carol2", (1002, vec!["carol"])),
        ("alice2", (1000, vec!["alice"])),
        ("dora", (1003, vec!["dev"])),
        ("ann", (1004, vec!["auditors"])),
        ("pat", (1005, vec!["approvers"])),
        ("eve", (1006, vec!["policy-editors"])),
    ]);
    Names::new(FakeNames {
        people,
        is_down: Arc::clone(is_down),
    })
}

pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) agent: FakeAgent,
    agent_task: JoinHandle<()>,
    running: Option<Running>,
    config: Config,
    names_down: Arc<AtomicBool>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.listen.operators = dir.path().join("control.sock");
        config.listen.hosts = dir.path().join("control-host.sock");
        config.state.directory = dir.path().join("state");
        config.identity.agent_socket = dir.path().join("agent.sock");
        change(&mut config);
        let (agent, agent_task) = FakeAgent::serve(&config.identity.agent_socket);
        let names_down = Arc::default();
        let running = start(&config, names(&names_down)).await.unwrap();
        Self {
            _dir: dir,
            agent,
            agent_task,
            running: Some(running),
            config,
            names_down,
        }
    }

    /// A world with the policy `prod`.
    pub(crate) async fn with_policy() -> Self {
        let world = Self::new().await;
        world.apply(PROD).await.unwrap();
        world
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub(crate) async fn start(&mut self) {
        self.running = Some(start(&self.config, names(&self.names_down)).await.unwrap());
    }

    /// From now on the directory service answers nothing, or answers again.
    pub(crate) fn names_are_down(&self, are_down: bool) {
        self.names_down.store(are_down, Ordering::Relaxed);
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) async fn start_another(
        &self,
    ) -> Result<Running, stayhand_control::server::StartError> {
        start(&self.config, names(&self.names_down)).await
    }

    /// From now on the test's process is this user, by its pin.
    pub(crate) fn login(&self, user: &str, guarded: bool) {
        let auid = names_uid(user);
        let user = Some(user.parse().unwrap());
        self.agent.says(Identity {
            subject: Some(Subject {
                auid,
                user,
                session: Some(3),
            }),
            guarded,
        });
    }

    /// From now on the test's process has no pin, as a service that root started.
    pub(crate) fn unpinned(&self) {
        self.agent.says(Identity {
            subject: None,
            guarded: false,
        });
    }

    pub(crate) async fn kill_agent(&self) {
        self.agent_task.abort();
        std::fs::remove_file(&self.config.identity.agent_socket).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// Where hosts that are elsewhere are served.
    pub(crate) fn network(&self) -> SocketAddr {
        let running = self.running.as_ref().expect("it runs");
        running.network().expect("the network is served")
    }

    pub(crate) async fn tokens(&self) -> JoinTokenServiceClient<Channel> {
        JoinTokenServiceClient::new(self.channel().await)
    }

    pub(crate) async fn channel(&self) -> Channel {
        connect(self.config.listen.operators.clone()).await
    }

    pub(crate) async fn host_channel(&self) -> Channel {
        connect(self.config.listen.hosts.clone()).await
    }

    pub(crate) async fn grants(&self) -> GrantServiceClient<Channel> {
        GrantServiceClient::new(self.channel().await)
    }

    pub(crate) async fn holds(&self) -> HoldServiceClient<Channel> {
        HoldServiceClient::new(self.channel().await)
    }

    pub(crate) async fn hosts(&self) -> HostServiceClient<Channel> {
        HostServiceClient::new(self.channel().await)
    }

    pub(crate) async fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel().await)
    }

    pub(crate) async fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel().await)
    }

    pub(crate) async fn apply(&self, source: &str) -> Result<v1::ApplyPolicyResponse, Status> {
        let request = v1::ApplyPolicyRequest {
            source: source.into(),
            ..Default::default()
        };
        self.policies()
            .await
            .apply_policy(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Every stored event, oldest first.
    pub(crate) async fn all_events(&self) -> Vec<v1::Event> {
        let request = v1::TailEventsRequest::default();
        let mut stream = self
            .events()
            .await
            .tail_events(request)
            .await
            .unwrap()
            .into_inner();
        let mut all = vec![];
        while let Some(one) = stream.message().await.unwrap() {
            all.push(one.event.unwrap());
        }
        all
    }

    /// The name of the only host.
    #[expect(clippy::unused_self, reason = "reads as what it is: the world's host")]
    pub(crate) fn host_name(&self) -> String {
        nix::unistd::gethostname()
            .unwrap()
            .to_string_lossy()
            .to_ascii_lowercase()
    }
}

fn names_uid(user: &str) -> u32 {
    match user {
        "root" => 0,
        "alice" => 1000,
        "bob" => 1001,
        "carol" => 1002,
        "ann" => 1004,
        "pat" => 1005,
        "eve" => 1006,
        _ => 1003,
    }
}

pub(crate) async fn connect(path: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://control.local")
        .connect_with_connector(connector)
        .await
        .unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "that is the type of the field")]
pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// A grant of `db` to alice that every test varies.
pub(crate) fn create() -> v1::CreateGrantRequest {
    v1::CreateGrantRequest {
        user: "alice".into(),
        permissions: vec!["db".into()],
        ttl: seconds(60),
        reason: "deploy 17".into(),
        ..Default::default()
    }
}

/// The call failed so, with something to read that says so.
#[track_caller]
pub(crate) fn failed<T: std::fmt::Debug>(
    result: Result<T, Status>,
    code: Code,
    reason: &str,
    says: &str,
) -> Failure {
    let status = result.expect_err("it must fail");
    let failure = Failure::from(&status);
    assert_eq!(
        (failure.code, failure.reason.as_str()),
        (code, reason),
        "{failure:?}"
    );
    assert!(
        failure.message.contains(says),
        "`{}` does not say `{says}`",
        failure.message
    );
    failure
}
