//! One action for each place that rules and permissions name: the path itself, a name below a directory, the first address of
//! a range, arguments that meet a condition; and what the policies' tests attempt.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use super::super::words::atoms;
use crate::{
    action::{Object, Operation},
    policy::{
        Attempt, NamePattern, PathPattern, Policy, Protocol, Ranges, Target, VsockRange,
        args::{ArgCondition, ArgPattern, Call, Clause, Fact, Met, OptionName, Sha256},
        case::Execution,
        component::Component,
    },
};

/// A name for what a `*` or a `/**` leaves open.
const ANY_NAME: &str = "x";

/// Actions that these policies name, each once, and in words what has none.
pub(super) fn witnesses(policies: [&Policy; 2]) -> (Vec<Attempt>, BTreeSet<String>) {
    let mut found = Found::default();
    for policy in policies {
        let rules = policy.rules.iter().flat_map(|rule| policy.targets(rule));
        let permissions = policy.permissions.iter().flat_map(|one| &one.targets);
        rules
            .chain(permissions)
            .for_each(|target| found.add(target));
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
}

impl Found {
    fn add(&mut self, target: &Target) {
        match target {
            Target::Exec { paths, args } => {
                if !self.executions(paths, args) {
                    self.without.extend(atoms(target));
                }
            }
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
        let meeting: Vec<Execution> = meeting(args)
            .into_iter()
            .filter(|one| is_met(args, one))
            .collect();
        for path in paths {
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
    let ports = ranges.ports.iter().map(|range| range.first.max(1));
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

/// Whether it is surely met: then it is, whatever the rule's effect.
fn is_met(args: &ArgCondition, execution: &Execution) -> bool {
    let call = Call {
        sha256: execution.sha256,
        terminal: execution.terminal,
        parents: crate::policy::args::Programs {
            paths: &execution.parents,
            all: true,
        },
        ancestors: crate::policy::args::Programs {
            paths: execution.ancestors.as_deref().unwrap_or_default(),
            all: true,
        },
        ..Call::with(&execution.arguments)
    };
    args.met(call) != Met::No
}

/// For each alternative of each clause, an execution that meets it and the first alternative of all others.
fn meeting(args: &ArgCondition) -> Vec<Execution> {
    let alternatives: Vec<Vec<Part>> = args.clauses.iter().map(parts).collect();
    let mut found = Vec::new();
    for (index, parts) in alternatives.iter().enumerate() {
        for part in parts {
            let mut execution = Execution {
                terminal: Some(true),
                ancestors: Some(vec![]),
                ..Execution::default()
            };
            for (other, parts) in alternatives.iter().enumerate() {
                let part = if other == index {
                    Some(part)
                } else {
                    parts.first()
                };
                if let Some(part) = part {
                    part.join(&mut execution);
                }
            }
            found.push(execution);
        }
    }
    found
}

/// What meets one alternative of a clause.
enum Part {
    Arguments(Vec<String>),
    Terminal(bool),
    Parent(String),
    Ancestor(String),
    Hash(Sha256),
}

impl Part {
    fn join(&self, execution: &mut Execution) {
        match self {
            Self::Arguments(words) => {
                let words = words.iter().map(|word| word.clone().into_bytes());
                execution.arguments.extend(words);
            }
            Self::Terminal(has) => execution.terminal = Some(*has),
            Self::Parent(path) => execution.parents.push(path.clone()),
            Self::Ancestor(path) => {
                let ancestors = execution.ancestors.get_or_insert_default();
                ancestors.push(path.clone());
            }
            Self::Hash(hash) => execution.sha256 = Some(*hash),
        }
    }
}

fn parts(clause: &Clause) -> Vec<Part> {
    let one = |text: String| Part::Arguments(vec![text]);
    match clause {
        Clause::Argument(patterns) => patterns.iter().map(|it| one(argument(it))).collect(),
        Clause::Subcommand(all) => {
            let words = |words: &Vec<ArgPattern>| words.iter().map(argument).collect();
            all.iter().map(|it| Part::Arguments(words(it))).collect()
        }
        Clause::Exact { items, .. } => {
            let item = |item: &Option<ArgPattern>| {
                item.as_ref().map_or_else(|| ANY_NAME.to_owned(), argument)
            };
            vec![Part::Arguments(items.iter().map(item).collect())]
        }
        Clause::Option(names) => names.iter().map(OptionName::to_string).map(one).collect(),
        Clause::Terminal(has) => vec![Part::Terminal(*has)],
        Clause::Parent(paths) => paths.iter().map(|it| Part::Parent(example(it))).collect(),
        Clause::Ancestor(paths) => paths.iter().map(|it| Part::Ancestor(example(it))).collect(),
        Clause::Fact { fact, negated } => facts(fact, *negated),
    }
}

/// An expression that is plain text meets itself; of any other nothing is made.
fn facts(fact: &Fact, negated: bool) -> Vec<Part> {
    match (fact, negated) {
        (Fact::Argument(expressions) | Fact::Line(expressions), false) => expressions
            .iter()
            .map(|expression| Part::Arguments(vec![expression.to_string()]))
            .collect(),
        (Fact::Sha256(hashes), false) => hashes.iter().copied().map(Part::Hash).collect(),
        (Fact::Sha256(hashes), true) => {
            let mut free = (0..=u8::MAX).map(|byte| Sha256([byte; 32]));
            let free = free.find(|hash| !hashes.contains(hash));
            free.into_iter().map(Part::Hash).collect()
        }
        (_, true) => vec![],
    }
}

fn argument(pattern: &ArgPattern) -> String {
    match pattern.end() {
        None => pattern.start().to_owned(),
        Some(end) => format!("{}{ANY_NAME}{end}", pattern.start()),
    }
}
