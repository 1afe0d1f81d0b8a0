//! Services that answer as they were told. They decide nothing: what control plane and agent decide is tested there.

mod members;

use std::{
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::Duration,
};

use stayhand_proto::failure::{AMBIGUOUS_ID, Failure};
use stayhand_proto::v1::{
    self, event_service_server as events, flag_service_server as flags,
    grant_service_server as grants, hold_service_server as holds, host_service_server as hosts,
    identity_service_server as identities, join_token_service_server as tokens,
    local_service_server as local, lock_service_server as locks, policy_service_server as policies,
};
use tempfile::TempDir;
use tokio::{net::UnixListener, sync::oneshot};
use tokio_stream::{Stream, StreamExt as _, wrappers::UnixListenerStream};
use tonic::{Code, Request, Response, Status, transport::Server};

use crate::run::{Ran, command, finish};

/// What the services answer, and what they were asked.
#[derive(Default)]
pub(crate) struct Told {
    /// Every call fails so
    pub(crate) fails: Option<Status>,
    /// No call is answered
    pub(crate) silent: bool,
    pub(crate) grants: Vec<v1::Grant>,
    /// What a watch sends, one after the other; then it stays open
    pub(crate) grant_changes: Vec<v1::Grant>,
    pub(crate) holds: Vec<v1::Hold>,
    /// What the next looks at a hold find, instead of what is stored
    pub(crate) hold_looks: Vec<v1::Hold>,
    pub(crate) hosts: Vec<v1::Host>,
    /// The first is what making one yields
    pub(crate) tokens: Vec<v1::JoinToken>,
    /// The first is what making one yields
    pub(crate) locks: Vec<v1::Lock>,
    /// The first is what setting one yields
    pub(crate) flags: Vec<v1::Flag>,
    pub(crate) policies: Vec<v1::Policy>,
    /// The first is what applying and answering yield
    pub(crate) proposals: Vec<v1::PolicyProposal>,
    pub(crate) statuses: Vec<v1::PolicyStatus>,
    pub(crate) warnings: Vec<v1::Diagnostic>,
    pub(crate) events: Vec<v1::TailEventsResponse>,
    pub(crate) explanations: Vec<v1::Explanation>,
    pub(crate) status: v1::AgentStatus,
    pub(crate) caller: Option<v1::GetIdentityResponse>,
    pub(crate) identity: Option<v1::IdentifyProcessResponse>,
    /// Calls as they arrived
    pub(crate) asked: Vec<String>,
}

/// A running set of services on a socket of their own.
pub(crate) struct Fake {
    directory: TempDir,
    told: Arc<Mutex<Told>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn new(told: Told) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new(told));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (path, service) = (directory.path().join("s"), Service(Arc::clone(&told)));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::bind(path).unwrap();
                ready.send(()).unwrap();
                let serve = Server::builder()
                    .add_service(grants::GrantServiceServer::new(service.clone()))
                    .add_service(holds::HoldServiceServer::new(service.clone()))
                    .add_service(flags::FlagServiceServer::new(service.clone()))
                    .add_service(locks::LockServiceServer::new(service.clone()))
                    .add_service(identities::IdentityServiceServer::new(service.clone()))
                    .add_service(hosts::HostServiceServer::new(service.clone()))
                    .add_service(tokens::JoinTokenServiceServer::new(service.clone()))
                    .add_service(policies::PolicyServiceServer::new(service.clone()))
                    .add_service(events::EventServiceServer::new(service.clone()))
                    .add_service(local::LocalServiceServer::new(service))
                    .serve_with_incoming(UnixListenerStream::new(listener));
                tokio::select! {
                    served = serve => served.unwrap(),
                    _ = stopped => {}
                }
            });
            // Streams that stay open must not keep the thread.
            runtime.shutdown_timeout(Duration::from_millis(10));
        });
        is_ready.recv().unwrap();
        Self {
            directory,
            told,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let socket = self.socket();
        let mut command = command(arguments);
        command
            .env("STAYHAND_SERVER", format!("unix://{}", socket.display()))
            .env("STAYHAND_AGENT_SOCKET", socket);
        command
    }

    /// Runs the program against these services.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments))
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.told.lock().unwrap().asked.clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // Dropping the sender is the signal.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Sent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
struct Service(Arc<Mutex<Told>>);

impl Service {
    /// Notes the call, and fails or keeps silent if told to.
    async fn told(&self, call: impl Into<String>) -> Result<MutexGuard<'_, Told>, Status> {
        let silent = {
            let mut told = self.0.lock().unwrap();
            told.asked.push(call.into());
            if let Some(status) = &told.fails {
                return Err(status.clone());
            }
            told.silent
        };
        if silent {
            std::future::pending::<()>().await;
        }
        Ok(self.0.lock().unwrap())
    }
}

fn unique<T: Clone>(all: &[T], name: &str, name_of: impl Fn(&T) -> &str) -> Result<T, Status> {
    let found: Vec<&T> = all
        .iter()
        .filter(|one| name_of(one).starts_with(name))
        .collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::new(
            Code::NotFound,
            "UNKNOWN_ID",
            format!("no id starts with `{name}`"),
        )
        .into()),
        many => Err(Failure::new(
            Code::InvalidArgument,
            AMBIGUOUS_ID,
            format!("`{name}` begins {} ids", many.len()),
        )
        .remedy("`stayhand hold ls` shows the ids")
        .into()),
    }
}

/// Sends what there is and then keeps quiet, as a watch does.
fn watch<T: Send + 'static>(items: Vec<T>) -> Sent<T> {
    let first = tokio_stream::iter(items.into_iter().map(Ok));
    Box::pin(first.chain(tokio_stream::pending()))
}

#[tonic::async_trait]
impl grants::GrantService for Service {
    async fn create_grant(&self, request: Request<v1::CreateGrantRequest>) -> Answer<v1::Grant> {
        let asked = request.into_inner();
        let told = self.told(format!("create {asked:?}")).await?;
        Ok(Response::new(told.grants[0].clone()))
    }

    async fn get_grant(&self, request: Request<v1::GetGrantRequest>) -> Answer<v1::Grant> {
        let name = request.into_inner().name;
        let told = self.told(format!("get {name}")).await?;
        unique(&told.grants, &name, |grant| &grant.name).map(Response::new)
    }

    async fn list_grants(
        &self,
        request: Request<v1::ListGrantsRequest>,
    ) -> Answer<v1::ListGrantsResponse> {
        let asked = request.into_inner();
        let told = self.told(format!("list {asked:?}")).await?;
        // One per page, so that paging is always exercised.
        let at: usize = asked.page_token.parse().unwrap_or(0);
        let next = at + 1;
        Ok(Response::new(v1::ListGrantsResponse {
            grants: told.grants.get(at).cloned().into_iter().collect(),
            next_page_token: if next < told.grants.len() {
                next.to_string()
            } else {
                String::new()
            },
        }))
    }

    async fn revoke_grant(&self, request: Request<v1::RevokeGrantRequest>) -> Answer<v1::Grant> {
        let asked = request.into_inner();
        let told = self.told(format!("revoke {asked:?}")).await?;
        let mut grant = unique(&told.grants, &asked.name, |grant| &grant.name)?;
        grant.set_state(v1::grant::State::Revoked);
        Ok(Response::new(grant))
    }

    type WatchGrantStream = Sent<v1::Grant>;
    async fn watch_grant(
        &self,
        request: Request<v1::WatchGrantRequest>,
    ) -> Answer<Self::WatchGrantStream> {
        let name = request.into_inner().name;
        let told = self.told(format!("watch {name}")).await?;
        Ok(Response::new(watch(told.grant_changes.clone())))
    }
}

impl Service {
    async fn answer(
        &self,
        call: &str,
        name: String,
        state: v1::hold::State,
        why: String,
    ) -> Answer<v1::Hold> {
        let told = self.told(format!("{call} {name}: {why}")).await?;
        // One that still waits is what somebody's approval has made of it.
        let waits = |look: &&v1::Hold| look.state() == v1::hold::State::Pending;
        if let Some(look) = told.hold_looks.first().filter(waits) {
            return Ok(Response::new(look.clone()));
        }
        let mut hold = unique(&told.holds, &name, |hold| &hold.name)?;
        hold.set_state(state);
        hold.answered_by = "bob".into();
        hold.answer_reason = why;
        Ok(Response::new(hold))
    }
}

#[tonic::async_trait]
impl locks::LockService for Service {
    async fn create_lock(&self, request: Request<v1::CreateLockRequest>) -> Answer<v1::Lock> {
        let asked = request.into_inner();
        let length = asked.ttl.map(|ttl| ttl.seconds);
        let told = self
            .told(format!(
                "lock `{}` `{}` for {length:?}: {}",
                asked.user, asked.host, asked.reason
            ))
            .await?;
        let made = told.locks.first().cloned();
        made.map(Response::new)
            .ok_or_else(|| Status::internal("no lock was told"))
    }

    async fn remove_lock(
        &self,
        request: Request<v1::RemoveLockRequest>,
    ) -> Answer<v1::RemoveLockResponse> {
        let asked = request.into_inner();
        let told = self
            .told(format!("remove {}: {}", asked.name, asked.reason))
            .await?;
        unique(&told.locks, &asked.name, |one| &one.name)
            .map(|_| Response::new(v1::RemoveLockResponse {}))
    }

    async fn list_locks(&self, _: Request<v1::ListLocksRequest>) -> Answer<v1::ListLocksResponse> {
        let told = self.told("list locks").await?;
        Ok(Response::new(v1::ListLocksResponse {
            locks: told.locks.clone(),
        }))
    }
}

#[tonic::async_trait]
impl flags::FlagService for Service {
    async fn set_flag(&self, request: Request<v1::SetFlagRequest>) -> Answer<v1::Flag> {
        let asked = request.into_inner();
        let seconds = asked.ttl.map_or(0, |ttl| ttl.seconds);
        let told = self
            .told(format!(
                "set {} for {seconds} s: {}",
                asked.name, asked.reason
            ))
            .await?;
        unique(&told.flags, &asked.name, |one| &one.name).map(Response::new)
    }

    async fn clear_flag(
        &self,
        request: Request<v1::ClearFlagRequest>,
    ) -> Answer<v1::ClearFlagResponse> {
        let asked = request.into_inner();
        let told = self
            .told(format!("clear {}: {}", asked.name, asked.reason))
            .await?;
        unique(&told.flags, &asked.name, |one| &one.name)
            .map(|_| Response::new(v1::ClearFlagResponse {}))
    }

    async fn list_flags(&self, _: Request<v1::ListFlagsRequest>) -> Answer<v1::ListFlagsResponse> {
        let told = self.told("list flags").await?;
        Ok(Response::new(v1::ListFlagsResponse {
            flags: told.flags.clone(),
        }))
    }
}

#[tonic::async_trait]
impl identities::IdentityService for Service {
    async fn get_identity(
        &self,
        _: Request<v1::GetIdentityRequest>,
    ) -> Answer<v1::GetIdentityResponse> {
        let told = self.told("who am I").await?;
        Ok(Response::new(told.caller.clone().unwrap_or_default()))
    }
}

#[tonic::async_trait]
impl holds::HoldService for Service {
    async fn list_holds(
        &self,
        request: Request<v1::ListHoldsRequest>,
    ) -> Answer<v1::ListHoldsResponse> {
        let asked = request.into_inner();
        let told = self.told(format!("list {asked:?}")).await?;
        Ok(Response::new(v1::ListHoldsResponse {
            holds: told.holds.clone(),
            next_page_token: String::new(),
        }))
    }

    async fn get_hold(&self, request: Request<v1::GetHoldRequest>) -> Answer<v1::Hold> {
        let name = request.into_inner().name;
        let mut told = self.told(format!("get {name}")).await?;
        let approved = told.asked.iter().any(|call| call.starts_with("approve"));
        if approved && !told.hold_looks.is_empty() {
            return Ok(Response::new(told.hold_looks.remove(0)));
        }
        unique(&told.holds, &name, |hold| &hold.name).map(Response::new)
    }

    async fn approve_hold(&self, request: Request<v1::ApproveHoldRequest>) -> Answer<v1::Hold> {
        let asked = request.into_inner();
        self.answer(
            "approve",
            asked.name,
            v1::hold::State::Approved,
            asked.reason,
        )
        .await
    }

    async fn refuse_hold(&self, request: Request<v1::RefuseHoldRequest>) -> Answer<v1::Hold> {
        let asked = request.into_inner();
        self.answer("refuse", asked.name, v1::hold::State::Refused, asked.reason)
            .await
    }

    type WatchHoldsStream = Sent<v1::Hold>;
    async fn watch_holds(
        &self,
        _: Request<v1::WatchHoldsRequest>,
    ) -> Answer<Self::WatchHoldsStream> {
        let told = self.told("watch holds").await?;
        let ending = tokio_stream::iter(told.holds.clone().into_iter().map(Ok));
        Ok(Response::new(Box::pin(ending)))
    }
}

/// What a call says of a roll-out, nothing where it says nothing.
fn rolled_out(asked: &v1::ApplyPolicyRequest) -> String {
    let plan = asked.rollout.as_ref().map(|plan| {
        let seconds = |span: Option<prost_types::Duration>| span.map_or(0, |span| span.seconds);
        let (watched, first) = (seconds(plan.monitor_for), seconds(plan.canary_for));
        let canary = plan.canary.join(" ");
        format!(
            " watched {watched} s, on {canary} {first} s, {}x",
            plan.stop_at
        )
    });
    let stop = Some(&asked.stop_reason).filter(|reason| !reason.is_empty());
    let stop = stop.map(|reason| format!(" stopping: {reason}"));
    plan.unwrap_or_default() + &stop.unwrap_or_default()
}

#[tonic::async_trait]
impl policies::PolicyService for Service {
    async fn apply_policy(
        &self,
        request: Request<v1::ApplyPolicyRequest>,
    ) -> Answer<v1::ApplyPolicyResponse> {
        let asked = request.into_inner();
        let told = self
            .told(format!(
                "apply {} bytes{}{}, {}",
                asked.source.len(),
                rolled_out(&asked),
                match asked.etag.as_str() {
                    "" => String::new(),
                    etag => format!(" in place of {etag}"),
                },
                asked.validate_only
            ))
            .await?;
        Ok(Response::new(v1::ApplyPolicyResponse {
            policy: told.policies.first().cloned(),
            changed: told.proposals.is_empty(),
            warnings: told.warnings.clone(),
            proposal: told.proposals.first().cloned(),
        }))
    }

    async fn remove_policy(
        &self,
        request: Request<v1::RemovePolicyRequest>,
    ) -> Answer<v1::RemovePolicyResponse> {
        let asked = request.into_inner();
        let told = self
            .told(format!(
                "remove {} in place of {:?}: {}, {}",
                asked.name, asked.etag, asked.reason, asked.validate_only
            ))
            .await?;
        let removed = |policy: &v1::Policy| v1::Policy {
            revision: policy.revision + 1,
            removed: true,
            source: String::new(),
            ..policy.clone()
        };
        Ok(Response::new(v1::RemovePolicyResponse {
            policy: told.policies.first().map(removed),
            proposal: told.proposals.first().cloned(),
        }))
    }

    async fn get_policy(&self, request: Request<v1::GetPolicyRequest>) -> Answer<v1::Policy> {
        let asked = request.into_inner();
        let told = self
            .told(format!("get {} {}", asked.name, asked.revision))
            .await?;
        let of_revision = |policy: &&v1::Policy| [0, policy.revision].contains(&asked.revision);
        let policies: Vec<v1::Policy> = told
            .policies
            .iter()
            .filter(of_revision)
            .take(1)
            .cloned()
            .collect();
        unique(&policies, &asked.name, |policy| &policy.name).map(Response::new)
    }

    async fn list_policies(
        &self,
        _: Request<v1::ListPoliciesRequest>,
    ) -> Answer<v1::ListPoliciesResponse> {
        let told = self.told("list policies").await?;
        Ok(Response::new(v1::ListPoliciesResponse {
            policies: told.policies.clone(),
            next_page_token: String::new(),
        }))
    }

    async fn list_proposals(
        &self,
        request: Request<v1::ListProposalsRequest>,
    ) -> Answer<v1::ListProposalsResponse> {
        let asked = request.into_inner();
        let told = self
            .told(format!("list proposals {}", asked.show_ended))
            .await?;
        Ok(Response::new(v1::ListProposalsResponse {
            proposals: told.proposals.clone(),
            next_page_token: String::new(),
        }))
    }

    async fn get_proposal(
        &self,
        request: Request<v1::GetProposalRequest>,
    ) -> Answer<v1::PolicyProposal> {
        let name = request.into_inner().name;
        let told = self.told(format!("get {name}")).await?;
        unique(&told.proposals, &name, |one| &one.name).map(Response::new)
    }

    async fn approve_proposal(
        &self,
        request: Request<v1::ApproveProposalRequest>,
    ) -> Answer<v1::PolicyProposal> {
        let asked = request.into_inner();
        let told = self
            .told(format!("approve {}: {}", asked.name, asked.reason))
            .await?;
        unique(&told.proposals, &asked.name, |one| &one.name).map(Response::new)
    }

    async fn refuse_proposal(
        &self,
        request: Request<v1::RefuseProposalRequest>,
    ) -> Answer<v1::PolicyProposal> {
        let asked = request.into_inner();
        let told = self
            .told(format!("refuse {}: {}", asked.name, asked.reason))
            .await?;
        unique(&told.proposals, &asked.name, |one| &one.name).map(Response::new)
    }

    async fn change_rollout(
        &self,
        request: Request<v1::ChangeRolloutRequest>,
    ) -> Answer<v1::PolicyRollout> {
        let asked = request.into_inner();
        let change = asked.change().as_str_name();
        let told = self
            .told(format!("{change} {}: {}", asked.name, asked.reason))
            .await?;
        let mut rollouts = told.statuses.iter().filter_map(|one| one.rollout.clone());
        let first = rollouts.next();
        first
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no roll-out"))
    }

    async fn list_policy_status(
        &self,
        request: Request<v1::ListPolicyStatusRequest>,
    ) -> Answer<v1::ListPolicyStatusResponse> {
        let name = request.into_inner().name;
        let told = self.told(format!("status {name}")).await?;
        Ok(Response::new(v1::ListPolicyStatusResponse {
            policies: told.statuses.clone(),
            next_page_token: String::new(),
        }))
    }
}

#[tonic::async_trait]
impl events::EventService for Service {
    type TailEventsStream = Sent<v1::TailEventsResponse>;
    async fn tail_events(
        &self,
        request: Request<v1::TailEventsRequest>,
    ) -> Answer<Self::TailEventsStream> {
        let asked = request.into_inner();
        let told = self.told(format!("tail {asked:?}")).await?;
        let events = told
            .events
            .iter()
            .filter(|event| event.position > asked.after)
            .cloned();
        let events: Vec<_> = events.map(Ok).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(events))))
    }
}

#[tonic::async_trait]
impl local::LocalService for Service {
    async fn why(&self, request: Request<v1::WhyRequest>) -> Answer<v1::WhyResponse> {
        let asked = request.into_inner();
        let told = self.told(format!("why {asked:?}")).await?;
        let last = usize::try_from(asked.last).unwrap();
        Ok(Response::new(v1::WhyResponse {
            explanations: told.explanations.iter().take(last).cloned().collect(),
        }))
    }

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Answer<v1::AgentStatus> {
        let told = self.told("status").await?;
        Ok(Response::new(told.status.clone()))
    }

    async fn identify_process(
        &self,
        _: Request<v1::IdentifyProcessRequest>,
    ) -> Answer<v1::IdentifyProcessResponse> {
        let told = self.told("identify").await?;
        let refused = || Status::permission_denied("only for root who is not guarded");
        told.identity.clone().map(Response::new).ok_or_else(refused)
    }
}
