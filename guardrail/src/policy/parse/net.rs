//! The actions under `net`, and the named sets of destinations that they can be written with.

use super::{
    fields::Fields,
    reader::{Reader, either},
    target::{about, list_of, path},
};
use crate::{
    action::Operation,
    id::SetName,
    limits::SETS_MAX,
    policy::{
        Cidr, Diagnostic, NamePattern, NamedSet, PortRange, Protocol, Ranges, Target, VsockRange,
        diagnostic::nearest,
        language::{self, OF_NET},
        net::CidrError,
        yaml::Node,
    },
};

/// Reads `sets` into the reader, where [`target`] finds them.
pub(super) fn sets(r: &mut Reader, node: &Node) {
    for (key, value) in r.named(node, "sets", "destinations", SETS_MAX) {
        let name: Option<SetName> = r.parsed(key, "set name");
        let ranges = set(r, value);
        let Some(name) = name else { continue };
        if r.sets.iter().any(|known| known.name == name) {
            let message = format!("set `{name}` is defined twice");
            r.report(Diagnostic::error(key.at, name.as_str(), message));
            continue;
        }
        r.sets.push(NamedSet {
            name,
            // One that could not be read has a finding; its name is known all the same.
            ranges: ranges.unwrap_or(Ranges {
                cidrs: vec![],
                ports: vec![PortRange::ANY],
            }),
            used: false,
            at: key.at,
        });
    }
}

fn set(r: &mut Reader, node: &Node) -> Option<Ranges> {
    let mut fields = Fields::of(r, node, &language::SET)?;
    let cidrs = fields
        .require(r, "cidr")
        .map(|node| list_of(r, node, "cidr", cidr));
    let ports = ports(r, &mut fields);
    Some(Ranges {
        cidrs: cidrs?,
        ports: ports.unwrap_or_else(|| vec![PortRange::ANY]),
    })
}

/// What the actions are done to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Internet,
    Unix,
    Vsock,
    /// Operations that have no object
    Nothing,
}

const INTERNET: [&str; 4] = ["cidr", "to", "ports", "protocol"];
const UNIX: [&str; 2] = ["path", "abstract"];

/// The set of actions.
pub(super) fn target(r: &mut Reader, node: &Node) -> Option<Target> {
    let mut fields = Fields::of(r, node, &language::NET)?;
    let operations = fields
        .require(r, "ops")
        .map(|node| (node, list_of(r, node, "ops", operation)));
    let kind = kind(
        r,
        node,
        &fields,
        operations.as_ref().map(|(_, list)| list.as_slice()),
    )?;
    if let Some((node, operations)) = &operations {
        for operation in operations {
            fits(r, node, *operation, kind);
        }
    }
    let (at, operations) = operations?;
    match kind {
        Kind::Internet => internet(r, node, &mut fields, operations),
        Kind::Unix => unix(r, at, &mut fields, operations),
        Kind::Vsock => {
            let ranges = fields.take("vsock").and_then(|node| vsock(r, node))?;
            Some(Target::Vsock { operations, ranges })
        }
        Kind::Nothing => Some(Target::System { operations }),
    }
}

pub(super) fn operation(r: &mut Reader, node: &Node) -> Option<Operation> {
    let known = OF_NET.map(|operation| (operation.as_str(), operation));
    r.word(node, "operation", &known, &["accept"])
}

/// By the keys that are there; by the operations if there are none.
fn kind(
    r: &mut Reader,
    node: &Node,
    fields: &Fields<'_>,
    operations: Option<&[Operation]>,
) -> Option<Kind> {
    let had = |keys: &[&str]| keys.iter().any(|key| fields.had(key));
    let kinds = [
        (had(&INTERNET), Kind::Internet),
        (had(&UNIX), Kind::Unix),
        (had(&["vsock"]), Kind::Vsock),
    ];
    let mut given = kinds
        .into_iter()
        .filter(|(had, _)| *had)
        .map(|(_, kind)| kind);
    match (given.next(), given.next()) {
        (Some(kind), None) => Some(kind),
        (Some(_), Some(_)) => {
            let message =
                "net is about addresses, unix sockets or virtual sockets, not several of them";
            r.report(Diagnostic::error(node.at, "", message).suggest("write a rule for each"));
            None
        }
        (None, _) => {
            let without = |operation: &Operation| has_no_object(*operation);
            if operations.is_some_and(|list| !list.is_empty() && list.iter().all(without)) {
                return Some(Kind::Nothing);
            }
            let message = "net has none of `cidr`, `to`, `path`, `abstract` and `vsock`";
            let error = Diagnostic::error(node.at, "", message);
            r.report(error.suggest("`cidr: \"::/0\"` is every internet address"));
            None
        }
    }
}

fn has_no_object(operation: Operation) -> bool {
    matches!(operation, Operation::Raw | Operation::Netlink)
}

/// Refuses an operation that this kind of object does not have, with the way to write what is meant.
fn fits(r: &mut Reader, node: &Node, operation: Operation, kind: Kind) {
    let (message, remedy) = match (operation, kind) {
        (_, Kind::Nothing) => return,
        (operation, _) if has_no_object(operation) => (
            format!("`{operation}` is about no address"),
            "write `net: { ops: [raw, netlink] }`, in a rule of its own",
        ),
        (Operation::Listen, Kind::Unix) => (
            "`listen` on a unix socket is not judged".to_owned(),
            "restrict the name when it is taken: `bind` of an abstract one, `create` of a file",
        ),
        (Operation::Listen, Kind::Vsock) => (
            "`listen` on a virtual socket is not judged".to_owned(),
            "restrict the port when it is taken: `bind`",
        ),
        _ => return,
    };
    let error = Diagnostic::error(node.at, operation.as_str(), message);
    r.report(error.suggest(remedy));
}

fn unix(
    r: &mut Reader,
    at: &Node,
    fields: &mut Fields<'_>,
    operations: Vec<Operation>,
) -> Option<Target> {
    let paths = match fields.take("path") {
        Some(_) if operations.contains(&Operation::Bind) => {
            let error = Diagnostic::error(at.at, "bind", "`bind` to a path makes a file");
            r.report(error.suggest("write `file: { ops: [create], path: … }`"));
            return None;
        }
        Some(node) => list_of(r, node, "path", path),
        None => vec![],
    };
    let names = fields
        .take("abstract")
        .map_or_else(Vec::new, |node| list_of(r, node, "abstract", name));
    Some(Target::Unix {
        operations,
        paths,
        names,
    })
}

fn internet(
    r: &mut Reader,
    node: &Node,
    fields: &mut Fields<'_>,
    operations: Vec<Operation>,
) -> Option<Target> {
    let ports = ports(r, fields);
    let protocols = fields
        .take("protocol")
        .map_or_else(Vec::new, |node| list_of(r, node, "protocol", protocol));
    let ranges = match (fields.take("cidr"), fields.take("to")) {
        (Some(_), Some(to)) => {
            let error = Diagnostic::error(to.at, to.excerpt(), "net has both `cidr` and `to`");
            r.report(error.suggest("put the addresses into a set, or write two rules"));
            return None;
        }
        (None, Some(to)) => {
            destinations_only(r, to, &operations);
            named(r, to, ports.as_deref())
        }
        (Some(cidrs), None) => vec![Ranges {
            cidrs: list_of(r, cidrs, "cidr", cidr),
            ports: ports.unwrap_or_else(|| vec![PortRange::ANY]),
        }],
        (None, None) => {
            let error = Diagnostic::error(node.at, "", "net has neither `cidr` nor `to`");
            r.report(error.suggest("`::/0` is every address"));
            return None;
        }
    };
    Some(Target::Net {
        operations,
        ranges,
        protocols,
    })
}

fn destinations_only(r: &mut Reader, to: &Node, operations: &[Operation]) {
    let local = |operation: &&Operation| matches!(operation, Operation::Bind | Operation::Listen);
    for operation in operations.iter().filter(local) {
        let message = format!("`to` names destinations, and `{operation}` has none");
        let error = Diagnostic::error(to.at, operation.as_str(), message);
        r.report(error.suggest("write its local addresses as `cidr`, in a rule of its own"));
    }
}

/// The word for every machine.
const ANY: &str = "any";

/// Machines by number, and ports of them.
fn vsock(r: &mut Reader, node: &Node) -> Option<Vec<VsockRange>> {
    let mut fields = Fields::of(r, node, &language::VSOCK)?;
    let cids = fields.require(r, "cid").map(|node| {
        list_of(r, node, "cid", |r, node| match node.text() {
            Some(ANY) => Some(None),
            _ => number(r, node, "a machine is a number, or `any`").map(Some),
        })
    })?;
    let Some(ports_node) = fields.take("ports") else {
        let all = |cid: &Option<u32>| VsockRange {
            cid: *cid,
            port: None,
        };
        return Some(cids.iter().map(all).collect());
    };
    let ports = list_of(r, ports_node, "ports", |r, node| {
        number(r, node, "a port of a virtual socket is a number")
    });
    if cids.contains(&None) {
        let message = "`ports` of every machine cannot be told apart";
        let error = Diagnostic::error(ports_node.at, ANY, message);
        r.report(error.suggest("name the machines, or leave `ports` out"));
        return None;
    }
    let of = |cid: Option<u32>| {
        ports.iter().map(move |port| VsockRange {
            cid,
            port: Some(*port),
        })
    };
    Some(cids.into_iter().flat_map(of).collect())
}

pub(super) fn number(r: &mut Reader, node: &Node, what: &str) -> Option<u32> {
    let text = r.text(node, "a number")?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if plain => Some(number),
        _ => {
            r.report(Diagnostic::error(node.at, text, about(text, &what)));
            None
        }
    }
}

fn name(r: &mut Reader, node: &Node) -> Option<NamePattern> {
    let text = r.text(node, "abstract")?;
    match NamePattern::parse(text) {
        Ok(name) => Some(name),
        Err(error) => {
            r.report(Diagnostic::error(node.at, text, about(text, &error)));
            None
        }
    }
}

pub(super) fn protocol(r: &mut Reader, node: &Node) -> Option<Protocol> {
    let text = r.text(node, "protocol")?;
    match Protocol::parse(text) {
        Ok(protocol) => Some(protocol),
        Err(error) => {
            let finding = Diagnostic::error(node.at, text, about(text, &error));
            let words = Protocol::NAMED.iter().map(|(word, _)| *word);
            r.report(match nearest(text, words) {
                Some(near) => finding.suggest(format!("did you mean `{near}`?")),
                None => finding,
            });
            None
        }
    }
}

/// The destinations of these sets, on these ports only if there are any.
fn named(r: &mut Reader, node: &Node, ports: Option<&[PortRange]>) -> Vec<Ranges> {
    let mut found = Vec::new();
    for name in list_of(r, node, "to", |r, node| r.parsed::<SetName>(node, "to")) {
        let Some(set) = r.sets.iter_mut().find(|set| set.name == name) else {
            unknown(r, node, &name);
            continue;
        };
        set.used = true;
        let ranges = set.ranges.clone();
        let Some(asked) = ports else {
            found.push(ranges);
            continue;
        };
        let both = ranges.ports.iter().flat_map(|of_set| {
            let both = |port: &PortRange| of_set.shared(*port);
            asked.iter().filter_map(both)
        });
        let shared = PortRange::merged(both.collect());
        if shared.is_empty() {
            let message = format!("set `{name}` has none of these ports");
            r.report(Diagnostic::error(node.at, name.as_str(), message));
            continue;
        }
        found.push(Ranges {
            cidrs: ranges.cidrs,
            ports: shared,
        });
    }
    found
}

fn unknown(r: &mut Reader, node: &Node, name: &SetName) {
    let known: Vec<&str> = r.sets.iter().map(|set| set.name.as_str()).collect();
    let message = format!("the policy has no set `{name}`");
    let error = Diagnostic::error(node.at, name.as_str(), message);
    let error = match nearest(name.as_str(), known.iter().copied()) {
        Some(near) => error.suggest(format!("did you mean `{near}`?")),
        None if known.is_empty() => error.suggest("define it under `sets`"),
        None => error.suggest(format!("use {}", either(&known))),
    };
    r.report(error);
}

fn ports(r: &mut Reader, fields: &mut Fields<'_>) -> Option<Vec<PortRange>> {
    let node = fields.take("ports")?;
    Some(PortRange::merged(list_of(r, node, "ports", port)))
}

fn cidr(r: &mut Reader, node: &Node) -> Option<Cidr> {
    let text = r.text(node, "cidr")?;
    match Cidr::parse(text) {
        Ok(cidr) => Some(cidr),
        Err(error) => {
            let finding = Diagnostic::error(node.at, text, about(text, &error));
            r.report(match &error {
                CidrError::HostBits { network } => {
                    finding.suggest(format!("did you mean `{network}`?"))
                }
                _ => finding,
            });
            None
        }
    }
}

fn port(r: &mut Reader, node: &Node) -> Option<PortRange> {
    let text = r.text(node, "ports")?;
    match PortRange::parse(text) {
        Ok(range) => Some(range),
        Err(error) => {
            r.report(Diagnostic::error(node.at, text, about(text, &error)));
            None
        }
    }
}
