//! Resource names: `grants/{uuid}`, `holds/{id}`, `hosts/{id}`, `policies/{name}`,
//! `proposals/{number}`, `joinTokens/{id}`, `authorities/{number}`, `sessions/{id}`,
//! `accessTokens/{id}`, `locks/{id}`.

use std::{fmt::Display, str::FromStr};

use stayhand_guardrail::id::{
    AccessTokenId, FlagName, GrantId, HoldId, HostId, JoinTokenId, LockId, PolicyName, ProposalId,
    SessionId,
};

use super::Invalid;

/// Collection of grants.
pub const GRANTS: &str = "grants";
/// Collection of holds.
pub const HOLDS: &str = "holds";
/// Collection of hosts.
pub const HOSTS: &str = "hosts";
/// Collection of policies.
pub const POLICIES: &str = "policies";

/// Collection of flags.
pub const FLAGS: &str = "flags";
/// Collection of proposed changes of policies.
pub const PROPOSALS: &str = "proposals";

/// Collection of tokens with which hosts join.
pub const JOIN_TOKENS: &str = "joinTokens";

/// Name of a token.
pub fn join_token(id: JoinTokenId) -> String {
    format!("{JOIN_TOKENS}/{id}")
}

/// Collection of authorities.
pub const AUTHORITIES: &str = "authorities";

/// Name of an authority.
pub fn authority(number: u32) -> String {
    format!("{AUTHORITIES}/{number}")
}

/// Collection of operators' sessions over the network.
pub const SESSIONS: &str = "sessions";

/// Name of a session.
pub fn session(id: SessionId) -> String {
    format!("{SESSIONS}/{id}")
}

/// Collection of tokens for programs.
pub const ACCESS_TOKENS: &str = "accessTokens";

/// Name of a token for programs.
pub fn access_token(id: AccessTokenId) -> String {
    format!("{ACCESS_TOKENS}/{id}")
}

/// Collection of locks.
pub const LOCKS: &str = "locks";

/// Name of a lock.
pub fn lock(id: LockId) -> String {
    format!("{LOCKS}/{id}")
}

/// Name of a flag.
pub fn flag(name: &FlagName) -> String {
    format!("{FLAGS}/{name}")
}

/// Name of a proposal.
pub fn proposal(id: ProposalId) -> String {
    format!("{PROPOSALS}/{id}")
}

/// Name of a grant.
pub fn grant(id: GrantId) -> String {
    format!("{GRANTS}/{id}")
}

/// Name of a hold.
pub fn hold(id: HoldId) -> String {
    format!("{HOLDS}/{id}")
}

/// Name of a host.
pub fn host(id: &HostId) -> String {
    format!("{HOSTS}/{id}")
}

/// Name of a policy.
pub fn policy(name: &PolicyName) -> String {
    format!("{POLICIES}/{name}")
}

/// The part after `collection/`; a bare id is taken as well, because people type those.
pub fn bare<'n>(collection: &str, name: &'n str) -> &'n str {
    name.strip_prefix(collection)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(name)
}

/// Reads a resource name.
pub fn parse<T: FromStr<Err: Display>>(
    field: &str,
    collection: &str,
    name: &str,
) -> Result<T, Invalid> {
    bare(collection, name)
        .parse()
        .map_err(|problem| Invalid::new(field, problem))
}

/// Reads a resource name that may be empty, which means that there is none.
pub fn optional<T: FromStr<Err: Display>>(
    field: &str,
    collection: &str,
    name: &str,
) -> Result<Option<T>, Invalid> {
    if name.is_empty() {
        Ok(None)
    } else {
        parse(field, collection, name).map(Some)
    }
}
