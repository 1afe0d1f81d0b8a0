//! The answers. Each takes the peer first and is about nobody else, unless the peer is unguarded root.

use std::{collections::HashMap, sync::Arc};

use stayhand_guardrail::{event::DecisionEvent, message::Notice, subject::Subject, time::UnixMs};
use stayhand_proto::{
    convert::{name, sent_sensitivity, timestamp},
    message::Identity,
    v1,
};
use tonic::{Request, Response, Status};

use super::Peer;
use crate::{
    catalog::Catalog,
    clock::Now,
    explain::Explanations,
    health::{Health, Part},
    holds::Board,
    kernel::pidfd::PidFd,
    port::{CounterMap, Pins},
    spool::Spool,
    users::Names,
};

/// What answers are made of.
pub struct Answers {
    /// How the agent is
    pub health: Arc<Health>,
    /// What stopped whom
    pub explanations: Arc<Explanations>,
    /// Pending holds
    pub board: Arc<Board>,
    /// Who is guarded
    pub catalog: Catalog,
    /// Events
    pub spool: Arc<Spool>,
    /// The kernel's counters
    pub counters: Arc<dyn CounterMap>,
    /// Who processes are
    pub pins: Arc<dyn Pins>,
    /// Uid of the control plane, if it is not root's
    pub control_uid: Option<u32>,
}

impl Answers {
    /// Whether a peer may see what is about others.
    fn sees_all(&self, peer: &Peer) -> bool {
        let guarded = peer
            .pinned
            .is_some_and(|pinned| self.catalog.is_guarded(pinned.auid));
        !peer.unknown && !guarded && peer.uid == 0
    }

    fn is_control(&self, peer: &Peer) -> bool {
        !peer.unknown && peer.pinned.is_none() && Some(peer.uid) == self.control_uid
    }

    fn why(&self, peer: &Peer, request: v1::WhyRequest) -> Vec<v1::Explanation> {
        let whose = match peer.pinned {
            _ if self.sees_all(peer) => None,
            Some(pinned) => Some(pinned.auid),
            None => return vec![],
        };
        let now = Now::read();
        let stale = self.health.now().stale(&now);
        let pid = (request.pid != 0).then_some(request.pid);
        let count = usize::try_from(request.last.max(1)).unwrap_or(1);
        let (_, holds) = self.board.changed_since(0);
        let pending: Vec<_> = holds
            .into_iter()
            .filter(|hold| !hold.state.is_over())
            .collect();
        let found = self.explanations.last(whose, pid, &pending, count);
        found
            .into_iter()
            .map(|(time, decision)| explanation(time, decision, now.unix, stale.clone()))
            .collect()
    }

    fn status(&self) -> v1::AgentStatus {
        let (facts, now, stats) = (self.health.facts(), self.health.now(), self.spool.stats());
        let mut problems: Vec<String> = now.problems.values().cloned().collect();
        let counters = self.counters().unwrap_or_else(|error| {
            problems.push(format!("cannot read the kernel's counters: {error}"));
            HashMap::new()
        });
        v1::AgentStatus {
            version: facts.version.clone(),
            enforced: !facts.hooks.is_empty() && !now.problems.contains_key(&Part::Hooks),
            problems,
            hooks: facts.hooks.iter().map(|(name, _)| name.clone()).collect(),
            kernel_release: facts.kernel_release.clone(),
            boot_id: facts.boot_id.to_string(),
            generation: now.generation.0,
            control_connected: now.control_connected,
            control_seen_time: now.control_seen.map(timestamp),
            holds_pending: self.board.pending() as u64,
            counters,
            events_spooled: stats.spooled,
            events_sent: stats.acknowledged,
            verified_instructions: facts
                .hooks
                .iter()
                .filter_map(|(name, count)| Some((name.clone(), u64::from((*count)?))))
                .collect(),
            floor: facts.floor.clone(),
            leases_void_time: now.fresh_until().map(|until| {
                let moment = Now::read();
                timestamp(moment.unix.plus(until.left(&moment)))
            }),
        }
    }

    /// The kernel's counters and what became of each class: recorded = stored + lost + waiting + open.
    fn counters(&self) -> Result<HashMap<String, u64>, crate::port::PortError> {
        let found = self.counters.counters()?;
        let balance = self
            .spool
            .reconcile(found.recorded, found.lost, Now::read().unix);
        let mut all: HashMap<String, u64> = [
            ("storage-failed", found.storage_failed),
            ("rejudged", found.rejudged),
            ("hold-unpublished", found.hold_unpublished),
            ("restopped", found.restopped),
            ("question-lost", found.question_lost),
            ("unanswered", found.unanswered),
            ("uncounted", found.uncounted),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        for (class, one) in ["a", "b", "c"].into_iter().zip(balance) {
            for (what, count) in [
                ("recorded", one.recorded),
                ("events", one.stored),
                ("lost", one.lost),
                ("waiting", one.waiting),
                ("open", one.open),
            ] {
                all.insert(format!("{what}-{class}"), count);
            }
        }
        Ok(all)
    }

    fn identify(&self, peer: &Peer, pid: u32) -> Result<Identity, Status> {
        if !self.sees_all(peer) && !self.is_control(peer) {
            return Err(Status::permission_denied(
                "only root whom no policy guards may ask who a process is; ask about yourself with `stayhand why`",
            ));
        }
        let unreadable = |error: &dyn std::fmt::Display| {
            Status::internal(format!("cannot look at process {pid}: {error}"))
        };
        let process = PidFd::open(pid).map_err(|error| unreadable(&error))?;
        let process =
            process.ok_or_else(|| Status::not_found(format!("there is no process {pid}")))?;
        let pinned = self
            .pins
            .pinned(&process)
            .map_err(|error| unreadable(&error))?;
        let Some(pinned) = pinned else {
            return Ok(Identity {
                subject: None,
                guarded: false,
            });
        };
        let session = (pinned.session != stayhand_agent_ebpf::abi::UNSET).then_some(pinned.session);
        let subject = Subject {
            auid: pinned.auid,
            user: Names::default().of(pinned.auid),
            session,
        };
        Ok(Identity {
            subject: Some(subject),
            guarded: self.catalog.is_guarded(pinned.auid),
        })
    }
}

fn explanation(
    time: UnixMs,
    decision: DecisionEvent,
    now: UnixMs,
    no_grant_counts: Option<String>,
) -> v1::Explanation {
    let notice = Notice::of(&decision, now).where_no_grant_counts(no_grant_counts);
    let hold = decision.hold;
    v1::Explanation {
        time: Some(timestamp(time)),
        verdict: v1::Verdict::from(decision.verdict).into(),
        reason: decision.reason.to_string(),
        operation: v1::Operation::from(decision.operation).into(),
        object: Some(decision.object.into()),
        process: Some(decision.process.into()),
        rule: decision.rule.map(Into::into),
        message: decision.message.unwrap_or_default(),
        sensitivity: sent_sensitivity(decision.sensitivity),
        permission: decision
            .permission
            .map(|permission| permission.to_string())
            .unwrap_or_default(),
        hold: hold
            .as_ref()
            .map(|hold| name::hold(hold.id))
            .unwrap_or_default(),
        hold_expire_time: hold.as_ref().map(|hold| timestamp(hold.deadline)),
        answered_by: hold
            .as_ref()
            .and_then(|hold| hold.answered_by.clone())
            .map(String::from)
            .unwrap_or_default(),
        answer_reason: hold.and_then(|hold| hold.answer_reason).unwrap_or_default(),
        advice: notice.advice,
        command: notice.command.unwrap_or_default(),
    }
}

fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().copied();
    peer.ok_or_else(|| Status::internal("the connection has no peer"))
}

#[tonic::async_trait]
impl v1::local_service_server::LocalService for Answers {
    async fn why(
        &self,
        request: Request<v1::WhyRequest>,
    ) -> Result<Response<v1::WhyResponse>, Status> {
        let peer = peer(&request)?;
        let explanations = self.why(&peer, request.into_inner());
        Ok(Response::new(v1::WhyResponse { explanations }))
    }

    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::AgentStatus>, Status> {
        Ok(Response::new(self.status()))
    }

    async fn identify_process(
        &self,
        request: Request<v1::IdentifyProcessRequest>,
    ) -> Result<Response<v1::IdentifyProcessResponse>, Status> {
        let peer = peer(&request)?;
        let identity = self.identify(&peer, request.get_ref().pid)?;
        Ok(Response::new(identity.into()))
    }
}
