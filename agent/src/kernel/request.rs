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
