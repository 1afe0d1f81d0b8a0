//! The policy language: what one YAML document says, as a tree that every other step reads.
//!
//! [`parse()`] makes it from text, [`check()`] warns, [`explain`] says what it means, [`compile()`] turns a set of
//! policies into what the kernel looks up, [`case`] judges a policy's own tests, [`diff`] says what
//! changes from one version to the next, [`replay`] what it would have done to what was recorded, [`learn`] proposes rules from it, [`preset`] has what policies can include, [`profile`] what people ask for by name. What this build cannot enforce is refused, never accepted and ignored.

pub mod args;
pub mod case;
pub mod check;
pub mod compile;
pub mod component;
pub mod diagnostic;
pub mod diff;
pub mod explain;
pub mod floor;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod hosts;
mod language;
pub mod learn;
pub mod net;
pub mod on_loss;
mod parse;
pub mod path;
pub mod preset;
pub mod profile;
pub mod rate;
pub mod replay;
pub mod schema;
#[cfg(test)]
mod tests;
pub mod when;
mod yaml;

pub use args::ArgCondition;
pub use case::{Attempt, Case, Outcome};
pub use check::check;
pub use compile::{compile, compile_beside, compile_granted, compile_with};
pub use component::Wild;
pub use diagnostic::{Diagnostic, Place, Severity};
pub use hosts::{HostLabels, HostSelector, Label};
pub use net::{Cidr, NamePattern, PortRange, Protocol, VsockRange};
pub use on_loss::OnLoss;
pub use parse::parse;
pub use path::PathPattern;
pub use preset::Preset;
pub use profile::Profile;
pub use rate::{Rate, Then};
pub use schema::schema;
pub use when::{Flags, When};

use args::{Call, Met};
use profile::Template;
use when::Window;

use crate::{
    action::{Object, Operation},
    approval::Plan,
    id::{
        ApprovalName, GroupName, ParameterName, PeriodName, PermissionName, PolicyName, Revision,
        RuleId, SetName, UserName,
    },
    reason::Effect,
    sensitivity::Sensitivity,
    time::DurationMs,
};

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name
    pub name: PolicyName,
    /// Whether it restricts
    pub mode: Mode,
    /// Where it counts
    pub hosts: HostSelector,
    /// Whom it guards
    pub subjects: Subjects,
    /// What becomes of what it holds, or grants let through, while agent or records are lost
    pub on_loss: OnLoss,
    /// In document order
    pub sets: Vec<NamedSet>,
    /// In document order
    pub calendar: Vec<Periods>,
    /// In document order
    pub permissions: Vec<Permission>,
    /// In document order
    pub profiles: Vec<Profile>,
    /// In document order
    pub approvals: Vec<Approval>,
    /// In document order; what the policy says of everything else comes last
    pub rules: Vec<Rule>,
    /// In document order; no host looks at them
    pub tests: Vec<Case>,
}

/// A policy as it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// Its version
    pub revision: Revision,
    /// What it says
    pub policy: Policy,
}

/// Whether a policy restricts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does
    Enforce,
    /// It records what it would have restricted
    Monitor,
}

/// Whom a policy guards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    /// Members of these groups on the host
    pub groups: Vec<GroupName>,
    /// These users
    pub users: Vec<UserName>,
    /// These users, also where nobody has logged in as one of them: daemons, CI runners, agents
    pub services: Vec<UserName>,
}

impl Subjects {
    /// Whether it guards a user who is in `groups`: a service is its user, whoever acts as it.
    pub fn include<'g>(
        &self,
        user: &UserName,
        groups: impl IntoIterator<Item = &'g GroupName>,
    ) -> bool {
        self.users.contains(user)
            || self.services.contains(user)
            || groups.into_iter().any(|group| self.groups.contains(group))
    }
}

/// A named set of destinations. What names it has the destinations themselves; here is what is said about the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSet {
    /// Its name
    pub name: SetName,
    /// Its destinations
    pub ranges: Ranges,
    /// Whether a rule or a permission names it
    pub used: bool,
    /// Where it is written
    pub at: Place,
}

/// Windows by name. What names them has the windows themselves; here is what is said about the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Its name
    pub name: PeriodName,
    /// Its windows
    pub windows: Vec<Window>,
    /// Whether a rule names it
    pub used: bool,
    /// Where it is written
    pub at: Place,
}

/// Addresses, and the ports that count on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// Addresses
    pub cidrs: Vec<Cidr>,
    /// Ports; never empty
    pub ports: Vec<PortRange>,
}

impl Ranges {
    fn contain(&self, ip: std::net::IpAddr, port: u16) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(ip))
            && self.ports.iter().any(|range| range.contains(port))
    }
}

/// Who may let a held action go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// What it takes
    pub plan: Plan,
    /// Whether a rule names it
    pub used: bool,
    /// Where it is written
    pub at: Place,
}

/// A named set of actions, which a grant can permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Its name
    pub name: PermissionName,
    /// The actions, at least one; none where they depend on parameters
    pub targets: Vec<Target>,
    /// What the actions are made of where they depend on parameters
    pub template: Option<Template>,
    /// Where it is written
    pub at: Place,
}

impl Permission {
    /// The parameters that it uses, by name.
    pub fn uses(&self) -> impl Iterator<Item = &ParameterName> {
        self.template.iter().flat_map(|one| &one.uses)
    }

    /// The actions; with some values where they depend on parameters.
    pub(crate) fn sampled(&self) -> &[Target] {
        self.template
            .as_ref()
            .map_or(&self.targets, |one| &one.sample)
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id
    pub id: RuleId,
    /// What it demands
    pub effect: Effect,
    /// Of which actions
    pub scope: Scope,
    /// What the guarded person is told
    pub message: Option<String>,
    /// How long a hold waits
    pub timeout: DurationMs,
    /// Who may let a held action go on; every operator if it says nothing
    pub approval: Option<ApprovalName>,
    /// How much depends on what it is about; changes no verdict
    pub sensitivity: Option<Sensitivity>,
    /// Of a throttle: how often
    pub rate: Option<Rate>,
    /// Whether an allow is recorded
    pub record: bool,
    /// When it counts; always if it says nothing
    pub when: Option<When>,
    /// Whether a preset says it, and not the policy itself
    pub included: bool,
    /// Where it is written, or included
    pub at: Place,
}

/// The actions of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Written in the rule
    Inline(Target),
    /// Those of a permission of the same policy
    Permission(PermissionName),
    /// All of a class: the policy's default for it
    All(Vec<Target>),
}

/// A set of actions of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Execute one of these, or map it executable: a loader runs a program that way
    Exec {
        /// Programs, scripts, interpreters
        paths: Vec<PathPattern>,
        /// With such arguments, by such a process
        args: ArgCondition,
    },
    /// Do one of these to one of those
    File {
        /// Operations
        operations: Vec<Operation>,
        /// Files
        paths: Vec<PathPattern>,
    },
    /// Do one of these to one of those addresses
    Net {
        /// Operations
        operations: Vec<Operation>,
        /// Addresses and ports; never empty
        ranges: Vec<Ranges>,
        /// Protocols; none for whatever it is
        protocols: Vec<Protocol>,
    },
    /// Do one of these to one of those unix sockets
    Unix {
        /// Operations
        operations: Vec<Operation>,
        /// Their files
        paths: Vec<PathPattern>,
        /// Names of those that have no file
        names: Vec<NamePattern>,
    },
    /// Do one of these to one of those virtual sockets
    Vsock {
        /// Operations
        operations: Vec<Operation>,
        /// Addresses
        ranges: Vec<VsockRange>,
    },
    /// Do one of these, to whatever
    System {
        /// Operations
        operations: Vec<Operation>,
    },
}

impl Target {
    /// Its operations as bits of `abi::code::op`.
    pub fn operations(&self) -> u32 {
        match self {
            Self::Exec { .. } => Operation::Exec.bit() | Operation::MapExec.bit(),
            Self::File { operations, .. }
            | Self::Net { operations, .. }
            | Self::Unix { operations, .. }
            | Self::Vsock { operations, .. }
            | Self::System { operations } => operations
                .iter()
                .fold(0, |bits, operation| bits | operation.bit()),
        }
    }

    /// Whether an attempt of these operations on this object is in the set, its arguments aside; see `explain::Known` for `anchor`.
    pub fn matches(&self, operations: u32, object: &Object, anchor: usize) -> Met {
        if self.operations() & operations == 0 {
            return Met::No;
        }
        let is_in = match (self, object) {
            (
                Self::Net {
                    ranges, protocols, ..
                },
                Object::Address { ip, port, protocol },
            ) => return on_address(ranges, protocols, *ip, *port, protocol.map(Protocol)),
            (Self::Unix { paths, .. }, Object::Path { bytes }) => {
                paths.iter().any(|path| path.matches(bytes, anchor))
            }
            (Self::Unix { names, .. }, Object::Name { bytes }) => {
                names.iter().any(|name| name.matches(bytes))
            }
            (Self::Vsock { ranges, .. }, Object::Vsock { cid, port }) => {
                ranges.iter().any(|range| range.contains(*cid, *port))
            }
            (Self::Exec { paths, .. } | Self::File { paths, .. }, Object::Path { bytes }) => {
                paths.iter().any(|path| path.matches(bytes, anchor))
            }
            (Self::System { .. }, _) => true,
            _ => false,
        };
        if is_in { Met::Yes } else { Met::No }
    }
}

/// Without a protocol the port is not known either: an address that counts on some ports or for some protocols only may
/// be meant.
fn on_address(
    ranges: &[Ranges],
    protocols: &[Protocol],
    ip: std::net::IpAddr,
    port: u16,
    protocol: Option<Protocol>,
) -> Met {
    let Some(protocol) = protocol else {
        let mut there = ranges
            .iter()
            .filter(|one| one.cidrs.iter().any(|cidr| cidr.contains(ip)));
        let every = |one: &Ranges| one.ports.contains(&PortRange::ANY) && protocols.is_empty();
        return match there.clone().next() {
            None => Met::No,
            Some(_) if there.any(every) => Met::Yes,
            Some(_) => Met::Maybe,
        };
    };
    let of_protocol = protocols.is_empty() || protocols.contains(&protocol);
    if of_protocol && ranges.iter().any(|one| one.contain(ip, port)) {
        Met::Yes
    } else {
        Met::No
    }
}

impl Target {
    /// Whether an attempt meets what the set says beyond its object.
    pub fn met(&self, call: Call<'_>) -> Met {
        match self {
            Self::Exec { args, .. } => args.met(call),
            Self::File { .. }
            | Self::Net { .. }
            | Self::Unix { .. }
            | Self::Vsock { .. }
            | Self::System { .. } => Met::Yes,
        }
    }
}

impl Policy {
    /// The actions of a rule.
    pub fn targets<'p>(&'p self, rule: &'p Rule) -> &'p [Target] {
        match &rule.scope {
            Scope::Inline(target) => std::slice::from_ref(target),
            Scope::All(targets) => targets,
            Scope::Permission(name) => self
                .permission(name)
                .map_or(&[], |permission| &permission.targets),
        }
    }

    /// Who may let go on what this rule holds; none where every operator may.
    pub fn approval(&self, rule: &Rule) -> Option<&Plan> {
        let name = rule.approval.as_ref()?;
        let mut all = self.approvals.iter().map(|approval| &approval.plan);
        all.find(|plan| plan.name == *name)
    }

    /// A permission by its name.
    pub fn permission(&self, name: &PermissionName) -> Option<&Permission> {
        self.permissions
            .iter()
            .find(|permission| permission.name == *name)
    }
}

impl Rule {
    /// Whether it can have an action wait for an answer.
    pub fn holds(&self) -> bool {
        matches!(self.effect, Effect::Hold | Effect::DefaultHold)
            || self.rate.is_some_and(|rate| rate.then == Then::Hold)
    }

    /// The permission that it names.
    pub fn permission(&self) -> Option<&PermissionName> {
        match &self.scope {
            Scope::Permission(name) => Some(name),
            Scope::Inline(_) | Scope::All(_) => None,
        }
    }
}
