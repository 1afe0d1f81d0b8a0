//! Operations, verdicts, subjects, objects, processes and rules.

use std::net::IpAddr;

use stayhand_guardrail::{
    action::{Object, Operation, ProcessInfo},
    event::RuleRef,
    id::Revision,
    reason::Verdict,
    sensitivity::Sensitivity,
    subject::Subject,
};

use super::{
    Invalid,
    invalid::inside,
    scalar::{bounded, bytes, id, shown, some_bytes, some_id, text},
};
use crate::{
    limits::{ARGUMENTS_BYTES_MAX, ARGUMENTS_MAX, PATH_BYTES_MAX, SHORT_BYTES_MAX},
    v1,
};

impl From<Operation> for v1::Operation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Exec => Self::Exec,
            Operation::MapExec => Self::MapExec,
            Operation::Rename => Self::Rename,
            Operation::Link => Self::Link,
            Operation::Create => Self::Create,
            Operation::Delete => Self::Delete,
            Operation::Write => Self::Write,
            Operation::Read => Self::Read,
            Operation::Attr => Self::Attr,
            Operation::Connect => Self::Connect,
            Operation::Send => Self::Send,
            Operation::Bind => Self::Bind,
            Operation::Listen => Self::Listen,
            Operation::Raw => Self::Raw,
            Operation::Netlink => Self::Netlink,
            Operation::Mount => Self::Mount,
            Operation::Umount => Self::Umount,
            Operation::MoveMount => Self::MoveMount,
            Operation::Remount => Self::Remount,
            Operation::BindMount => Self::BindMount,
            Operation::Ptrace => Self::Ptrace,
            Operation::Signal => Self::Signal,
            Operation::Bpf => Self::Bpf,
            Operation::PerfEvent => Self::PerfEvent,
            Operation::Module => Self::Module,
            Operation::Firmware => Self::Firmware,
            Operation::Kexec => Self::Kexec,
            Operation::Setuid => Self::Setuid,
            Operation::Namespace => Self::Namespace,
            Operation::Time => Self::Time,
            Operation::Swap => Self::Swap,
            Operation::Reboot => Self::Reboot,
        }
    }
}

pub(super) fn operation(field: &str, wire: i32) -> Result<Operation, Invalid> {
    match v1::Operation::try_from(wire) {
        Ok(v1::Operation::Exec) => Ok(Operation::Exec),
        Ok(v1::Operation::MapExec) => Ok(Operation::MapExec),
        Ok(v1::Operation::Rename) => Ok(Operation::Rename),
        Ok(v1::Operation::Link) => Ok(Operation::Link),
        Ok(v1::Operation::Create) => Ok(Operation::Create),
        Ok(v1::Operation::Delete) => Ok(Operation::Delete),
        Ok(v1::Operation::Write) => Ok(Operation::Write),
        Ok(v1::Operation::Read) => Ok(Operation::Read),
        Ok(v1::Operation::Attr) => Ok(Operation::Attr),
        Ok(v1::Operation::Connect) => Ok(Operation::Connect),
        Ok(v1::Operation::Send) => Ok(Operation::Send),
        Ok(v1::Operation::Bind) => Ok(Operation::Bind),
        Ok(v1::Operation::Listen) => Ok(Operation::Listen),
        Ok(v1::Operation::Raw) => Ok(Operation::Raw),
        Ok(v1::Operation::Netlink) => Ok(Operation::Netlink),
        Ok(v1::Operation::Mount) => Ok(Operation::Mount),
        Ok(v1::Operation::Umount) => Ok(Operation::Umount),
        Ok(v1::Operation::MoveMount) => Ok(Operation::MoveMount),
        Ok(v1::Operation::Remount) => Ok(Operation::Remount),
        Ok(v1::Operation::BindMount) => Ok(Operation::BindMount),
        Ok(v1::Operation::Ptrace) => Ok(Operation::Ptrace),
        Ok(v1::Operation::Signal) => Ok(Operation::Signal),
        Ok(v1::Operation::Bpf) => Ok(Operation::Bpf),
        Ok(v1::Operation::PerfEvent) => Ok(Operation::PerfEvent),
        Ok(v1::Operation::Module) => Ok(Operation::Module),
        Ok(v1::Operation::Firmware) => Ok(Operation::Firmware),
        Ok(v1::Operation::Kexec) => Ok(Operation::Kexec),
        Ok(v1::Operation::Setuid) => Ok(Operation::Setuid),
        Ok(v1::Operation::Namespace) => Ok(Operation::Namespace),
        Ok(v1::Operation::Time) => Ok(Operation::Time),
        Ok(v1::Operation::Swap) => Ok(Operation::Swap),
        Ok(v1::Operation::Reboot) => Ok(Operation::Reboot),
        Ok(v1::Operation::Unspecified) | Err(_) => {
            Err(Invalid::new(field, format!("{wire} is no operation")))
        }
    }
}

impl From<Verdict> for v1::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allowed => Self::Allowed,
            Verdict::Denied => Self::Denied,
            Verdict::Held => Self::Held,
        }
    }
}

/// Everything unknown is read as denied, as everywhere.
pub(super) fn verdict(wire: i32) -> Verdict {
    match v1::Verdict::try_from(wire) {
        Ok(v1::Verdict::Allowed) => Verdict::Allowed,
        Ok(v1::Verdict::Held) => Verdict::Held,
        Ok(v1::Verdict::Denied | v1::Verdict::Unspecified) | Err(_) => Verdict::Denied,
    }
}

impl From<Sensitivity> for v1::Sensitivity {
    fn from(sensitivity: Sensitivity) -> Self {
        match sensitivity {
            Sensitivity::Low => Self::Low,
            Sensitivity::Medium => Self::Medium,
            Sensitivity::High => Self::High,
            Sensitivity::Critical => Self::Critical,
        }
    }
}

/// A sensitivity as it travels; unspecified is none.
pub fn sent_sensitivity(sensitivity: Option<Sensitivity>) -> i32 {
    let wire = sensitivity.map_or(v1::Sensitivity::Unspecified, Into::into);
    wire.into()
}

/// A newer peer may know more of them: what nobody here knows reads as the most, so that no alarm gets lost over a word.
pub fn sensitivity(wire: i32) -> Option<Sensitivity> {
    match v1::Sensitivity::try_from(wire) {
        Ok(v1::Sensitivity::Unspecified) => None,
        Ok(v1::Sensitivity::Low) => Some(Sensitivity::Low),
        Ok(v1::Sensitivity::Medium) => Some(Sensitivity::Medium),
        Ok(v1::Sensitivity::High) => Some(Sensitivity::High),
        Ok(v1::Sensitivity::Critical) | Err(_) => Some(Sensitivity::Critical),
    }
}

impl From<Subject> for v1::Subject {
    fn from(subject: Subject) -> Self {
        let Subject {
            auid,
            user,
            session,
        } = subject;
        Self {
            auid,
            user: shown(user.as_ref()),
            session,
        }
    }
}

impl TryFrom<v1::Subject> for Subject {
    type Error = Invalid;
    fn try_from(wire: v1::Subject) -> Result<Self, Invalid> {
        let v1::Subject {
            auid,
            user,
            session,
        } = wire;
        Ok(Self {
            auid,
            user: some_id("user", &user)?,
            session,
        })
    }
}

impl From<Object> for v1::Object {
    fn from(object: Object) -> Self {
        let object = match object {
            Object::Path { bytes } => v1::object::Object::Path(bytes),
            Object::Ends { from, to } => v1::object::Object::Ends(v1::Ends { from, to }),
            Object::Name { bytes } => v1::object::Object::AbstractName(bytes),
            Object::Vsock { cid, port } => v1::object::Object::Vsock(v1::Vsock { cid, port }),
            Object::Address { ip, port, protocol } => {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.octets().to_vec(),
                    IpAddr::V6(ip) => ip.octets().to_vec(),
                };
                v1::object::Object::Address(v1::Address {
                    ip,
                    port: port.into(),
                    protocol: protocol.map(u32::from),
                })
            }
            Object::Process { pid, comm, signal } => {
                v1::object::Object::Target(v1::Target { pid, comm, signal })
            }
            Object::Request { words } => v1::object::Object::Request(words),
        };
        Self {
            object: Some(object),
        }
    }
}

impl TryFrom<v1::Object> for Object {
    type Error = Invalid;
    fn try_from(wire: v1::Object) -> Result<Self, Invalid> {
        match wire.object {
            None => Err(Invalid::new(
                "object",
                "is nothing that an action can be about",
            )),
            Some(v1::object::Object::Target(v1::Target { pid, comm, signal })) => {
                Ok(Self::Process {
                    pid,
                    comm: bytes("target.comm", comm, SHORT_BYTES_MAX)?,
                    signal,
                })
            }
            Some(v1::object::Object::Request(words)) => Ok(Self::Request {
                words: text("request", words)?,
            }),
            Some(v1::object::Object::Ends(v1::Ends { from, to })) => Ok(Self::Ends {
                from: bytes("ends.from", from, PATH_BYTES_MAX)?,
                to: bytes("ends.to", to, PATH_BYTES_MAX)?,
            }),
            Some(v1::object::Object::Path(path)) => Ok(Self::Path {
                bytes: bytes("path", path, PATH_BYTES_MAX)?,
            }),
            Some(v1::object::Object::Address(wire)) => inside("address", address(wire)),
            Some(v1::object::Object::AbstractName(name)) => Ok(Self::Name {
                bytes: bytes("abstract_name", name, SHORT_BYTES_MAX)?,
            }),
            Some(v1::object::Object::Vsock(v1::Vsock { cid, port })) => {
                Ok(Self::Vsock { cid, port })
            }
        }
    }
}

fn address(wire: v1::Address) -> Result<Object, Invalid> {
    let v1::Address { ip, port, protocol } = wire;
    let ip = match (
        <[u8; 4]>::try_from(ip.as_slice()),
        <[u8; 16]>::try_from(ip.as_slice()),
    ) {
        (Ok(four), _) => IpAddr::from(four),
        (_, Ok(sixteen)) => IpAddr::from(sixteen),
        _ => {
            return Err(Invalid::new(
                "ip",
                format!("has {} bytes, neither 4 nor 16", ip.len()),
            ));
        }
    };
    let port =
        u16::try_from(port).map_err(|_| Invalid::new("port", format!("{port} is no port")))?;
    let protocol = protocol
        .map(|number| {
            let none = |_| Invalid::new("protocol", format!("{number} is no protocol"));
            u16::try_from(number).map_err(none)
        })
        .transpose()?;
    Ok(Object::Address { ip, port, protocol })
}

impl From<ProcessInfo> for v1::Process {
    fn from(process: ProcessInfo) -> Self {
        let ProcessInfo {
            pid,
            tid,
            ppid,
            cookie,
            uid,
            comm,
            exe,
            cwd,
            tty,
            args,
            args_cut,
        } = process;
        Self {
            pid,
            tid,
            ppid,
            uid,
            cookie,
            comm,
            executable: exe.unwrap_or_default(),
            working_directory: cwd.unwrap_or_default(),
            terminal: tty.unwrap_or_default(),
            arguments: args,
            arguments_cut: args_cut,
            arguments_withheld: false,
        }
    }
}

impl TryFrom<v1::Process> for ProcessInfo {
    type Error = Invalid;
    fn try_from(wire: v1::Process) -> Result<Self, Invalid> {
        let v1::Process {
            pid,
            tid,
            ppid,
            uid,
            cookie,
            comm,
            executable,
            working_directory,
            terminal,
            arguments,
            arguments_cut,
            // The note in their place says it, too.
            arguments_withheld: _,
        } = wire;
        let args = bounded("arguments", arguments, ARGUMENTS_MAX)?;
        let args_bytes: usize = args.iter().map(Vec::len).sum();
        if args_bytes > ARGUMENTS_BYTES_MAX {
            let problem = format!(
                "have {args_bytes} bytes, more than the {ARGUMENTS_BYTES_MAX} that are allowed"
            );
            return Err(Invalid::new("arguments", problem));
        }
        Ok(Self {
            pid,
            tid,
            ppid,
            cookie,
            uid,
            comm: bytes("comm", comm, SHORT_BYTES_MAX)?,
            exe: some_bytes("executable", executable, PATH_BYTES_MAX)?,
            cwd: some_bytes("working_directory", working_directory, PATH_BYTES_MAX)?,
            tty: some_bytes("terminal", terminal, SHORT_BYTES_MAX)?,
            args,
            args_cut: arguments_cut,
        })
    }
}

impl From<RuleRef> for v1::RuleRef {
    fn from(reference: RuleRef) -> Self {
        let RuleRef {
            policy,
            revision,
            rule,
        } = reference;
        Self {
            policy: policy.into(),
            revision: revision.0,
            rule: rule.into(),
        }
    }
}

impl TryFrom<v1::RuleRef> for RuleRef {
    type Error = Invalid;
    fn try_from(wire: v1::RuleRef) -> Result<Self, Invalid> {
        let v1::RuleRef {
            policy,
            revision,
            rule,
        } = wire;
        Ok(Self {
            policy: id("policy", &policy)?,
            revision: Revision(revision),
            rule: id("rule", &rule)?,
        })
    }
}
