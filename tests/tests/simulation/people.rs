//! Who there is, what they do, and under which policies.

use std::collections::{BTreeMap, BTreeSet};

use stayhand_agent::users::{Directory, NoUsers, User};
use stayhand_control::names::{NameService, NamesError};
use stayhand_guardrail::id::{GroupName, UserName};

use crate::kernel::Target;

/// Name, number and groups. The numbers are nobody's on any machine.
const EVERYBODY: [(&str, u32, &[&str]); 5] = [
    ("alice", 4_000_000_001, &[]),
    ("erin", 4_000_000_002, &["dev"]),
    ("carol", 4_000_000_003, &["sre"]),
    ("dave", 4_000_000_004, &["sre"]),
    ("frank", 4_000_000_005, &[]),
];

/// Whom policies guard, and who tries things.
pub(crate) const GUARDED: [&str; 2] = ["alice", "erin"];
/// Who acts at the control plane. Alice is named there, too, and must not get through.
pub(crate) const OPERATORS: [&str; 4] = ["carol", "dave", "frank", "alice"];

pub(crate) const DB: Target = Target {
    net: 20,
    port: 5432,
};
pub(crate) const VAULT: Target = Target {
    net: 40,
    port: 8200,
};
pub(crate) const DEPLOY: Target = Target { net: 30, port: 443 };
pub(crate) const TWO: Target = Target { net: 31, port: 443 };
pub(crate) const NEVER: Target = Target { net: 66, port: 22 };
pub(crate) const FREEZE: Target = Target { net: 67, port: 22 };
pub(crate) const EXTRA: Target = Target { net: 68, port: 22 };
pub(crate) const FREE: Target = Target { net: 99, port: 80 };

/// With how often each is tried.
pub(crate) const TARGETS: [(Target, u32); 8] = [
    (DB, 6),
    (VAULT, 4),
    (DEPLOY, 6),
    (TWO, 4),
    (NEVER, 1),
    (FREEZE, 1),
    (EXTRA, 1),
    (FREE, 1),
];

pub(crate) fn uid(name: &str) -> u32 {
    EVERYBODY.iter().find(|one| one.0 == name).unwrap().1
}

pub(crate) fn name(uid: u32) -> &'static str {
    EVERYBODY.iter().find(|one| one.1 == uid).unwrap().0
}

pub(crate) fn names() -> BTreeMap<u32, UserName> {
    EVERYBODY
        .iter()
        .map(|one| (one.1, one.0.parse().unwrap()))
        .collect()
}

/// The same people as the hosts' and the control plane's name services know them.
pub(crate) struct NameServices;

impl NameService for NameServices {
    fn uid(&self, user: &UserName) -> Result<Option<u32>, NamesError> {
        let found = EVERYBODY.iter().find(|one| one.0 == user.as_str());
        Ok(found.map(|one| one.1))
    }

    fn user(&self, uid: u32) -> Result<Option<UserName>, NamesError> {
        Ok(names().get(&uid).cloned())
    }

    fn groups(&self, user: &UserName) -> Result<Vec<GroupName>, NamesError> {
        let found = EVERYBODY.iter().find(|one| one.0 == user.as_str());
        let groups = found.map(|one| one.2).unwrap_or_default();
        Ok(groups.iter().map(|group| group.parse().unwrap()).collect())
    }

    fn tells(&self, _: &GroupName) -> Result<(), NamesError> {
        Ok(())
    }
}

impl Directory for NameServices {
    fn users(&self, _: &BTreeSet<GroupName>, _: &BTreeSet<UserName>) -> Result<Vec<User>, NoUsers> {
        let user = |(name, uid, groups): &(&str, u32, &[&str])| User {
            uid: *uid,
            name: name.parse().ok(),
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        };
        Ok(EVERYBODY.iter().map(user).collect())
    }
}

/// Which permission a target takes.
pub(crate) fn permission(target: Target) -> Option<&'static str> {
    match target {
        DB => Some("db"),
        VAULT => Some("vault"),
        _ => None,
    }
}

/// The policy that matters, in a version of it. Where it is lax about losses, nothing waits for an agent that is gone, and grants count
/// without a record.
pub(crate) fn prod(version: u32, lax: bool) -> String {
    let seconds = 6 + version % 3 * 4;
    let losses = if lax {
        "\n  onLoss: { agent: deny, audit: allow }"
    } else {
        ""
    };
    format!(
        "apiVersion: stayhand/v1
kind: Policy
metadata: {{ name: prod }}
spec:
  subjects: {{ users: [alice], groups: [dev] }}{losses}
  permissions:
    db: {{ net: {{ ops: [connect], cidr: 10.20.0.0/16, ports: [5432] }} }}
    vault: {{ net: {{ ops: [connect], cidr: 10.40.0.0/16, ports: [8200] }} }}
  approvals:
    - {{ name: two, stages: [{{ any: [user:carol, user:frank], timeout: 7s }}, {{ any: [group:sre, user:frank] }}] }}
  rules:
    - {{ id: db, effect: require-grant, permission: db, message: version {version} }}
    - {{ id: vault, effect: require-grant, permission: vault }}
    - {{ id: deploy, effect: hold, net: {{ ops: [connect], cidr: 10.30.0.0/16 }}, timeout: {seconds}s }}
    - {{ id: two, effect: hold, net: {{ ops: [connect], cidr: 10.31.0.0/16 }}, timeout: 14s, approval: two }}
    - {{ id: never, effect: deny, net: {{ ops: [connect], cidr: 10.66.0.0/16 }} }}
    - {{ id: freeze, effect: deny, net: {{ ops: [connect], cidr: 10.67.0.0/16 }}, when: {{ flags: [freeze] }} }}
"
    )
}

/// One that counts on some hosts, and comes and goes.
pub(crate) fn extra(version: u32) -> String {
    format!(
        "apiVersion: stayhand/v1
kind: Policy
metadata: {{ name: extra }}
spec:
  hosts: {{ env: prod }}
  subjects: {{ users: [alice, erin] }}
  rules:
    - {{ id: extra, effect: deny, net: {{ ops: [connect], cidr: 10.68.0.0/16 }}, message: version {version} }}
"
    )
}
