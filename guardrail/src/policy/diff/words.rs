//! Actions in words, one line for each place, so that two sets of actions are compared by what they mean and not by how they
//! are written.

use std::collections::BTreeSet;

use crate::{
    action::Operation,
    policy::{
        Approval, PortRange, Ranges, Rule, Target, VsockRange,
        args::{ArgCondition, ArgPattern, Clause, Fact},
    },
    text::{safe, safe_args},
};

/// Every place of a set of actions with what is done there: `write /etc/**`, `connect 10.0.0.0/8 port 5432`.
pub(in crate::policy) fn atoms(target: &Target) -> BTreeSet<String> {
    match target {
        Target::Exec { paths, args } => {
            let condition = condition(args);
            let each = paths
                .iter()
                .map(|path| format!("exec {}{condition}", shown(path)));
            each.collect()
        }
        Target::File { operations, paths } => on(operations, paths.iter().map(shown)),
        Target::Net {
            operations,
            ranges,
            protocols,
        } => {
            let by = match protocols.as_slice() {
                [] => String::new(),
                some => format!(" by {}", list(some)),
            };
            let places = ranges.iter().flat_map(addresses);
            on(operations, places.map(|place| place + &by))
        }
        Target::Unix {
            operations,
            paths,
            names,
        } => {
            let places = paths.iter().map(shown);
            let names = names.iter().map(ToString::to_string);
            on(operations, places.chain(names))
        }
        Target::Vsock { operations, ranges } => on(operations, ranges.iter().map(vsock)),
        Target::System { operations } => {
            let words = operations.iter().map(|one| one.as_str().to_owned());
            words.collect()
        }
    }
}

/// Every stage of an approval, as it is told.
pub(super) fn stages(approval: &Approval) -> BTreeSet<String> {
    let numbered = approval.plan.stages.iter().zip(1..);
    numbered
        .map(|(stage, number): (_, u32)| format!("stage {number}: {stage}"))
        .collect()
}

/// What a rule says beside its actions, as name and text; empty where it says nothing.
pub(super) fn rule_words(rule: &Rule) -> [(&'static str, String); 9] {
    let rate = rule.rate.map(|rate| rate.to_string());
    let timeout = rule.holds().then(|| rule.timeout.to_string());
    let approval = rule.approval.as_ref().map(ToString::to_string);
    let record = rule.record.then(|| "true".to_owned());
    let when = rule.when.as_ref().map(ToString::to_string);
    let permission = rule.permission().map(ToString::to_string);
    let sensitivity = rule.sensitivity.map(|one| one.to_string());
    let message = rule.message.as_deref().map(safe);
    [
        ("effect", rule.effect.to_string()),
        ("permission", permission.unwrap_or_default()),
        ("when", when.unwrap_or_default()),
        ("rate", rate.unwrap_or_default()),
        ("timeout", timeout.unwrap_or_default()),
        ("approval", approval.unwrap_or_default()),
        ("record", record.unwrap_or_default()),
        ("sensitivity", sensitivity.unwrap_or_default()),
        ("message", message.unwrap_or_default()),
    ]
}

fn on(operations: &[Operation], places: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for place in places {
        lines.extend(operations.iter().map(|one| format!("{one} {place}")));
    }
    lines
}

/// Quoted where it could be read as more than a path.
fn shown(path: &crate::policy::PathPattern) -> String {
    let text = path.to_string();
    if text.contains([' ', ',', '`']) {
        quoted(&text)
    } else {
        text
    }
}

fn addresses(ranges: &Ranges) -> Vec<String> {
    let ports = match ranges.ports.as_slice() {
        [PortRange::ANY] => String::new(),
        some => format!(" port {}", list(some)),
    };
    let each = ranges.cidrs.iter().map(|cidr| format!("{cidr}{ports}"));
    each.collect()
}

fn vsock(range: &VsockRange) -> String {
    let number = |one: Option<u32>| one.map_or_else(|| "any".to_owned(), |one| one.to_string());
    format!("vsock:{}:{}", number(range.cid), number(range.port))
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

fn condition(args: &ArgCondition) -> String {
    args.clauses
        .iter()
        .map(|clause| format!(", {}", demand(clause)))
        .collect::<Vec<_>>()
        .concat()
}

fn demand(clause: &Clause) -> String {
    match clause {
        Clause::Argument(patterns) => format!("an argument {}", any(patterns)),
        Clause::Subcommand(all) => {
            let words = |words: &Vec<ArgPattern>| {
                let words: Vec<String> =
                    words.iter().map(|word| quoted(&word.to_string())).collect();
                words.join(" ")
            };
            let each: Vec<String> = all.iter().map(words).collect();
            format!("subcommand {}", each.join(" or "))
        }
        Clause::Exact { items, more } => {
            let item = |item: &Option<ArgPattern>| {
                item.as_ref()
                    .map_or_else(|| "*".to_owned(), ToString::to_string)
            };
            let more = more.then(|| "**".to_owned());
            let items: Vec<String> = items.iter().map(item).chain(more).collect();
            format!("arguments [{}]", safe_args(&items))
        }
        Clause::Option(names) => format!("option {}", any(names)),
        Clause::Terminal(true) => "with a terminal".to_owned(),
        Clause::Terminal(false) => "without a terminal".to_owned(),
        Clause::Parent(paths) => format!("started by {}", any(paths)),
        Clause::Ancestor(paths) => format!("descending from {}", any(paths)),
        Clause::Fact { fact, negated } => {
            let not = if *negated { "not " } else { "" };
            match fact {
                Fact::Argument(expressions) => {
                    format!("{not}an argument like {}", any(expressions))
                }
                Fact::Line(expressions) => format!("{not}arguments like {}", any(expressions)),
                Fact::Sha256(hashes) => format!("{not}of hash {}", any(hashes)),
            }
        }
    }
}

fn any<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(&item.to_string())).collect();
    items.join(" or ")
}

/// Between marks that are in none, so that no two lists read alike.
fn quoted(text: &str) -> String {
    format!("`{}`", safe(text).replace('`', "\\x60"))
}
