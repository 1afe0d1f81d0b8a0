//! The objects that several classes share.

use serde_json::{Map, Value, json};

use crate::{
    action::{Object, Operation, ProcessInfo},
    event::{DecisionEvent, Event},
    subject::Subject,
    text::{Safe, safe_args},
};

/// `kernel.type_id`
const KERNEL_SYSTEM_CALL: u32 = 2;
/// `device.type_id`: a server.
const DEVICE_SERVER: u32 = 1;
/// `file.type_id`
const FILE_REGULAR: u32 = 1;
/// `file.type_id`: an executable file
const FILE_EXECUTABLE: u32 = 8;

pub(super) fn device(event: &Event) -> Value {
    json!({
        "type_id": DEVICE_SERVER,
        "hostname": event.host.as_str(),
        "uid": event.host.as_str(),
        "boot_uid": event.boot_id.to_string(),
    })
}

/// Who acts, by pin, and through which process.
pub(super) fn actor(event: &Event, subject: &Subject, process: &ProcessInfo) -> Value {
    let mut actor = json!({ "user": user(subject) });
    if let Value::Object(actor) = &mut actor {
        if let Some(session) = subject.session {
            actor.insert("session".to_owned(), self::session(event, session, process));
        }
        actor.insert("process".to_owned(), acting(subject, process));
    }
    actor
}

pub(super) fn user(subject: &Subject) -> Value {
    match &subject.user {
        Some(name) => json!({ "uid": subject.auid.to_string(), "name": name.as_str() }),
        None => json!({ "uid": subject.auid.to_string() }),
    }
}

/// Sessions are numbered per boot of a host, so the boot is part of the identity.
fn session(event: &Event, session: u32, process: &ProcessInfo) -> Value {
    let mut object = json!({ "uid": format!("{}-{session}", event.boot_id.simple()) });
    if let (Some(tty), Value::Object(object)) = (&process.tty, &mut object) {
        object.insert("terminal".to_owned(), Safe(tty).to_string().into());
    }
    object
}

/// The process that makes the call.
fn acting(subject: &Subject, process: &ProcessInfo) -> Value {
    let mut object = numbers(subject, process);
    object.insert("name".to_owned(), Safe(&process.comm).to_string().into());
    if let Some(exe) = &process.exe {
        object.insert("file".to_owned(), file(exe, FILE_EXECUTABLE));
    }
    object.insert("parent_process".to_owned(), json!({ "pid": process.ppid }));
    Value::Object(object)
}

/// The process that an exec makes of it.
pub(super) fn launched(subject: &Subject, process: &ProcessInfo, program: &[u8]) -> Value {
    let mut object = numbers(subject, process);
    object.insert("cmd_line".to_owned(), command_line(process).into());
    object.insert("file".to_owned(), file(program, FILE_EXECUTABLE));
    if let Some(cwd) = &process.cwd {
        object.insert("working_directory".to_owned(), Safe(cwd).to_string().into());
    }
    Value::Object(object)
}

fn numbers(subject: &Subject, process: &ProcessInfo) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("pid", process.pid.into());
    put("tid", process.tid.into());
    put(
        "uid",
        format!("{}-{:016x}", process.pid, process.cookie).into(),
    );
    put("user", json!({ "uid": process.uid.to_string() }));
    put("auid", subject.auid.into());
    object
}

/// Redacted arguments, with a sign where some are missing.
pub(super) fn command_line(process: &ProcessInfo) -> String {
    let shown = safe_args(&process.args);
    if process.args_cut {
        format!("{shown} …")
    } else {
        shown
    }
}

pub(super) fn regular_file(path: &[u8]) -> Value {
    file(path, FILE_REGULAR)
}

fn file(path: &[u8], type_id: u32) -> Value {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    json!({ "name": Safe(name).to_string(), "path": Safe(path).to_string(), "type_id": type_id })
}

/// Bytes of a path; empty for everything else, which no class asks for.
pub(super) fn path_of(object: &Object) -> &[u8] {
    match object {
        Object::Path { bytes } | Object::Ends { from: bytes, .. } => bytes,
        Object::Address { .. }
        | Object::Name { .. }
        | Object::Vsock { .. }
        | Object::Process { .. }
        | Object::Request { .. } => b"",
    }
}

/// The process that is traced, signalled or changed: another one, or the acting one itself.
pub(super) fn acted_on(decision: &DecisionEvent) -> Value {
    match &decision.object {
        Object::Process { pid, comm, .. } => {
            json!({ "pid": pid, "name": Safe(comm).to_string() })
        }
        _ => acting(&decision.subject, &decision.process),
    }
}

/// What is asked of the kernel.
pub(super) fn kernel(operation: Operation, object: &Object) -> Value {
    let name = format!("{operation} {object}");
    let mut kernel = json!({ "name": name.trim_end(), "type_id": KERNEL_SYSTEM_CALL });
    if let (Object::Path { bytes }, Value::Object(kernel)) = (object, &mut kernel) {
        kernel.insert("path".to_owned(), Safe(bytes).to_string().into());
    }
    kernel
}
