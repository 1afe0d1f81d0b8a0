//! The control plane, on its socket for operators.

use std::{future::Future, time::Duration};

use stayhand_guardrail::{
    event::Event,
    id::PolicyName,
    rollout::{Phase, Plan},
    time::DurationMs,
};
use stayhand_proto::v1::{
    event_service_client::EventServiceClient, flag_service_client::FlagServiceClient,
    grant_service_client::GrantServiceClient, hold_service_client::HoldServiceClient,
    host_service_client::HostServiceClient, identity_service_client::IdentityServiceClient,
    policy_service_client::PolicyServiceClient,
};
use stayhand_proto::{
    convert::{Invalid, span},
    v1,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Status, transport::Channel};

use super::{ANSWER_BYTES_MAX, answer, in_time};
use crate::{
    access::{self, Access},
    args::Global,
    connect::{Listener, connect},
    failure::Failure,
    screen::Screen,
    session_file::SessionFile,
    time::Moment,
    view::{Applied, Caller, Flag, Grant, Hold, Host, Policy, PolicyStatus, Proposal, Rollout},
};

const CONTROL: Listener = Listener {
    name: "the control plane",
    unit: "stayhand-control",
    elsewhere: "another place is named by --server or STAYHAND_SERVER",
};
/// Things asked for at once.
const PAGE: i32 = 200;
/// The same of things that name every host, each with some 80 bytes: with twenty thousand hosts an answer has 40 MiB, and
/// [`ANSWER_BYTES_MAX`] is more.
const FLEET_PAGE: i32 = 25;
/// Pages of one listing: beyond 200,000 things, by [`FLEET_PAGE`], a listing is of no use, and a server that never ends must
/// not keep us.
const PAGES_MAX: usize = 8_000;

/// A connection to the control plane.
#[derive(Debug)]
pub(crate) struct Control {
    channel: Channel,
    patience: Duration,
}

/// What a grant is made from.
#[derive(Clone, Debug)]
pub(crate) struct NewGrant {
    pub(crate) user: String,
    pub(crate) permissions: Vec<String>,
    /// In the place of permissions
    pub(crate) profile: Option<String>,
    /// NAME=VALUE
    pub(crate) values: Vec<String>,
    /// Empty: every host
    pub(crate) hosts: Vec<String>,
    pub(crate) length: DurationMs,
    pub(crate) reason: String,
    /// Makes a repetition harmless
    pub(crate) request_id: String,
    pub(crate) dry_run: bool,
}

/// What is to become the newest revision of a policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewRevision {
    pub(crate) source: String,
    pub(crate) dry_run: bool,
    /// The revision that it is to replace, if only that one
    pub(crate) replaces: Option<u64>,
    /// None: every host gets it at once
    pub(crate) rollout: Option<Plan>,
    /// Stop a roll-out of the policy that runs, for this reason
    pub(crate) stop_reason: Option<String>,
}

/// Where a tail of events starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// After this position; 0 is from the oldest on
    After(u64),
    /// With the last so many
    Last(u32),
}

/// One stored event.
#[derive(Debug)]
pub(crate) struct Tailed {
    /// Where it is in the control plane's store
    pub(crate) position: u64,
    /// The event, or why this program cannot read it
    pub(crate) event: Result<Event, String>,
}

impl Control {
    pub(crate) async fn connect(global: &Global) -> Result<Self, Failure> {
        let patience = global.patience();
        let channel = match Access::of(global)? {
            Access::Socket(path) => connect(&path, CONTROL, patience).await?,
            Access::Session(session) => {
                return Box::pin(Self::with_session(*session, patience)).await;
            }
            Access::Token(token, address) => {
                in_time(patience, Box::pin(access::with_token(&token, &address))).await?
            }
        };
        Ok(Self { channel, patience })
    }

    pub(crate) async fn with_session(
        session: SessionFile,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let channel = in_time(patience, Box::pin(access::with_session(session))).await?;
        Ok(Self { channel, patience })
    }

    fn flags(&self) -> FlagServiceClient<Channel> {
        FlagServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    fn grants(&self) -> GrantServiceClient<Channel> {
        GrantServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    fn holds(&self) -> HoldServiceClient<Channel> {
        HoldServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn hosts(&self) -> HostServiceClient<Channel> {
        HostServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Whom it takes us for.
    pub(crate) async fn caller(&self) -> Result<Caller, Failure> {
        let mut identity = IdentityServiceClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        let call = identity.get_identity(v1::GetIdentityRequest {});
        Ok(Caller::of(
            answer("ask who you are", self.patience, call).await?,
        ))
    }

    pub(crate) async fn create_grant(&self, new: NewGrant) -> Result<Grant, Failure> {
        let request = v1::CreateGrantRequest {
            user: new.user,
            permissions: new.permissions,
            ttl: Some(span(new.length)),
            reason: new.reason,
            request_id: new.request_id,
            validate_only: new.dry_run,
            hosts: new.hosts,
            profile: new.profile.unwrap_or_default(),
            values: new.values,
        };
        let mut grants = self.grants();
        let call = grants.create_grant(request);
        answer("create the grant", self.patience, call)
            .await
            .map(Grant::of)
    }

    /// One grant, by its id or a unique beginning of it; `what` is what it is wanted for.
    pub(crate) async fn grant(&self, id: &str, what: &str) -> Result<Grant, Failure> {
        let name = format!("grants/{id}");
        let mut grants = self.grants();
        let call = grants.get_grant(v1::GetGrantRequest { name });
        answer(what, self.patience, call).await.map(Grant::of)
    }

    pub(crate) async fn list_grants(&self, all: bool, user: &str) -> Result<Vec<Grant>, Failure> {
        let listed = pages(async |page_token| {
            let request = v1::ListGrantsRequest {
                page_size: FLEET_PAGE,
                page_token,
                show_ended: all,
                user: user.to_owned(),
            };
            let mut grants = self.grants();
            let page = answer(
                "list the grants",
                self.patience,
                grants.list_grants(request),
            )
            .await?;
            Ok((page.grants, page.next_page_token))
        });
        Ok(listed.await?.into_iter().map(Grant::of).collect())
    }

    pub(crate) async fn revoke_grant(&self, id: &str, reason: String) -> Result<Grant, Failure> {
        let request = v1::RevokeGrantRequest {
            name: format!("grants/{id}"),
            reason,
            etag: String::new(),
        };
        let mut grants = self.grants();
        let call = grants.revoke_grant(request);
        answer("revoke the grant", self.patience, call)
            .await
            .map(Grant::of)
    }

    /// The grant now and after every change.
    pub(crate) async fn watch_grant(
        &self,
        id: &str,
    ) -> Result<impl Stream<Item = Result<Grant, Failure>> + Unpin + use<>, Failure> {
        let name = format!("grants/{id}");
        let mut grants = self.grants();
        let call = grants.watch_grant(v1::WatchGrantRequest { name });
        let stream = answer("watch the grant", self.patience, call).await?;
        Ok(stream.map(|sent| sent.map(Grant::of).map_err(failed("watch the grant"))))
    }

    pub(crate) async fn list_holds(
        &self,
        all: bool,
        moment: &Moment,
    ) -> Result<Vec<Hold>, Failure> {
        let listed = pages(async |page_token| {
            let request = v1::ListHoldsRequest {
                page_size: PAGE,
                page_token,
                show_ended: all,
            };
            let mut holds = self.holds();
            let page = answer("list the holds", self.patience, holds.list_holds(request)).await?;
            Ok((page.holds, page.next_page_token))
        });
        let listed = listed.await?.into_iter();
        Ok(listed.map(|hold| Hold::of(hold, moment)).collect())
    }

    /// One hold, by its id or a unique beginning of it; `what` is what it is wanted for.
    pub(crate) async fn hold(
        &self,
        id: &str,
        what: &str,
        moment: &Moment,
    ) -> Result<Hold, Failure> {
        let name = format!("holds/{id}");
        let mut holds = self.holds();
        let call = holds.get_hold(v1::GetHoldRequest { name });
        let hold = answer(what, self.patience, call).await?;
        Ok(Hold::of(hold, moment))
    }

    pub(crate) async fn approve_hold(
        &self,
        id: &str,
        reason: String,
        moment: &Moment,
    ) -> Result<Hold, Failure> {
        let name = format!("holds/{id}");
        let mut holds = self.holds();
        let call = holds.approve_hold(v1::ApproveHoldRequest { name, reason });
        let hold = answer("approve the hold", self.patience, call).await?;
        Ok(Hold::of(hold, moment))
    }

    pub(crate) async fn refuse_hold(
        &self,
        id: &str,
        reason: String,
        moment: &Moment,
    ) -> Result<Hold, Failure> {
        let name = format!("holds/{id}");
        let mut holds = self.holds();
        let call = holds.refuse_hold(v1::RefuseHoldRequest { name, reason });
        let hold = answer("refuse the hold", self.patience, call).await?;
        Ok(Hold::of(hold, moment))
    }

    /// Every pending hold, then each change.
    pub(crate) async fn watch_holds<'s>(
        &self,
        screen: &'s Screen,
    ) -> Result<impl Stream<Item = Result<Hold, Failure>> + Unpin + use<'s>, Failure> {
        let mut holds = self.holds();
        let call = holds.watch_holds(v1::WatchHoldsRequest {});
        let stream = answer("watch the holds", self.patience, call).await?;
        Ok(stream.map(|sent| {
            sent.map(|hold| Hold::of(hold, &screen.moment()))
                .map_err(failed("watch the holds"))
        }))
    }

    pub(crate) async fn list_flags(&self) -> Result<Vec<Flag>, Failure> {
        let mut flags = self.flags();
        let call = flags.list_flags(v1::ListFlagsRequest {});
        let listed = answer("list the flags", self.patience, call).await?;
        Ok(listed.flags.into_iter().map(Flag::of).collect())
    }

    /// For so long from now.
    pub(crate) async fn set_flag(
        &self,
        name: &str,
        length: DurationMs,
        reason: String,
    ) -> Result<Flag, Failure> {
        let request = v1::SetFlagRequest {
            name: format!("flags/{name}"),
            ttl: Some(span(length)),
            reason,
        };
        let mut flags = self.flags();
        let call = flags.set_flag(request);
        answer("set the flag", self.patience, call)
            .await
            .map(Flag::of)
    }

    pub(crate) async fn clear_flag(&self, name: &str, reason: String) -> Result<(), Failure> {
        let name = format!("flags/{name}");
        let mut flags = self.flags();
        let call = flags.clear_flag(v1::ClearFlagRequest { name, reason });
        answer("clear the flag", self.patience, call)
            .await
            .map(|_| ())
    }

    pub(crate) async fn list_hosts(&self) -> Result<Vec<Host>, Failure> {
        let listed = pages(async |page_token| {
            let request = v1::ListHostsRequest {
                page_size: PAGE,
                page_token,
            };
            let mut hosts = self.hosts();
            let page = answer("list the hosts", self.patience, hosts.list_hosts(request)).await?;
            Ok((page.hosts, page.next_page_token))
        });
        Ok(listed.await?.into_iter().map(Host::of).collect())
    }

    pub(crate) async fn host(&self, id: &str) -> Result<Host, Failure> {
        let name = format!("hosts/{id}");
        let mut hosts = self.hosts();
        let call = hosts.get_host(v1::GetHostRequest { name });
        answer("find the host", self.patience, call)
            .await
            .map(Host::of)
    }

    /// Of a policy that is at another revision than it replaces, nothing is changed.
    pub(crate) async fn apply_policy(&self, new: NewRevision) -> Result<Applied, Failure> {
        let NewRevision {
            source,
            dry_run,
            replaces,
            rollout,
            stop_reason,
        } = new;
        let request = v1::ApplyPolicyRequest {
            source,
            validate_only: dry_run,
            etag: replaces.map_or_else(String::new, |revision| revision.to_string()),
            rollout: rollout.map(Into::into),
            stop_reason: stop_reason.unwrap_or_default(),
        };
        let mut policies = self.policies();
        let call = policies.apply_policy(request);
        let applied = answer("apply the policy", self.patience, call).await?;
        Ok(Applied::of(applied, dry_run))
    }

    /// Makes a policy count nowhere.
    pub(crate) async fn remove_policy(
        &self,
        name: &PolicyName,
        reason: String,
        dry_run: bool,
        replaces: Option<u64>,
    ) -> Result<Applied, Failure> {
        let request = v1::RemovePolicyRequest {
            name: format!("policies/{name}"),
            reason,
            validate_only: dry_run,
            etag: replaces.map_or_else(String::new, |revision| revision.to_string()),
        };
        let mut policies = self.policies();
        let call = policies.remove_policy(request);
        let removed = answer("remove the policy", self.patience, call).await?;
        let changed = removed.proposal.is_none();
        let applied = v1::ApplyPolicyResponse {
            policy: removed.policy,
            changed,
            warnings: vec![],
            proposal: removed.proposal,
        };
        Ok(Applied::of(applied, dry_run))
    }

    /// Proposed changes without their documents, the newest first.
    pub(crate) async fn list_proposals(&self, all: bool) -> Result<Vec<Proposal>, Failure> {
        let listed = pages(async |page_token| {
            let request = v1::ListProposalsRequest {
                page_size: PAGE,
                page_token,
                show_ended: all,
            };
            let mut policies = self.policies();
            let call = policies.list_proposals(request);
            let page = answer("list the proposals", self.patience, call).await?;
            Ok((page.proposals, page.next_page_token))
        });
        Ok(listed.await?.into_iter().map(Proposal::of).collect())
    }

    pub(crate) async fn proposal(&self, number: u64) -> Result<Proposal, Failure> {
        let name = format!("proposals/{number}");
        let mut policies = self.policies();
        let call = policies.get_proposal(v1::GetProposalRequest { name });
        answer("find the proposal", self.patience, call)
            .await
            .map(Proposal::of)
    }

    pub(crate) async fn approve_proposal(
        &self,
        number: u64,
        reason: String,
    ) -> Result<Proposal, Failure> {
        let name = format!("proposals/{number}");
        let mut policies = self.policies();
        let call = policies.approve_proposal(v1::ApproveProposalRequest { name, reason });
        answer("approve the proposal", self.patience, call)
            .await
            .map(Proposal::of)
    }

    pub(crate) async fn refuse_proposal(
        &self,
        number: u64,
        reason: String,
    ) -> Result<Proposal, Failure> {
        let name = format!("proposals/{number}");
        let mut policies = self.policies();
        let call = policies.refuse_proposal(v1::RefuseProposalRequest { name, reason });
        answer("refuse the proposal", self.patience, call)
            .await
            .map(Proposal::of)
    }

    pub(crate) async fn change_rollout(
        &self,
        policy: &str,
        change: v1::change_rollout_request::Change,
        phase: Option<Phase>,
        reason: String,
    ) -> Result<Rollout, Failure> {
        let request = v1::ChangeRolloutRequest {
            name: format!("policies/{policy}"),
            change: change.into(),
            reason,
            phase: phase.map(|one| one.as_str().into()).unwrap_or_default(),
        };
        let mut policies = self.policies();
        let call = policies.change_rollout(request);
        answer("change the roll-out", self.patience, call)
            .await
            .map(Rollout::of)
    }

    /// How far every policy is, or one.
    pub(crate) async fn policy_status(
        &self,
        only: Option<&PolicyName>,
    ) -> Result<Vec<PolicyStatus>, Failure> {
        let name = only.map_or_else(String::new, |only| format!("policies/{only}"));
        let listed = pages(async |page_token| {
            let request = v1::ListPolicyStatusRequest {
                page_size: PAGE,
                page_token,
                name: name.clone(),
            };
            let mut policies = self.policies();
            let call = policies.list_policy_status(request);
            let page = answer("read how far the policies are", self.patience, call).await?;
            Ok((page.policies, page.next_page_token))
        });
        Ok(listed.await?.into_iter().map(PolicyStatus::of).collect())
    }

    /// A revision of a policy; 0 is the newest.
    pub(crate) async fn policy(&self, name: &str, revision: u64) -> Result<Policy, Failure> {
        let name = format!("policies/{name}");
        let mut policies = self.policies();
        let call = policies.get_policy(v1::GetPolicyRequest { name, revision });
        answer("find the policy", self.patience, call)
            .await
            .map(Policy::of)
    }

    pub(crate) async fn list_policies(&self) -> Result<Vec<Policy>, Failure> {
        let listed = pages(async |page_token| {
            let request = v1::ListPoliciesRequest {
                page_size: FLEET_PAGE,
                page_token,
            };
            let mut policies = self.policies();
            let call = policies.list_policies(request);
            let page = answer("list the policies", self.patience, call).await?;
            Ok((page.policies, page.next_page_token))
        });
        Ok(listed.await?.into_iter().map(Policy::of).collect())
    }

    /// Stored events with their positions, and with `follow` those to come.
    pub(crate) async fn tail_events(
        &self,
        follow: bool,
        start: Start,
        host: &str,
    ) -> Result<impl Stream<Item = Result<Tailed, Failure>> + Unpin + use<>, Failure> {
        let (after, last) = match start {
            Start::After(position) => (position, 0),
            Start::Last(count) => (0, count),
        };
        let request = v1::TailEventsRequest {
            follow,
            after,
            last,
            host: host.to_owned(),
        };
        let mut events = EventServiceClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        let stream = answer(
            "read the events",
            self.patience,
            events.tail_events(request),
        )
        .await?;
        Ok(stream.map(|sent| {
            let sent = sent.map_err(failed("read the events"))?;
            let event = sent.event.ok_or_else(|| Invalid::missing("event"));
            Ok(Tailed {
                position: sent.position,
                event: event
                    .and_then(Event::try_from)
                    .map_err(|invalid| invalid.to_string()),
            })
        }))
    }
}

fn failed(what: &'static str) -> impl Fn(Status) -> Failure {
    move |status| Failure::of_status(what, &status)
}

/// Reads a listing to its end.
async fn pages<T, F: Future<Output = Result<(Vec<T>, String), Failure>>>(
    page: impl Fn(String) -> F,
) -> Result<Vec<T>, Failure> {
    let mut all = Vec::new();
    let mut token = String::new();
    for _ in 0..PAGES_MAX {
        let (mut items, next) = page(token).await?;
        all.append(&mut items);
        if next.is_empty() {
            return Ok(all);
        }
        token = next;
    }
    Err(Failure::general(format!(
        "the listing does not end after {PAGES_MAX} pages"
    )))
}
