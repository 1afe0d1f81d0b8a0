//! What operators are shown: domain objects together with how far the hosts are. Never part of a decision.

use stayhand_guardrail::{
    event::Door,
    grant::{Grant, HostEnforcement},
    id::{
        AccessTokenId, Generation, HostId, JoinTokenId, PolicyName, Revision, SessionId, UserName,
    },
    lock::Lock,
    policy::HostLabels,
    resource::{ResourceError, StateDigest},
    rollout::Rollout,
    time::UnixMs,
};
use uuid::Uuid;

/// Enforcement on one host, with what makes it credible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforcementView {
    /// How far the host is
    pub on: HostEnforcement,
    /// When the host last said something about it
    pub update_time: Option<UnixMs>,
    /// Whether the host is connected now
    pub online: bool,
    /// When it was last heard of; none where it never was
    pub last_seen: Option<UnixMs>,
    /// Why it refused single resources, where it did
    pub errors: Vec<ResourceError>,
    /// From when on no lease counts there, should it hear nothing until then; none where leases count until their own end
    pub void_time: Option<UnixMs>,
}

/// A grant and where it is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantView {
    /// The grant
    pub grant: Grant,
    /// Per host
    pub enforcement: Vec<EnforcementView>,
    /// Locks that stand and cover it, somewhere at least: the oldest
    pub locks: Vec<Lock>,
    /// How many others do
    pub more_locks: u32,
}

/// A policy revision and where it is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// The policy
    pub name: PolicyName,
    /// Its version
    pub revision: Revision,
    /// The YAML document; empty in lists
    pub source: String,
    /// Who applied it
    pub applied_by: UserName,
    /// When
    pub create_time: UnixMs,
    /// Per host that is to have it
    pub enforcement: Vec<EnforcementView>,
    /// How it came to the hosts; none where all got it at once
    pub rollout: Option<Rollout>,
    /// It says nothing: the policy was removed
    pub removed: bool,
}

/// How far a policy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatusView {
    /// The policy
    pub policy: PolicyName,
    /// Its newest version
    pub revision: Revision,
    /// How that comes to the hosts; none where all got it at once
    pub rollout: Option<Rollout>,
    /// What the phase waits for
    pub waits_for: Option<String>,
    /// When it ends, where it waits for time only
    pub phase_end: Option<UnixMs>,
    /// How often it restricted on the hosts of the phase
    pub counted: u64,
    /// How often it may
    pub limit: u64,
    /// Hosts for which it is meant
    pub hosts: u32,
    /// Those that enforce the newest version
    pub enforced: u32,
    /// The others, as far as they are named
    pub behind: Vec<BehindView>,
    /// How many are not named
    pub more: u32,
    /// The newest version says nothing: the policy was removed
    pub removed: bool,
}

/// A host that does not enforce the newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BehindView {
    /// The host
    pub host: HostId,
    /// What it is to have now
    pub revision: Option<Revision>,
    /// Why
    pub reason: String,
    /// Whether that is as it should be
    pub expected: bool,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostView {
    /// The host
    pub id: HostId,
    /// Whether it is connected now
    pub online: bool,
    /// Version of its agent
    pub agent_version: String,
    /// Its kernel
    pub kernel_release: String,
    /// Its boot
    pub boot_id: Uuid,
    /// Hooks that are attached; none means not enforced
    pub hooks: Vec<String>,
    /// What it should enforce
    pub desired_generation: Generation,
    /// How far it is with that
    pub enforcement: EnforcementView,
    /// When it was last heard of; none where it never was
    pub last_seen: Option<UnixMs>,
    /// How far it is with what it was sent; none where it was never heard of
    pub delivery: Option<DeliveryView>,
    /// Events of its newest epoch that are stored
    pub events_acknowledged: u64,
    /// Recorded decisions that left no event
    pub events_lost: u64,
    /// Numbers that it skipped without a loss record
    pub events_missing: u64,
    /// Hooks that were attached and are gone; any means not enforced
    pub hooks_gone: Vec<String>,
    /// What is wrong, as it said last
    pub problems: Vec<String>,
    /// What it is
    pub labels: HostLabels,
    /// Policies of its own floor, each with a digest
    pub floor: Vec<String>,
    /// How it came to be one of ours; none for the host of the control plane's own socket
    pub membership: Option<MembershipView>,
}

/// What a host has of what it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryView {
    /// What it enforces
    pub enforced: Generation,
    /// Over the resources that it enforces; none where it does not say
    pub digest: Option<StateDigest>,
    /// Which protocol its agent speaks
    pub protocol: u32,
    /// How often what was sent did not fit
    pub relists: u64,
    /// When that was last, and why
    pub relisted: Option<(UnixMs, String)>,
}

/// A host that joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipView {
    /// When
    pub joined: UnixMs,
    /// Until when its newest certificate counts
    pub certificate_end: Option<UnixMs>,
    /// How often it got one by its bound key
    pub recoveries: u32,
    /// When its certificates were taken away, by whom, and why
    pub revoked: Option<(UnixMs, UserName, String)>,
}

/// A token with which hosts join, without what makes it worth something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTokenView {
    /// Which one
    pub id: JoinTokenId,
    /// Who made it
    pub created_by: UserName,
    /// When
    pub created: UnixMs,
    /// Until when it is worth something
    pub expires: UnixMs,
    /// For how many hosts more
    pub uses_left: u32,
    /// For this one only
    pub host: Option<HostId>,
    /// Which may have joined before
    pub replace: bool,
    /// When it was taken away
    pub revoked: Option<UnixMs>,
}

/// A session of an operator over the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Which one
    pub id: SessionId,
    /// Whose it is
    pub user: UserName,
    /// How they are known
    pub door: Door,
    /// Who the identity provider says that they are
    pub subject: Option<String>,
    /// The token with which it was opened
    pub token: Option<AccessTokenId>,
    /// When it was opened
    pub created: UnixMs,
    /// Until when it counts
    pub expires: UnixMs,
    /// When it was last used, to the minute
    pub used: Option<UnixMs>,
    /// From where it was opened
    pub address: Option<String>,
}

/// A token with which programs act for an operator, without what makes it worth something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenView {
    /// Which one
    pub id: AccessTokenId,
    /// For what its maker says that it is
    pub purpose: String,
    /// For whom it acts
    pub user: UserName,
    /// What it may do at most
    pub actions: Vec<String>,
    /// When it was made
    pub created: UnixMs,
    /// Until when it is worth something
    pub expires: UnixMs,
    /// When it was last used
    pub used: Option<UnixMs>,
    /// When it was taken away
    pub revoked: Option<UnixMs>,
}
