//! What a record says that is about no path and no address: a process that is acted on, or what is asked of the kernel,
//! in words for people who decide about it.

use stayhand_agent_ebpf::abi::{
    code::{hook, op, request},
    record::Record,
};
use stayhand_guardrail::action::Object;

/// The object; `None` for a record of another kind, and for one of a file, whose name it has.
pub(super) fn of(record: &Record) -> Option<Object> {
    if record.hook != hook::SYSTEM || record.path_components != 0 {
        return None;
    }
    if record.op & (op::PTRACE | op::SIGNAL) == 0 {
        let words = words(record.op, record.object.ino);
        return Some(Object::Request { words });
    }
    let name = record.dest_addr.split(|byte| *byte == 0).next();
    Some(Object::Process {
        pid: record.object.dev,
        comm: name.unwrap_or_default().to_vec(),
        signal: u32::try_from(record.object.ino)
            .ok()
            .filter(|_| record.op & op::SIGNAL != 0),
    })
}

fn words(operation: u32, number: u64) -> String {
    let fixed = match (operation, number) {
        (op::RAW, socket) => return raw(socket),
        (op::NETLINK, message) => return netlink(message),
        (op::BPF, command) => return format!("command {command}"),
        (op::TIME, request::ADJUSTMENT) => "adjust the clock",
        (op::TIME, seconds) => return format!("set to {seconds} s after 1970"),
        (op::MODULE | op::FIRMWARE | op::KEXEC, request::FROM_MEMORY) => "from memory",
        (op::MODULE, request::UNLOAD) => "unload",
        (op::SETUID, request::USER_ID) => "user id 0",
        (op::SETUID, request::GROUP_ID) => "group id 0",
        (op::NAMESPACE, request::USER_NAMESPACE) => "new user namespace",
        (op::NAMESPACE, request::OTHER_NAMESPACE) => "make or enter a namespace",
        _ => "",
    };
    fixed.to_owned()
}

/// A socket by family, type and protocol, see `request::socket`.
fn raw(socket: u64) -> String {
    let [_, family, kind, protocol] = parts(socket);
    let name = match family {
        2 => "IPv4",
        10 => "IPv6",
        15 => "key",
        17 => "packet",
        29 => "CAN",
        30 => "TIPC",
        31 => "Bluetooth",
        44 => "XDP",
        _ => return format!("socket of family {family}, type {kind}, protocol {protocol}"),
    };
    format!("{name} socket, type {kind}, protocol {protocol}")
}

/// A message by protocol and type, see `request::message`.
fn netlink(message: u64) -> String {
    let [_, _, protocol, kind] = parts(message);
    let name = match (protocol, kind) {
        (0, 16..=19) => "links",
        (0, 20..=23) => "addresses",
        (0, 24..=27) => "routes",
        (0, 28..=31) => "neighbours",
        (0, 32..=35) => "routing rules",
        (0, 36..=47) => "traffic control",
        (0, _) => "routing",
        (4, _) => "sockets of others",
        (6, _) => "IPsec",
        (9, _) => "audit",
        (12, _) => "netfilter",
        (15, _) => "device events",
        (16, _) => "generic family",
        (21, _) => "crypto",
        _ => return format!("netlink protocol {protocol}, message {kind}"),
    };
    format!("{name}, message {kind}")
}

/// From the highest.
fn parts(number: u64) -> [u16; 4] {
    [48, 32, 16, 0].map(|from| u16::try_from(number >> from & 0xffff).unwrap_or(0))
}
