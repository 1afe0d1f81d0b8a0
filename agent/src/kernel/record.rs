//! Decodes one record of a ring into owned, typed fields. Pure: bytes in, record or error out.
//!
//! Trusts nothing in the bytes: lengths are checked, unknown verdicts read as denied, and names stay bytes.
#![expect(
    unsafe_code,
    reason = "copies plain bytes into their aligned structure"
)]

use std::net::Ipv6Addr;

use stayhand_agent_ebpf::abi::{
    ABI_VERSION, UNSET,
    code::{hook, protocol},
    hold::HoldKey,
    image::{LabelKey, recorded_generation},
    record::{ARGS_BYTES, PATH_BYTES, Record, record_flag},
};
use stayhand_guardrail::{
    action::{Object, Operation},
    event::EventClass,
    id::{Generation, GrantId, HoldId},
    key::{PermissionKey, RuleKey},
    reason::{Reason, Verdict},
};

use super::{mounts::Mounts, request};

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Too short or too long.
    #[error("record of {0} bytes, not {size}", size = size_of::<Record>())]
    Length(usize),
    /// Written by another build, or not at all.
    #[error("record of layout {0}, not {ABI_VERSION}")]
    Version(u16),
    /// No class of events.
    #[error("record of unknown class {0}")]
    Class(u16),
    /// Path or arguments run out of their place, or have another number of parts than said.
    #[error("record with damaged {0}")]
    Strings(&'static str),
}

/// One recorded decision.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one flag of the kernel's record"
)]
pub struct RawRecord {
    /// Event class, which is also the ring
    pub class: EventClass,
    /// `CLOCK_BOOTTIME`
    pub boot_ns: u64,
    /// `CLOCK_TAI`
    pub tai_ns: u64,
    /// Generation that decided
    pub generation: Generation,
    /// Rule that decided
    pub rule: Option<RuleKey>,
    /// Permission that would cover it, or that did
    pub permission: Option<PermissionKey>,
    /// Grant that covered it
    pub grant: Option<GrantId>,
    /// Hold that was opened, met or answered
    pub hold: Option<HoldId>,
    /// Key of the hold in the kernel's maps
    pub hold_key: HoldKey,
    /// Deadline of the hold on the boot clock, 0 for none
    pub boot_deadline_ns: u64,
    /// Unique per thread group on this boot
    pub process_cookie: u64,
    /// Thread group
    pub tgid: u32,
    /// Thread
    pub tid: u32,
    /// Parent's thread group
    pub ppid: u32,
    /// Real uid
    pub uid: u32,
    /// Pinned login uid
    pub auid: u32,
    /// Pinned audit session, where there is one
    pub session: Option<u32>,
    /// See `abi::code::hook`
    pub hook: u16,
    /// Operations as bits of `abi::code::op`
    pub ops: u32,
    /// The operation that the attempt is named after; none for a capability
    pub operation: Option<Operation>,
    /// What became of it
    pub verdict: Verdict,
    /// Why
    pub reason: Reason,
    /// A policy in monitor mode decided
    pub monitor: bool,
    /// A stop signal was sent but no hold exists: the process must be continued at once
    pub stopped_without_hold: bool,
    /// Identity of the object; for a creation, of the directory
    pub object: LabelKey,
    /// Destination of a connection
    pub destination: Option<Object>,
    /// What is asked of the kernel, or which process is acted on
    pub request: Option<Object>,
    /// Components from the file system's root down to the object
    pub path: Vec<Vec<u8>>,
    /// Components are missing at the top
    pub path_cut: bool,
    /// The same of the other end of a rename or a link
    pub other_path: Option<Vec<Vec<u8>>>,
    /// Name of the task
    pub comm: Vec<u8>,
    /// Controlling terminal as below /dev (`pts/3`, `ttyS0`)
    pub tty: Option<Vec<u8>>,
    /// Arguments of an execution
    pub args: Vec<Vec<u8>>,
    /// Arguments, or parts of one, are missing
    pub args_cut: bool,
}

impl RawRecord {
    /// Reads the bytes of one ring entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != size_of::<Record>() {
            return Err(Malformed::Length(bytes.len()));
        }
        // SAFETY: exactly as many bytes as the structure has, which is `repr(C)`, made of integers only and
        // valid for every bit pattern; the source may be unaligned.
        let record = unsafe { Box::new(bytes.as_ptr().cast::<Record>().read_unaligned()) };
        Self::of(&record)
    }

    fn of(record: &Record) -> Result<Self, Malformed> {
        if record.version != ABI_VERSION {
            return Err(Malformed::Version(record.version));
        }
        if record.len as usize != size_of::<Record>() {
            return Err(Malformed::Length(record.len as usize));
        }
        let class = EventClass::from_code(record.class).ok_or(Malformed::Class(record.class))?;
        Ok(Self {
            class,
            boot_ns: record.boot_ns,
            tai_ns: record.tai_ns,
            generation: Generation(recorded_generation(record.generation)),
            rule: RuleKey::from_raw(record.rule),
            permission: PermissionKey::from_raw(record.permission),
            grant: GrantId::from_halves(record.grant),
            hold: (record.hold != 0).then_some(HoldId(record.hold)),
            hold_key: HoldKey {
                task_cookie: record.task_cookie,
                digest: record.digest,
            },
            boot_deadline_ns: record.boot_deadline_ns,
            process_cookie: record.process_cookie,
            tgid: record.tgid,
            tid: record.tid,
            ppid: record.ppid,
            uid: record.uid,
            auid: record.auid,
            session: (record.session != UNSET).then_some(record.session),
            hook: record.hook,
            ops: record.op,
            operation: Operation::from_bits(record.op),
            verdict: Verdict::from_code(record.verdict),
            reason: Reason::from_code(record.reason),
            monitor: record.flags & record_flag::MONITOR != 0,
            stopped_without_hold: record.flags & record_flag::STOPPED_WITHOUT_HOLD != 0,
            object: record.object,
            destination: destination(record)?,
            request: request::of(record),
            path: path(record)?,
            other_path: other_path(record)?,
            // Of a file that the kernel takes in, the name alone.
            path_cut: record.flags & record_flag::PATH_CUT != 0
                || record.hook == hook::SYSTEM && record.path_components != 0,
            comm: until_nul(&record.comm).to_vec(),
            tty: terminal(until_nul(&record.tty)),
            args: args(record)?,
            args_cut: record.flags & record_flag::ARGS_CUT != 0,
        })
    }

    /// The object, with the path as this mount namespace sees it. `None` where there is none, as for a capability.
    pub fn object(&self, mounts: &Mounts) -> Option<Object> {
        if let Some(destination) = &self.destination {
            return Some(destination.clone());
        }
        if let Some(request) = &self.request {
            return Some(request.clone());
        }
        if self.object.ino == 0 && self.path.is_empty() {
            return None;
        }
        let inside = [&b"/"[..], &self.path.join(&b'/')].concat();
        // A path without its top says nothing about its mount.
        let absolute = |inside: Vec<u8>, cut: bool| {
            if cut {
                inside
            } else {
                mounts.absolute(self.object.dev, &inside)
            }
        };
        let bytes = absolute(inside, self.path_cut);
        let Some(other) = &self.other_path else {
            return Some(Object::Path { bytes });
        };
        // Both ends are on one file system.
        let to = absolute([&b"/"[..], &other.join(&b'/')].concat(), self.args_cut);
        Some(Object::Ends { from: bytes, to })
    }
}

/// `AF_VSOCK` (include/linux/socket.h)
const AF_VSOCK: u16 = 40;

/// An address, or the name of a unix socket that has no file.
fn destination(record: &Record) -> Result<Option<Object>, Malformed> {
    if is_name(record) {
        let name = used(&record.path, record.path_len, PATH_BYTES);
        let bytes = name.ok_or(Malformed::Strings("name"))?.to_vec();
        return Ok(Some(Object::Name { bytes }));
    }
    let by_address = [
        hook::SOCKET_CONNECT,
        hook::SOCKET_SENDMSG,
        hook::SOCKET_BIND,
        hook::SOCKET_LISTEN,
    ];
    if !by_address.contains(&record.hook) {
        return Ok(None);
    }
    let address = u128::from_be_bytes(record.dest_addr);
    if record.family == AF_VSOCK {
        let word = |from: u32| u32::try_from(address >> from & u128::from(u32::MAX)).unwrap_or(0);
        return Ok(Some(Object::Vsock {
            cid: word(96),
            port: word(64),
        }));
    }
    Ok(Some(Object::Address {
        ip: Ipv6Addr::from(address).to_canonical(),
        port: record.dest_port,
        protocol: (record.protocol != protocol::UNKNOWN).then_some(record.protocol),
    }))
}

fn is_name(record: &Record) -> bool {
    record.hook == hook::UNIX && record.flags & record_flag::ABSTRACT != 0
}

/// Components in the record go from the object up.
fn path(record: &Record) -> Result<Vec<Vec<u8>>, Malformed> {
    if is_name(record) {
        return Ok(vec![]);
    }
    let broken = Malformed::Strings("path");
    let bytes = used(&record.path, record.path_len, PATH_BYTES).ok_or(broken)?;
    let found = components(bytes).ok_or(broken)?;
    if found.len() != record.path_components as usize {
        return Err(broken);
    }
    Ok(found)
}

/// Components that go up, each ending in NUL, as they go down.
pub(super) fn components(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut components = strings(bytes);
    components.reverse();
    let broken = |component: &Vec<u8>| component.is_empty() || component.contains(&b'/');
    let ended = bytes.last().is_none_or(|last| *last == 0);
    (ended && !components.iter().any(broken)).then_some(components)
}

fn has_other_end(record: &Record) -> bool {
    [hook::INODE_RENAME, hook::INODE_LINK].contains(&record.hook)
}

fn other_path(record: &Record) -> Result<Option<Vec<Vec<u8>>>, Malformed> {
    if !has_other_end(record) {
        return Ok(None);
    }
    let bytes = used(&record.args, record.args_len, ARGS_BYTES);
    let found = bytes.and_then(components);
    found
        .map(Some)
        .ok_or(Malformed::Strings("path of the other end"))
}

fn args(record: &Record) -> Result<Vec<Vec<u8>>, Malformed> {
    if has_other_end(record) {
        return Ok(vec![]);
    }
    let bytes = used(&record.args, record.args_len, ARGS_BYTES);
    bytes.map(strings).ok_or(Malformed::Strings("arguments"))
}

pub(super) fn used(bytes: &[u8], len: u32, most: usize) -> Option<&[u8]> {
    let len = len as usize;
    bytes.get(..len).filter(|_| len <= most)
}

/// Parts that end in NUL each; a last one may lack it.
pub(super) fn strings(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == 0)
        .map(|part| until_nul(part).to_vec())
        .collect()
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The kernel's `pts3` is `/dev/pts/3`; every other name is its device's.
fn terminal(name: &[u8]) -> Option<Vec<u8>> {
    match name.strip_prefix(b"pts") {
        Some(number) if !number.is_empty() && number.iter().all(u8::is_ascii_digit) => {
            Some([&b"pts/"[..], number].concat())
        }
        _ => (!name.is_empty()).then(|| name.to_vec()),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
