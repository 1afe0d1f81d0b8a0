//! What operators are shown: domain objects together with how far the hosts are. Never part of a decision.

use stayhand_guardrail::{
    grant::{Grant, HostEnforcement},
    id::{Generation, HostId, PolicyName, Revision, UserName},
    policy::HostLabels,
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
}

/// A grant and where it is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantView {
    /// The grant
    pub grant: Grant,
    /// Per host
    pub enforcement: Vec<EnforcementView>,
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
    /// Per host
    pub enforcement: Vec<EnforcementView>,
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
    /// When it was last heard of
    pub last_seen: UnixMs,
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
}
