//! Finds every structure member that the hooks read, in the running kernel's type information.
//!
//! All or nothing: one member that is missing or too small means *not enforced*, because a hook with a wrong
//! offset would judge by foreign bytes.

use std::fmt;

use stayhand_agent_ebpf::abi::offsets::{MEMBERS, Member, SHIFTED};

use super::btf::{Btf, BtfError};

/// Every member that the kernel does not have as the hooks need it.
#[derive(Debug, thiserror::Error)]
pub enum OffsetsError {
    /// The type information is damaged.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// Members are missing.
    #[error(transparent)]
    Missing(#[from] MissingMembers),
    /// A hook is missing or takes fewer arguments than it ever did.
    #[error(
        "this kernel lacks the LSM hook `{0}` as the hooks need it; use a supported kernel, or report this name"
    )]
    Hook(&'static str),
}

/// The list; never empty.
#[derive(Debug, thiserror::Error)]
pub struct MissingMembers(pub Vec<Missing>);

/// One missing member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The structure
    pub structure: &'static str,
    /// Where it was looked for
    pub paths: &'static [&'static str],
    /// Bytes that the hook loads
    pub needed: u32,
    /// Bytes that the member has, if it is there
    pub found: Option<u32>,
}

impl fmt::Display for MissingMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this kernel lacks what the hooks read: ")?;
        for (index, missing) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(
                f,
                "{comma}`{}.{}`",
                missing.structure,
                missing.paths.join("|")
            )?;
            if let Some(found) = missing.found {
                write!(f, " ({found} bytes, {} needed)", missing.needed)?;
            }
        }
        write!(f, "; use a supported kernel, or report these names")
    }
}

/// Values of every global that depends on the kernel: offsets of all of [`MEMBERS`], and where arguments moved.
pub fn resolve(btf: &Btf) -> Result<Vec<(&'static str, u32)>, OffsetsError> {
    let mut found = resolve_members(btf, MEMBERS)?;
    for shifted in SHIFTED {
        let arguments = btf.arguments(&hook_function(shifted.hook))?;
        let more = arguments
            .and_then(|count| u32::try_from(count).ok())
            .and_then(|count| count.checked_sub(shifted.arguments));
        found.push((
            shifted.global,
            more.ok_or(OffsetsError::Hook(shifted.hook))?,
        ));
    }
    Ok(found)
}

/// Whether this kernel has a hook.
pub fn has_hook(btf: &Btf, hook: &str) -> Result<bool, BtfError> {
    Ok(btf.arguments(&hook_function(hook))?.is_some())
}

/// The function that programs of a hook are attached to (kernel/bpf/bpf_lsm.c).
fn hook_function(hook: &str) -> String {
    format!("bpf_lsm_{hook}")
}

fn resolve_members(
    btf: &Btf,
    members: &[Member],
) -> Result<Vec<(&'static str, u32)>, OffsetsError> {
    let (mut found, mut missing) = (Vec::with_capacity(members.len()), Vec::new());
    for member in members {
        match first(btf, member)? {
            Some(place) if place.size >= member.size => found.push((member.global, place.offset)),
            other => missing.push(Missing {
                structure: member.structure,
                paths: member.paths,
                needed: member.size,
                found: other.map(|place| place.size),
            }),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(MissingMembers(missing).into())
    }
}

/// The first path that exists.
fn first(btf: &Btf, member: &Member) -> Result<Option<super::btf::Member>, BtfError> {
    for path in member.paths {
        if let Some(found) = btf.member(member.structure, path)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::{super::btf::tests::Builder, *};

    const STRUCT: u32 = 4;

    fn member(global: &'static str, paths: &'static [&'static str], size: u32) -> Member {
        Member {
            global,
            structure: "task",
            paths,
            size,
        }
    }

    fn kernel() -> Btf {
        let mut made = Builder::new();
        let (int, long) = (made.int("int", 4), made.int("long", 8));
        made.structure(
            STRUCT,
            "task",
            16,
            &[("pid", int, 0), ("new_name", long, 64)],
        );
        Btf::parse(made.bytes()).unwrap()
    }

    #[test]
    fn every_missing_or_small_member_is_named() {
        let members = [
            member("A", &["pid"], 4),
            member("B", &["gone", "gone_too"], 4),
            member("C", &["pid"], 8),
        ];
        let text = resolve_members(&kernel(), &members)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("`task.gone|gone_too`")
                && text.contains("`task.pid` (4 bytes, 8 needed)"),
            "{text}"
        );
        assert!(!text.contains('A'), "{text}");
    }

    #[test]
    fn the_first_name_that_exists_is_taken() {
        let members = [
            member("A", &["old_name", "new_name"], 8),
            member("B", &["pid"], 4),
        ];
        assert_eq!(
            resolve_members(&kernel(), &members).unwrap(),
            [("A", 8), ("B", 0)]
        );
    }

    #[test]
    fn this_machines_own_kernel_has_every_member() {
        let Ok(btf) = Btf::of_running_kernel() else {
            eprintln!("skipped: no type information here");
            return;
        };
        let offsets = resolve(&btf).unwrap();
        assert_eq!(offsets.len(), MEMBERS.len() + SHIFTED.len());
        let distinct: std::collections::HashSet<_> = offsets.iter().map(|(name, _)| name).collect();
        assert_eq!(distinct.len(), MEMBERS.len() + SHIFTED.len());
    }
}
