//! One line of `encode` back to what a decision is judged by, so that recorded events can be judged again away from
//! the control plane.
//!
//! Reads lines that anybody may have written: whatever is not exactly as `encode` writes it is refused, never guessed.

use std::net::IpAddr;

use serde::Deserialize;

use super::{VENDOR, class::Class, decision::class_of};
use crate::{
    action::{Object, Operation},
    event::{Arguments, Decided, Recorded, RuleRef, recorded::has_object},
    id::{HostId, PolicyName, Revision, RuleId, UserName},
    key::PermissionRef,
    reason::{Reason, Verdict},
    sensitivity::Sensitivity,
    text::{read_safe, read_safe_args, safe_cut},
    time::UnixMs,
};

/// Characters of what is wrong with a line: one terminal line.
const PROBLEM_CHARS_MAX: usize = 200;

/// What one line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A recorded decision
    Decision(Box<Recorded>),
    /// Decisions that left no event; 0 is an unknown number
    Lost {
        /// When it was noticed
        time: UnixMs,
        /// How many
        count: u64,
    },
    /// Something else
    Other,
}

/// Why a line is none of `encode`'s; safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No JSON, or other fields than an event has.
    #[error("it is no event as `stayhand events tail` prints it: {0}")]
    Json(String),
    /// Somebody else's event.
    #[error("it is no event of Stayhand, but of `{0}`")]
    Vendor(String),
    /// A field that contradicts the others, or says what no event says.
    #[error("{0} of this decision cannot be read")]
    Field(&'static str),
}

#[derive(Deserialize)]
struct Wire {
    class_uid: u32,
    activity_id: u32,
    activity_name: Option<String>,
    time: u64,
    metadata: Metadata,
    device: Device,
    actor: Option<Actor>,
    process: Option<Process>,
    file: Option<File>,
    file_result: Option<File>,
    kernel: Option<Named>,
    src_endpoint: Option<Endpoint>,
    dst_endpoint: Option<Endpoint>,
    connection_info: Option<Connection>,
    policy: Option<Policy>,
    firewall_rule: Option<FirewallRule>,
    unmapped: Unmapped,
}

#[derive(Deserialize)]
struct Metadata {
    product: Product,
    event_code: String,
}

#[derive(Deserialize)]
struct Product {
    vendor_name: String,
}

#[derive(Deserialize)]
struct Device {
    hostname: String,
}

#[derive(Deserialize)]
struct Actor {
    user: Option<User>,
    session: Option<Session>,
}

#[derive(Deserialize)]
struct User {
    uid: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Session {
    terminal: Option<String>,
}

#[derive(Deserialize)]
struct Process {
    cmd_line: Option<String>,
    file: Option<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct FirewallRule {
    name: String,
    sensitivity: Option<String>,
}

#[derive(Deserialize)]
struct Endpoint {
    ip: Option<IpAddr>,
    port: Option<u16>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Connection {
    protocol_num: Option<u16>,
}

#[derive(Deserialize)]
struct Policy {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Unmapped {
    stayhand: Own,
}

#[derive(Deserialize)]
struct Own {
    reason: Option<String>,
    permission: Option<String>,
    #[serde(default)]
    args_redacted: u32,
    #[serde(default)]
    object_cut: bool,
    lost: Option<Lost>,
}

#[derive(Deserialize)]
struct Lost {
    count: u64,
}

/// Reads one line.
pub fn decode(line: &str) -> Result<Line, Unreadable> {
    let wire: Wire = serde_json::from_str(line).map_err(|error| {
        let problem = error.to_string();
        Unreadable::Json(safe_cut(problem.as_bytes(), PROBLEM_CHARS_MAX))
    })?;
    let vendor = &wire.metadata.product.vendor_name;
    if vendor != VENDOR {
        return Err(Unreadable::Vendor(safe_cut(
            vendor.as_bytes(),
            PROBLEM_CHARS_MAX,
        )));
    }
    if let Some(lost) = &wire.unmapped.stayhand.lost {
        return Ok(Line::Lost {
            time: UnixMs(wire.time),
            count: lost.count,
        });
    }
    // Only a decision is named after a class of actions and what became of it.
    let code = wire.metadata.event_code.split_once('.');
    let classes = ["exec", "file", "net", "system"];
    match code.filter(|(class, _)| classes.contains(class)) {
        Some((class, verdict)) => wire.decision(class, verdict),
        None => Ok(Line::Other),
    }
}

impl Wire {
    fn decision(&self, class: &str, verdict: &str) -> Result<Line, Unreadable> {
        let bad = Unreadable::Field;
        let own = &self.unmapped.stayhand;
        let all = [Verdict::Allowed, Verdict::Denied, Verdict::Held];
        let verdict = all.into_iter().find(|one| one.as_str() == verdict);
        let operation = self
            .operation()
            .filter(|one| one.class().as_str() == class)
            .ok_or(bad("the operation"))?;
        let user = self.actor.as_ref().and_then(|actor| actor.user.as_ref());
        let user = user.ok_or(bad("the subject"))?;
        let auid = user.uid.as_ref().and_then(|uid| uid.parse().ok());
        let name: Option<UserName> = read(user.name.as_deref(), "the subject")?;
        let session = self.actor.as_ref().and_then(|actor| actor.session.as_ref());
        let permission: Option<PermissionRef> = read(own.permission.as_deref(), "the permission")?;
        let reason: Option<Reason> = read(own.reason.as_deref(), "the reason")?;
        let host: HostId = self.device.hostname.parse().map_err(|_| bad("the host"))?;
        let decision = Decided {
            host,
            auid: auid.ok_or(bad("the subject"))?,
            user: name,
            operation,
            object: self.object(operation).ok_or(bad("the object"))?,
            object_cut: own.object_cut,
            arguments: self.arguments(operation).ok_or(bad("the command line"))?,
            terminal: session.map(|session| session.terminal.is_some()),
            verdict: verdict.ok_or(bad("the verdict"))?,
            reason: reason.ok_or(bad("the reason"))?,
            rule: self.rule()?,
            sensitivity: self.sensitivity()?,
            permission,
        };
        Ok(Line::Decision(Box::new(Recorded {
            time: UnixMs(self.time),
            decision,
        })))
    }

    /// Several operations have the number for others, or that of a system call: there it is named.
    fn operation(&self) -> Option<Operation> {
        let meant = |one: &Operation| {
            let (Class { uid }, activity) = class_of(*one);
            (uid, activity) == (self.class_uid, self.activity_id)
        };
        let mut fitting = Operation::ALL.into_iter().filter(meant);
        let first = fitting.next()?;
        if fitting.next().is_none() {
            return Some(first);
        }
        let of_kernel = self.kernel.as_ref().map(|kernel| kernel.name.as_str());
        let named = self.activity_name.as_deref().or(of_kernel)?;
        let word = named.split(' ').next()?;
        let mut all = Operation::ALL.into_iter().filter(meant);
        all.find(|one| one.as_str() == word)
    }

    fn object(&self, operation: Operation) -> Option<Object> {
        if !has_object(operation) {
            return Some(Object::Request {
                words: String::new(),
            });
        }
        match operation {
            Operation::Exec => path(self.process.as_ref()?.file.as_ref()?),
            Operation::Connect | Operation::Send => self.endpoint(self.dst_endpoint.as_ref()?),
            Operation::Bind | Operation::Listen => self.endpoint(self.src_endpoint.as_ref()?),
            _ => {
                let from = path(self.file.as_ref()?)?;
                match (from, &self.file_result) {
                    (Object::Path { bytes: from }, Some(to)) => Some(Object::Ends {
                        from,
                        to: read_safe(&to.path)?,
                    }),
                    (from, _) => Some(from),
                }
            }
        }
    }

    fn endpoint(&self, endpoint: &Endpoint) -> Option<Object> {
        if let (Some(ip), Some(port)) = (endpoint.ip, endpoint.port) {
            let info = self.connection_info.as_ref();
            let protocol = info.and_then(|info| info.protocol_num);
            return Some(Object::Address { ip, port, protocol });
        }
        let name = endpoint.name.as_ref()?;
        if name.starts_with('/') {
            return Some(Object::Path {
                bytes: read_safe(name)?,
            });
        }
        if let Some(name) = name.strip_prefix('@') {
            return Some(Object::Name {
                bytes: read_safe(name)?,
            });
        }
        let (cid, port) = name.strip_prefix("vsock:")?.split_once(':')?;
        Some(Object::Vsock {
            cid: cid.parse().ok()?,
            port: port.parse().ok()?,
        })
    }

    fn arguments(&self, operation: Operation) -> Option<Arguments> {
        if operation != Operation::Exec {
            return Some(Arguments::None);
        }
        let line = self.process.as_ref()?.cmd_line.as_ref()?;
        // An argument that is this sign looks the same, and is not told from it.
        if line.is_empty() || line.ends_with(" …") {
            return Some(Arguments::Cut);
        }
        let known = read_safe_args(line)?;
        Some(if self.unmapped.stayhand.args_redacted == 0 {
            Arguments::Known(known)
        } else {
            Arguments::Redacted
        })
    }

    /// Of the rule; lines from before there was such a word have none.
    fn sensitivity(&self) -> Result<Option<Sensitivity>, Unreadable> {
        let rule = self.policy.as_ref().and(self.firewall_rule.as_ref());
        let word = rule.and_then(|rule| rule.sensitivity.as_deref());
        read(word, "the sensitivity")
    }

    fn rule(&self) -> Result<Option<RuleRef>, Unreadable> {
        let bad = || Unreadable::Field("the rule");
        let (Some(policy), Some(rule)) = (&self.policy, &self.firewall_rule) else {
            return Ok(None);
        };
        let name: PolicyName = policy.name.parse().map_err(|_| bad())?;
        let rule: RuleId = rule.name.parse().map_err(|_| bad())?;
        Ok(Some(RuleRef {
            policy: name,
            revision: Revision(policy.version.parse().map_err(|_| bad())?),
            rule,
        }))
    }
}

fn path(file: &File) -> Option<Object> {
    Some(Object::Path {
        bytes: read_safe(&file.path)?,
    })
}

fn read<T: std::str::FromStr>(
    text: Option<&str>,
    what: &'static str,
) -> Result<Option<T>, Unreadable> {
    let read = text.map(|text| text.parse().map_err(|_| Unreadable::Field(what)));
    read.transpose()
}
