//! The actions under `net`, and the named sets of destinations that they can be written with.

use super::{
    fields::Fields,
    reader::{Reader, either},
    target::{about, list_of},
};
use crate::{
    action::Operation,
    id::SetName,
    limits::SETS_MAX,
    policy::{
        Cidr, Diagnostic, NamedSet, PortRange, Ranges, Target,
        diagnostic::nearest,
        net::CidrError,
        yaml::{Node, Value},
    },
};

/// Keys of the language that later builds enforce.
const LATER: [&str; 6] = ["host", "hosts", "dns", "domain", "protocol", "uid"];

/// Reads `sets` into the reader, where [`target`] finds them.
pub(super) fn sets(r: &mut Reader, node: &Node) {
    let Value::Map(pairs) = &node.value else {
        r.wrong_type(node, "sets", "a mapping of names to destinations");
        return;
    };
    if pairs.is_empty() || pairs.len() > SETS_MAX {
        let message = format!(
            "sets has {} entries, which is not between 1 and {SETS_MAX}",
            pairs.len()
        );
        let error = Diagnostic::error(node.at, "", message);
        r.report(error.suggest("leave the key out if there are none"));
    }
    for (key, value) in pairs.iter().take(SETS_MAX) {
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
    let mut fields = Fields::of(r, node, "a set", &["cidr", "ports"], &LATER)?;
    let cidrs = fields
        .require(r, "cidr")
        .map(|node| list_of(r, node, "cidr", cidr));
    let ports = ports(r, &mut fields);
    Some(Ranges {
        cidrs: cidrs?,
        ports: ports.unwrap_or_else(|| vec![PortRange::ANY]),
    })
}

/// The set of actions.
pub(super) fn target(r: &mut Reader, node: &Node) -> Option<Target> {
    let mut fields = Fields::of(r, node, "net", &["ops", "cidr", "to", "ports"], &LATER)?;
    let operations = fields
        .require(r, "ops")
        .map(|node| list_of(r, node, "ops", operation));
    let ports = ports(r, &mut fields);
    let ranges = match (fields.take("cidr"), fields.take("to")) {
        (Some(_), Some(to)) => {
            let error = Diagnostic::error(to.at, to.excerpt(), "net has both `cidr` and `to`");
            r.report(error.suggest("put the addresses into a set, or write two rules"));
            None
        }
        (None, Some(to)) => {
            let local = operations.iter().flatten();
            for operation in local.filter(|operation| **operation == Operation::Bind) {
                let message = format!("`to` names destinations, and `{operation}` has none");
                let error = Diagnostic::error(to.at, operation.as_str(), message);
                r.report(
                    error.suggest("write its local addresses as `cidr`, in a rule of its own"),
                );
            }
            Some(named(r, to, ports.as_deref()))
        }
        (cidrs, None) => {
            let Some(cidrs) = cidrs else {
                let error = Diagnostic::error(node.at, "", "net has neither `cidr` nor `to`");
                r.report(error.suggest("`::/0` is every address"));
                return None;
            };
            Some(vec![Ranges {
                cidrs: list_of(r, cidrs, "cidr", cidr),
                ports: ports.unwrap_or_else(|| vec![PortRange::ANY]),
            }])
        }
    };
    Some(Target::Net {
        operations: operations?,
        ranges: ranges?,
    })
}

fn operation(r: &mut Reader, node: &Node) -> Option<Operation> {
    let known = [Operation::Connect, Operation::Send, Operation::Bind]
        .map(|operation| (operation.as_str(), operation));
    r.word(node, "operation", &known, &["listen", "accept", "raw"])
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
