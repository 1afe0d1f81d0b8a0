//! Executions that meet a condition, made from the condition.

use super::{ANY_NAME, example};
use crate::policy::{
    args::{ArgCondition, ArgPattern, Call, Clause, Fact, Met, OptionName, Programs, Sha256},
    case::Execution,
};

/// One for each alternative of each demand, as far as any can be made.
pub(super) fn meeting(args: &ArgCondition) -> Vec<Execution> {
    let made = put_together(args).into_iter();
    made.filter(|one| is_met(args, one)).collect()
}

/// Whether what was put together meets all of it: one alternative may undo another.
fn is_met(args: &ArgCondition, execution: &Execution) -> bool {
    let call = Call {
        sha256: execution.sha256,
        terminal: execution.terminal,
        parents: Programs {
            paths: &execution.parents,
            all: true,
        },
        ancestors: Programs {
            paths: execution.ancestors.as_deref().unwrap_or_default(),
            all: true,
        },
        ..Call::with(&execution.arguments)
    };
    args.met(call) != Met::No
}

/// For each alternative of each clause, an execution that meets it and the first alternative of all others.
fn put_together(args: &ArgCondition) -> Vec<Execution> {
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
