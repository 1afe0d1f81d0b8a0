//! A recorded decision: the activity's class with the Security Control profile.

use serde_json::{Value, json};
use stayhand_agent_ebpf::abi::code::op;

use super::{
    Body,
    class::{Class, activity},
    control::{action_name, control, disposition_name, raised},
    objects,
};
use crate::{
    action::{Object, Operation},
    event::{DecisionEvent, Event},
    id::UserName,
    policy::Protocol,
    reason::{Reason, Verdict},
};

/// `process.launch_type_id`: exec
const LAUNCH_EXEC: u32 = 3;
/// `connection_info.direction_id`: outbound
const OUTBOUND: u32 = 2;
/// `connection_info.direction_id`: nobody is connected yet
const UNKNOWN_DIRECTION: u32 = 0;

pub(super) fn body(event: &Event, decision: &DecisionEvent) -> Body {
    let (class, activity) = class_of(decision.operation);
    let code = format!("{}.{}", decision.operation.class(), decision.verdict);
    let mut body = Body::new(class, activity, code, sentence(event, decision));
    let control = control(decision.verdict, decision.reason);
    body.severity = raised(control.severity, decision.rule_sensitivity());
    body.status = control.status;
    body.profiles = vec!["security_control", "linux/linux_users"];
    body.correlation = correlation(decision);
    if decision.verdict == Verdict::Denied {
        body.set("status_code", "EPERM");
    }
    body.set("status_detail", decision.reason.as_str());
    body.set(
        "actor",
        objects::actor(event, &decision.subject, &decision.process),
    );
    object(&mut body, decision);
    body.set("action_id", control.action);
    body.set("action", action_name(control.action));
    body.set("disposition_id", control.disposition);
    body.set("disposition", disposition_name(control.disposition));
    body.set("is_alert", control.alert);
    rule(&mut body, decision);
    notes(&mut body, decision);
    body
}

pub(super) fn class_of(operation: Operation) -> (Class, u32) {
    let file = Class::FILE_SYSTEM_ACTIVITY;
    match operation {
        Operation::Exec => (Class::PROCESS_ACTIVITY, activity::PROCESS_LAUNCH),
        Operation::Read => (file, activity::FILE_READ),
        Operation::Write => (file, activity::FILE_UPDATE),
        Operation::Create => (file, activity::FILE_CREATE),
        Operation::Delete => (file, activity::FILE_DELETE),
        Operation::Rename => (file, activity::FILE_RENAME),
        Operation::Attr => (file, activity::FILE_SET_ATTRIBUTES),
        Operation::MapExec
        | Operation::Link
        | Operation::MoveMount
        | Operation::Remount
        | Operation::BindMount => (file, activity::OTHER),
        Operation::Connect => (Class::NETWORK_ACTIVITY, activity::NETWORK_OPEN),
        Operation::Send => (Class::NETWORK_ACTIVITY, activity::NETWORK_TRAFFIC),
        Operation::Bind => (Class::NETWORK_ACTIVITY, activity::OTHER),
        Operation::Listen => (Class::NETWORK_ACTIVITY, activity::NETWORK_LISTEN),
        Operation::Mount => (file, activity::FILE_MOUNT),
        Operation::Umount => (file, activity::FILE_UNMOUNT),
        Operation::Ptrace => (Class::PROCESS_ACTIVITY, activity::PROCESS_OPEN),
        Operation::Signal => (Class::PROCESS_ACTIVITY, activity::OTHER),
        Operation::Setuid => (Class::PROCESS_ACTIVITY, activity::PROCESS_SET_USER_ID),
        Operation::Bpf
        | Operation::PerfEvent
        | Operation::Module
        | Operation::Firmware
        | Operation::Kexec
        | Operation::Namespace
        | Operation::Time
        | Operation::Swap
        | Operation::Reboot
        | Operation::Raw
        | Operation::Netlink => (Class::KERNEL_ACTIVITY, activity::KERNEL_INVOKE),
    }
}

fn sentence(event: &Event, decision: &DecisionEvent) -> String {
    let DecisionEvent {
        verdict,
        reason,
        operation,
        object,
        subject,
        ..
    } = decision;
    let rule = decision
        .rule
        .as_ref()
        .map_or_else(String::new, |rule| format!(", rule {rule}"));
    format!(
        "{verdict}: {} (auid {}) {operation} {object} on {}: {reason}{rule}",
        subject.shown(),
        subject.auid,
        event.host
    )
}

/// One name joins everything that belongs together: a hold, or else a grant.
fn correlation(decision: &DecisionEvent) -> Option<String> {
    let hold = decision
        .hold
        .as_ref()
        .map(|hold| format!("holds/{}", hold.id));
    hold.or_else(|| decision.grant.map(|grant| format!("grants/{grant}")))
}

fn object(body: &mut Body, decision: &DecisionEvent) {
    if class_of(decision.operation).1 == activity::OTHER {
        body.set("activity_name", decision.operation.as_str());
    }
    match decision.operation {
        Operation::Exec => {
            body.set("launch_type_id", LAUNCH_EXEC);
            let program = objects::path_of(&decision.object);
            body.set(
                "process",
                objects::launched(&decision.subject, &decision.process, program),
            );
        }
        Operation::Connect | Operation::Send => {
            body.set("dst_endpoint", endpoint(&decision.object));
            body.set("connection_info", connection(&decision.object, OUTBOUND));
        }
        Operation::Bind | Operation::Listen => {
            body.set("src_endpoint", endpoint(&decision.object));
            body.set(
                "connection_info",
                connection(&decision.object, UNKNOWN_DIRECTION),
            );
        }
        Operation::Ptrace | Operation::Signal | Operation::Setuid => {
            body.set("process", objects::acted_on(decision));
        }
        operation if operation.bit() & op::SYSTEM != 0 => {
            body.set("kernel", objects::kernel(operation, &decision.object));
        }
        _ => {
            body.set(
                "file",
                objects::regular_file(objects::path_of(&decision.object)),
            );
            if let Object::Ends { to, .. } = &decision.object {
                body.set("file_result", objects::regular_file(to));
            }
        }
    }
}

/// Direction and, where it is known, protocol.
fn connection(object: &Object, direction: u32) -> Value {
    let mut info = json!({ "direction_id": direction });
    if let (
        Object::Address {
            protocol: Some(number),
            ..
        },
        Value::Object(info),
    ) = (object, &mut info)
    {
        info.insert("protocol_num".to_owned(), (*number).into());
        if let Some((name, _)) = Protocol::NAMED.iter().find(|(_, known)| known.0 == *number) {
            info.insert("protocol_name".to_owned(), (*name).into());
        }
    }
    info
}

/// A record that contradicts itself has no address: the endpoint is required, and empty is the truth about it.
fn endpoint(object: &Object) -> Value {
    match object {
        Object::Address { ip, port, .. } => json!({ "ip": ip.to_string(), "port": port }),
        Object::Path { .. } | Object::Name { .. } | Object::Vsock { .. } => {
            json!({ "name": object.to_string() })
        }
        _ => json!({ "name": "unknown" }),
    }
}

fn rule(body: &mut Body, decision: &DecisionEvent) {
    let mut authorizations: Vec<Value> = Vec::new();
    if let Some(grant) = decision.grant {
        authorizations.push(json!({ "decision": "Allowed", "policy": { "uid": format!("grants/{grant}"), "type": "grant" } }));
    }
    if let Some(hold) = &decision.hold {
        let word = match decision.reason {
            Reason::HoldApproved => "Approved",
            Reason::HoldRefused => "Refused",
            Reason::HoldTimedOut => "Timed out",
            Reason::HoldLapsed => "Lapsed",
            Reason::HoldPending => "Pending",
            _ => "Cancelled",
        };
        authorizations.push(json!({ "decision": word, "policy": { "uid": format!("holds/{}", hold.id), "type": "hold" } }));
    }
    if !authorizations.is_empty() {
        body.set("authorizations", authorizations);
    }
    if let Some(rule) = &decision.rule {
        let policy = format!("policies/{}", rule.policy);
        body.set(
            "policy",
            json!({
                "uid": policy,
                "name": rule.policy.as_str(),
                "version": rule.revision.to_string(),
                "is_applied": !decision.monitor,
            }),
        );
        let uid = format!("{policy}/rules/{}", rule.rule);
        let mut firewall_rule =
            json!({ "uid": uid, "name": rule.rule.as_str(), "type": hook(decision.operation) });
        if let (Some(one), Value::Object(rule)) = (decision.sensitivity, &mut firewall_rule) {
            rule.insert("sensitivity".to_owned(), one.as_str().into());
        }
        body.set("firewall_rule", firewall_rule);
    }
}

/// The hook that judges an operation, or the first of several.
fn hook(operation: Operation) -> &'static str {
    match operation {
        Operation::Exec => "bpf-lsm/bprm_check_security",
        Operation::MapExec => "bpf-lsm/mmap_file",
        Operation::Rename => "bpf-lsm/inode_rename",
        Operation::Link => "bpf-lsm/inode_link",
        Operation::Read | Operation::Write => "bpf-lsm/file_open",
        Operation::Create => "bpf-lsm/inode_create",
        Operation::Delete => "bpf-lsm/inode_unlink",
        Operation::Attr => "bpf-lsm/inode_setattr",
        Operation::Connect => "bpf-lsm/socket_connect",
        Operation::Send => "bpf-lsm/socket_sendmsg",
        Operation::Bind => "bpf-lsm/socket_bind",
        Operation::Listen => "bpf-lsm/socket_listen",
        Operation::Raw => "bpf-lsm/socket_create",
        Operation::Netlink => "bpf-lsm/netlink_send",
        Operation::Mount | Operation::Remount | Operation::BindMount => "bpf-lsm/sb_mount",
        Operation::Umount => "bpf-lsm/sb_umount",
        Operation::MoveMount => "bpf-lsm/move_mount",
        Operation::Ptrace => "bpf-lsm/ptrace_access_check",
        Operation::Signal => "bpf-lsm/task_kill",
        Operation::Bpf => "bpf-lsm/bpf",
        Operation::PerfEvent => "bpf-lsm/perf_event_open",
        Operation::Module | Operation::Firmware | Operation::Kexec => "bpf-lsm/kernel_read_file",
        Operation::Setuid => "bpf-lsm/task_fix_setuid",
        Operation::Namespace => "bpf-lsm/userns_create",
        Operation::Time => "bpf-lsm/settime",
        Operation::Swap | Operation::Reboot => "bpf-lsm/capable",
    }
}

fn notes(body: &mut Body, decision: &DecisionEvent) {
    body.note(
        "enforcement_mode",
        if decision.monitor {
            "monitor"
        } else {
            "enforce"
        },
    );
    body.note("generation", decision.generation.0);
    body.note("reason", decision.reason.as_str());
    if let Some(permission) = &decision.permission {
        body.note("permission", permission.to_string());
    }
    if let Some(message) = &decision.message {
        body.note("policy_message", crate::text::safe(message));
    }
    if let Some(hold) = &decision.hold {
        body.note(
            "hold",
            json!({
                "id": hold.id.to_string(),
                "expire_time": hold.deadline.0,
                "answered_by": hold.answered_by.as_ref().map(UserName::as_str),
                "answer_reason": hold.answer_reason.as_deref().map(crate::text::safe),
            }),
        );
    }
    if decision.operation != Operation::Exec && !decision.process.args.is_empty() {
        body.note("actor_cmd_line", objects::command_line(&decision.process));
    }
    if decision.args_redacted != 0 {
        body.note("args_redacted", decision.args_redacted);
    }
    if decision.object_cut {
        body.note("object_cut", true);
    }
}
