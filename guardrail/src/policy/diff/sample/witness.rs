//! One action for each place that rules and permissions name: the path itself, a name below a directory, the first address of
//! a range, arguments that meet a condition; and what the policies' tests attempt.

mod meeting;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use self::meeting::meeting;
use super::super::words::atoms;
use crate::{
    action::{Object, Operation},
    limits::SAMPLES_MAX,
    policy::{
        Attempt, NamePattern, PathPattern, Policy, Protocol, Ranges, Target, VsockRange,
        args::ArgCondition, case::Execution, component::Component,
    },
};

/// A name for what a `*` or a `/**` leaves open.
const ANY_NAME: &str = "x";

/// Actions that these policies name, each once, and in words what has none.
pub(in crate::policy) fn witnesses(policies: [&Policy; 2]) -> (Vec<Attempt>, BTreeSet<String>) {
    let mut found = Found::default();
    for policy in policies {
        let rules = policy.rules.iter().flat_map(|rule| policy.targets(rule));
        let permissions = policy.permissions.iter().flat_map(|one| &one.targets);
        rules
            .chain(permissions)
            .for_each(|target| found.add(target));
        for reference in policy.examples() {
            let targets = policy.instance(&reference).unwrap_or_default();
            for target in &targets {
                found.add(target);
            }
        }
        // Somebody thought of these; expressions have no others.
        for case in &policy.tests {
            found.push(case.attempt.clone());
        }
    }
    (found.attempts, found.without)
}

#[derive(Default)]
struct Found {
    attempts: Vec<Attempt>,
    seen: BTreeSet<String>,
    without: BTreeSet<String>,
    /// Whether there was no room for one
    full: bool,
}

impl Found {
    fn add(&mut self, target: &Target) {
        let made = self.make(target);
        if !made || self.full {
            self.without.extend(atoms(target));
        }
    }

    /// Says whether each place has a sample that meets all demands.
    fn make(&mut self, target: &Target) -> bool {
        match target {
            Target::Exec { paths, args } => return self.executions(paths, args),
            Target::File { operations, paths } => {
                for path in paths {
                    let path = example(path);
                    let object = || Object::Path {
                        bytes: path.clone().into_bytes(),
                    };
                    self.each(operations, object);
                }
            }
            Target::Net {
                operations,
                ranges,
                protocols,
            } => {
                let protocol = protocols.first().copied().unwrap_or(Protocol::TCP);
                for (ip, port) in ranges.iter().flat_map(addresses) {
                    let protocol = Some(protocol.0);
                    self.each(operations, || Object::Address { ip, port, protocol });
                }
            }
            Target::Unix {
                operations,
                paths,
                names,
            } => {
                let files = paths.iter().map(|path| Object::Path {
                    bytes: example(path).into_bytes(),
                });
                for object in files.chain(names.iter().map(name)) {
                    self.each(operations, || object.clone());
                }
            }
            Target::Vsock { operations, ranges } => {
                for VsockRange { cid, port } in ranges {
                    let (cid, port) = (cid.unwrap_or(1), port.unwrap_or(1));
                    self.each(operations, || Object::Vsock { cid, port });
                }
            }
            Target::System { operations } => {
                let words = String::new;
                self.each(operations, || Object::Request { words: words() });
            }
        }
        true
    }

    fn each(&mut self, operations: &[Operation], object: impl Fn() -> Object) {
        for operation in operations {
            self.push(Attempt::One {
                operations: vec![*operation],
                object: object(),
            });
        }
    }

    /// Without any argument, and one that meets the condition by each of its alternatives; says whether one does.
    fn executions(&mut self, paths: &[PathPattern], args: &ArgCondition) -> bool {
        let plain = Execution {
            terminal: Some(true),
            ancestors: Some(vec![]),
            ..Execution::default()
        };
        let meeting = meeting(args);
        for path in paths {
            if self.full {
                break;
            }
            let executions = std::iter::once(&plain).chain(&meeting);
            for execution in executions {
                self.push(Attempt::Exec {
                    path: example(path),
                    execution: execution.clone(),
                });
            }
        }
        args.clauses.is_empty() || !meeting.is_empty()
    }

    fn push(&mut self, attempt: Attempt) {
        if self.attempts.len() >= SAMPLES_MAX {
            self.full = true;
            return;
        }
        if self.seen.insert(format!("{attempt:?}")) {
            self.attempts.push(attempt);
        }
    }
}

/// One path that is meant.
fn example(path: &PathPattern) -> String {
    let names = path.components().iter().map(|component| match component {
        Component::Name(name) => name.clone(),
        Component::Wild(wild) => {
            let ends = [wild.prefix(), ANY_NAME.as_bytes(), wild.suffix()].concat();
            String::from_utf8_lossy(&ends).into_owned()
        }
    });
    let below = path.is_below().then(|| ANY_NAME.to_owned());
    let names: Vec<String> = names.chain(below).collect();
    format!("/{}", names.join("/"))
}

fn addresses(ranges: &Ranges) -> impl Iterator<Item = (IpAddr, u16)> {
    let first = |bytes: [u8; 16]| {
        let ip = Ipv6Addr::from(bytes);
        ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
    };
    // A port of a range that begins at 0 is the first that anybody connects to.
    let ports = ranges
        .ports
        .iter()
        .map(|range| range.first.max(1).min(range.last));
    let ports: Vec<u16> = ports.collect();
    ranges.cidrs.iter().flat_map(move |cidr| {
        let (bytes, _) = cidr.mapped_prefix();
        let ip = first(bytes);
        ports.clone().into_iter().map(move |port| (ip, port))
    })
}

fn name(pattern: &NamePattern) -> Object {
    let open = if pattern.whole { "" } else { ANY_NAME };
    Object::Name {
        bytes: [pattern.bytes.as_slice(), open.as_bytes()].concat(),
    }
}
