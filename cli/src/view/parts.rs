//! Parts that several views share: time, subject, process, rule, enforcement on a host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use stayhand_guardrail::{
    action::Object,
    text::{Safe, safe, safe_args, safe_cut},
    time::UnixMs,
};
use stayhand_proto::v1;

use crate::time::Moment;

/// Characters of one cell: a path of 4,095 bytes in a table helps nobody; `show` and JSON have it whole.
const CELL_MAX: usize = 80;

/// A point in time; RFC 3339 in UTC with milliseconds in documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

/// Reads a time of the wire; what is out of range is left out.
pub(crate) fn time(wire: Option<prost_types::Timestamp>) -> Option<Time> {
    let wire = wire?;
    Timestamp::new(wire.seconds, wire.nanos).ok().map(Time)
}

/// A point in time of the domain; what is out of range is left out.
pub(crate) fn unix(at: UnixMs) -> Option<Time> {
    let ms = i64::try_from(at.0).ok()?;
    Timestamp::from_millisecond(ms).ok().map(Time)
}

/// A text of the wire; the empty one says nothing.
pub(crate) fn text(wire: String) -> Option<String> {
    (!wire.is_empty()).then_some(wire)
}

/// An id without its collection.
pub(crate) fn bare(name: &str, collection: &str) -> String {
    name.strip_prefix(collection).unwrap_or(name).to_owned()
}

/// Hostile bytes as documents have them: text, with everything that is not printable escaped.
pub(crate) fn bytes(wire: &[u8]) -> Option<String> {
    (!wire.is_empty()).then(|| Safe(wire).to_string())
}

/// Prose of a service of ours, line by line. Backslashes stay: it quotes names that were escaped before.
pub(crate) fn prose(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| safe(line).replace("\\\\", "\\"))
        .collect();
    lines.join("\n")
}

/// One cell of a text from elsewhere.
pub(crate) fn cell(text: &str) -> String {
    safe_cut(text.as_bytes(), CELL_MAX)
}

/// One cell of a text that was escaped when it was read.
pub(crate) fn cut(escaped: &str) -> String {
    if escaped.chars().count() <= CELL_MAX {
        return escaped.to_owned();
    }
    escaped.chars().take(CELL_MAX - 1).chain(['…']).collect()
}

/// What was attempted, as policies write it.
pub(crate) fn operation(wire: i32) -> &'static str {
    match v1::Operation::try_from(wire) {
        Ok(v1::Operation::Exec) => "exec",
        Ok(v1::Operation::MapExec) => "map-exec",
        Ok(v1::Operation::Rename) => "rename",
        Ok(v1::Operation::Link) => "link",
        Ok(v1::Operation::Create) => "create",
        Ok(v1::Operation::Delete) => "delete",
        Ok(v1::Operation::Write) => "write",
        Ok(v1::Operation::Read) => "read",
        Ok(v1::Operation::Attr) => "attr",
        Ok(v1::Operation::Connect) => "connect",
        Ok(v1::Operation::Send) => "send",
        Ok(v1::Operation::Bind) => "bind",
        Ok(v1::Operation::Listen) => "listen",
        Ok(v1::Operation::Raw) => "raw",
        Ok(v1::Operation::Netlink) => "netlink",
        Ok(v1::Operation::Mount) => "mount",
        Ok(v1::Operation::Umount) => "umount",
        Ok(v1::Operation::MoveMount) => "move-mount",
        Ok(v1::Operation::Remount) => "remount",
        Ok(v1::Operation::BindMount) => "bind-mount",
        Ok(v1::Operation::Ptrace) => "ptrace",
        Ok(v1::Operation::Signal) => "signal",
        Ok(v1::Operation::Bpf) => "bpf",
        Ok(v1::Operation::PerfEvent) => "perf-event",
        Ok(v1::Operation::Module) => "module",
        Ok(v1::Operation::Firmware) => "firmware",
        Ok(v1::Operation::Kexec) => "kexec",
        Ok(v1::Operation::Setuid) => "setuid",
        Ok(v1::Operation::Namespace) => "namespace",
        Ok(v1::Operation::Time) => "time",
        Ok(v1::Operation::Swap) => "swap",
        Ok(v1::Operation::Reboot) => "reboot",
        Ok(v1::Operation::Unspecified) | Err(_) => "unknown",
    }
}

/// What became of it; everything unknown was denied.
pub(crate) fn verdict(wire: i32) -> &'static str {
    match v1::Verdict::try_from(wire) {
        Ok(v1::Verdict::Allowed) => "allowed",
        Ok(v1::Verdict::Held) => "held",
        Ok(v1::Verdict::Denied | v1::Verdict::Unspecified) | Err(_) => "denied",
    }
}

/// A path, escaped, both ends of a move, `address:port`, a process, or what is asked of the kernel.
pub(crate) fn object(wire: Option<v1::Object>) -> String {
    match wire.and_then(|object| object.object) {
        Some(v1::object::Object::Path(path)) => Safe(&path).to_string(),
        Some(v1::object::Object::Ends(ends)) => {
            format!("{} -> {}", Safe(&ends.from), Safe(&ends.to))
        }
        Some(v1::object::Object::Address(address)) => destination(&address),
        Some(v1::object::Object::AbstractName(bytes)) => Object::Name { bytes }.to_string(),
        Some(v1::object::Object::Vsock(v1::Vsock { cid, port })) => {
            Object::Vsock { cid, port }.to_string()
        }
        Some(v1::object::Object::Target(target)) => process(&target),
        Some(v1::object::Object::Request(words)) => safe(&words),
        None => String::new(),
    }
}

fn process(target: &v1::Target) -> String {
    let signal = target
        .signal
        .map_or_else(String::new, |signal| format!("{signal} to "));
    format!("{signal}{} (pid {})", Safe(&target.comm), target.pid)
}

fn destination(address: &v1::Address) -> String {
    let v4 = <[u8; 4]>::try_from(&*address.ip).map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
    let v6 = <[u8; 16]>::try_from(&*address.ip).map(|ip| IpAddr::V6(Ipv6Addr::from(ip)));
    match (v4.or(v6), u16::try_from(address.port)) {
        (Ok(ip), Ok(port)) => {
            let protocol = address
                .protocol
                .and_then(|number| u16::try_from(number).ok());
            Object::Address { ip, port, protocol }.to_string()
        }
        _ => "unreadable address".into(),
    }
}

/// Who acted, from the kernel's pin.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subject {
    pub(crate) auid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<u32>,
}

impl Subject {
    pub(crate) fn of(wire: v1::Subject) -> Self {
        Self {
            auid: wire.auid,
            user: text(wire.user),
            session: wire.session,
        }
    }

    /// The name, or the login uid where the host knows none.
    pub(crate) fn shown(&self) -> String {
        match &self.user {
            Some(user) => safe(user),
            None => format!("login uid {}", self.auid),
        }
    }
}

/// A process as it was when it acted. Its strings are escaped: they were bytes that anybody chose.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent_pid: u32,
    pub(crate) uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) executable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) working_directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terminal: Option<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) arguments_cut: bool,
    /// Not for the caller: a note stands in their place
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) arguments_withheld: bool,
    #[serde(skip)]
    pub(crate) command_line: String,
}

impl Process {
    pub(crate) fn of(wire: &v1::Process) -> Self {
        let cut = if wire.arguments_cut { " …" } else { "" };
        Self {
            pid: wire.pid,
            parent_pid: wire.ppid,
            uid: wire.uid,
            command: bytes(&wire.comm),
            executable: bytes(&wire.executable),
            working_directory: bytes(&wire.working_directory),
            terminal: bytes(&wire.terminal),
            arguments: wire
                .arguments
                .iter()
                .map(|arg| Safe(arg).to_string())
                .collect(),
            arguments_cut: wire.arguments_cut,
            arguments_withheld: wire.arguments_withheld,
            command_line: format!("{}{cut}", safe_args(&wire.arguments)),
        }
    }

    /// `vim (pid 4321)`.
    pub(crate) fn shown(&self) -> String {
        let command = self.command.as_deref().unwrap_or("a program");
        format!("{command} (pid {})", self.pid)
    }
}

/// A rule within an immutable policy revision.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rule {
    pub(crate) policy: String,
    pub(crate) revision: u64,
    #[serde(rename = "rule")]
    pub(crate) id: String,
}

impl Rule {
    pub(crate) fn of(wire: Option<v1::RuleRef>) -> Option<Self> {
        let wire = wire.filter(|rule| !rule.rule.is_empty())?;
        Some(Self {
            policy: wire.policy,
            revision: wire.revision,
            id: wire.rule,
        })
    }

    /// `policy/rule`.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", safe(&self.policy), safe(&self.id))
    }

    /// `policy/rule (revision 3)`.
    pub(crate) fn full(&self) -> String {
        format!("{} (revision {})", self.shown(), self.revision)
    }
}

/// How far one host has come.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostEnforcement {
    pub(crate) host: String,
    pub(crate) online: bool,
    pub(crate) phase: &'static str,
    pub(crate) generation: u64,
    pub(crate) reasons: Vec<String>,
    /// The same for single resources of the host's state
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<ResourceError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) update_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_seen_time: Option<Time>,
    /// From when on no lease counts there, should it hear nothing until then; none where leases count until their own end
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) void_time: Option<Time>,
    /// Until when at the latest a lease counts there that was taken back
    #[serde(skip)]
    pub(crate) counts_until: Option<Time>,
}

/// What is wrong with one resource.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ResourceError {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// Hosts that are named one by one: a screenful. `-o json` has all.
const BEHIND_MAX: usize = 20;

impl HostEnforcement {
    pub(crate) fn of(wire: v1::HostEnforcement) -> Self {
        Self {
            phase: phase(wire.phase, wire.removes),
            host: bare(&wire.host, "hosts/"),
            online: wire.online,
            generation: wire.generation,
            reasons: wire.reasons,
            errors: wire
                .errors
                .into_iter()
                .map(|v1::ResourceError { name, reason }| ResourceError { name, reason })
                .collect(),
            update_time: time(wire.update_time),
            last_seen_time: time(wire.last_seen_time),
            void_time: time(wire.void_time),
            counts_until: None,
        }
    }

    /// `db2: not connected since 14:32; not sent`: why it is not done.
    fn why_not(&self, moment: &Moment) -> String {
        format!("{}: {}", safe(&self.host), self.missing(moment).join("; "))
    }

    /// What stands against its being done, one by one.
    pub(crate) fn missing(&self, moment: &Moment) -> Vec<String> {
        let there = match (self.online, self.last_seen_time) {
            (true, _) => None,
            (false, Some(seen)) => Some(format!("not connected since {}", moment.short(seen))),
            (false, None) => Some("never connected".to_owned()),
        };
        let how = match self.phase {
            "rejected" => Some(format!("rejected: {}", self.why_rejected())),
            "received" | "removing" => {
                Some("has it, and does not say that it is enforced yet".into())
            }
            "enforced" | "removed" => None,
            _ if self.online => Some("not answered yet".into()),
            _ => None,
        };
        let until = self.counts_until.filter(|until| until.0 > moment.now);
        let until =
            until.map(|end| format!("counts there until {} at the latest", moment.short(end)));
        there.into_iter().chain(how).chain(until).collect()
    }

    fn why_rejected(&self) -> String {
        let reasons: Vec<String> = self.reasons.iter().map(|reason| safe(reason)).collect();
        reasons.join("; ")
    }

    /// Whether the host's kernel has it.
    pub(crate) fn enforced(&self) -> bool {
        self.phase == "enforced"
    }

    /// Whether the host did what was wanted: has it, or has it out again.
    pub(crate) fn done(&self) -> bool {
        self.enforced() || self.phase == "removed"
    }

    /// `db1: enforced`, with everything that stands against it.
    pub(crate) fn shown(&self) -> String {
        let offline = if self.online { "" } else { ", offline" };
        let reasons: String = self
            .reasons
            .iter()
            .map(|reason| format!("; {}", safe(reason)))
            .collect();
        format!("{}: {}{offline}{reasons}", safe(&self.host), self.phase)
    }
}

fn phase(wire: i32, removes: bool) -> &'static str {
    match v1::EnforcementPhase::try_from(wire) {
        Ok(v1::EnforcementPhase::Received) => "received",
        Ok(v1::EnforcementPhase::Enforced) if removes => "removed",
        Ok(v1::EnforcementPhase::Enforced) => "enforced",
        Ok(v1::EnforcementPhase::Rejected) => "rejected",
        // What this build does not know is not enforced.
        Ok(v1::EnforcementPhase::Desired | v1::EnforcementPhase::Unspecified) | Err(_) => "desired",
    }
}

/// `1/2`: hosts that enforce, of all.
pub(crate) fn enforced_on(hosts: &[HostEnforcement]) -> String {
    let enforced = hosts.iter().filter(|host| host.enforced()).count();
    format!("{enforced}/{}", hosts.len())
}

/// `enforced on 1 of 2 hosts`, and below it those that are not, each with why.
pub(crate) fn enforcement_lines(hosts: &[HostEnforcement], word: &str, moment: &Moment) -> String {
    let behind: Vec<&HostEnforcement> = hosts.iter().filter(|host| !host.done()).collect();
    let why_not = behind.iter().map(|host| host.why_not(moment));
    counted(hosts.len(), why_not, word)
}

/// The same, where each of those that are not has said why.
pub(crate) fn counted(
    all: usize,
    why_not: impl ExactSizeIterator<Item = String>,
    word: &str,
) -> String {
    let behind = why_not.len();
    let done = all.saturating_sub(behind);
    let mut lines = match all {
        0 => return String::new(),
        1 => vec![format!("{word} {done} of 1 host")],
        _ => vec![format!("{word} {done} of {all} hosts")],
    };
    lines.extend(why_not.take(BEHIND_MAX));
    if let Some(more @ 1..) = behind.checked_sub(BEHIND_MAX) {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// One line per host.
pub(crate) fn host_lines(hosts: &[HostEnforcement]) -> String {
    let lines: Vec<String> = hosts.iter().map(HostEnforcement::shown).collect();
    lines.join("\n")
}
