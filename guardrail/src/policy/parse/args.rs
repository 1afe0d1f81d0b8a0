//! Conditions of `exec`: on arguments (`args`, `anyArg`, `allArgs`, `subcommand`, `option`, `regex`, `lineRegex`), on the
//! file (`sha256`, `notSha256`), and on the process (`terminal`, `parent`, `ancestor`).

use super::{
    reader::Reader,
    target::{list_of, path},
};
use crate::policy::{
    Diagnostic, PathPattern,
    args::{ArgCondition, ArgPattern, Clause, Fact},
    language::{CLAUSES_MAX, EXACT_MAX},
    yaml::{Node, Value},
};

/// Words of one subcommand.
const WORDS_MAX: usize = 8;

/// Reads the conditions that are there; all of them have to be met.
pub(super) fn condition<'n>(
    r: &mut Reader,
    mut take: impl FnMut(&str) -> Option<&'n Node>,
) -> ArgCondition {
    let mut clauses = Vec::new();
    clauses.extend(take("args").and_then(|node| exact(r, node)));
    if let Some(node) = take("anyArg") {
        clauses.push(Clause::Argument(list_of(r, node, "anyArg", pattern)));
    }
    if let Some(node) = take("allArgs") {
        for item in r.list_up_to(node, "allArgs", CLAUSES_MAX).unwrap_or(&[]) {
            clauses.push(Clause::Argument(list_of(r, item, "allArgs", pattern)));
        }
    }
    if let Some(node) = take("subcommand") {
        clauses.push(Clause::Subcommand(list_of(r, node, "subcommand", words)));
    }
    if let Some(node) = take("option") {
        let option = |r: &mut Reader, node: &Node| r.parsed(node, "option");
        clauses.push(Clause::Option(list_of(r, node, "option", option)));
    }
    if let Some(node) = take("terminal") {
        clauses.extend(r.flag(node, "terminal").map(Clause::Terminal));
    }
    if let Some(node) = take("parent") {
        clauses.push(Clause::Parent(list_of(r, node, "parent", program)));
    }
    if let Some(node) = take("ancestor") {
        clauses.push(Clause::Ancestor(list_of(r, node, "ancestor", program)));
    }
    clauses.extend(facts(r, take));
    ArgCondition { clauses }
}

/// What the kernel asks the agent about.
fn facts<'n>(r: &mut Reader, mut take: impl FnMut(&str) -> Option<&'n Node>) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let mut push = |fact, negated| clauses.push(Clause::Fact { fact, negated });
    if let Some(node) = take("regex") {
        let expression = |r: &mut Reader, node: &Node| r.parsed(node, "regex");
        push(Fact::Argument(list_of(r, node, "regex", expression)), false);
    }
    if let Some(node) = take("lineRegex") {
        let expression = |r: &mut Reader, node: &Node| r.parsed(node, "lineRegex");
        push(Fact::Line(list_of(r, node, "lineRegex", expression)), false);
    }
    for (key, negated) in [("sha256", false), ("notSha256", true)] {
        if let Some(node) = take(key) {
            let hash = |r: &mut Reader, node: &Node| r.parsed(node, key);
            push(Fact::Sha256(list_of(r, node, key, hash)), negated);
        }
    }
    clauses
}

/// A running program has an identity and no name: a path says which object is meant.
fn program(r: &mut Reader, node: &Node) -> Option<PathPattern> {
    let read = path(r, node)?;
    if read.is_plain() {
        return Some(read);
    }
    let text = node.text().unwrap_or_default();
    let message =
        "a running program is known by its identity and not by its name: a pattern names none";
    let error = Diagnostic::error(node.at, text, message);
    r.report(error.suggest("write the path of each program"));
    None
}

/// The whole list; `*` is any one argument, `**` at its end any others.
fn exact(r: &mut Reader, node: &Node) -> Option<Clause> {
    let Value::List(list) = &node.value else {
        r.wrong_type(node, "args", "a list");
        return None;
    };
    let (list, more) = match list.split_last() {
        Some((end, rest)) if end.text() == Some("**") => (rest, true),
        _ => (list.as_slice(), false),
    };
    if list.len() > EXACT_MAX {
        let message = format!("args has {} items, more than {EXACT_MAX}", list.len());
        r.report(Diagnostic::error(node.at, "", message));
        return None;
    }
    let mut items = Vec::with_capacity(list.len());
    for item in list {
        match item.text() {
            Some("*") => items.push(None),
            Some("**") => {
                let error = Diagnostic::error(item.at, "**", "`**` stands at the end of args");
                r.report(error.suggest("write `*` for one argument"));
            }
            _ => items.push(Some(pattern(r, item)?)),
        }
    }
    Some(Clause::Exact { items, more })
}

fn pattern(r: &mut Reader, node: &Node) -> Option<ArgPattern> {
    if let Value::Map(_) | Value::List(_) = node.value {
        r.wrong_type(node, "an argument", "text");
        return None;
    }
    r.parsed(node, "an argument")
}

/// The words of one subcommand, in one text as they are typed.
fn words(r: &mut Reader, node: &Node) -> Option<Vec<ArgPattern>> {
    let text = r.text(node, "subcommand")?;
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || words.len() > WORDS_MAX {
        let message = format!("a subcommand has 1 to {WORDS_MAX} words");
        r.report(Diagnostic::error(node.at, text, message));
        return None;
    }
    if let Some(option) = words.iter().find(|word| word.starts_with('-')) {
        let shown = crate::text::safe(option);
        let error = Diagnostic::error(node.at, text, format!("`{shown}` is an option, not a word"));
        r.report(error.suggest("write options under `option` or `allArgs`"));
        return None;
    }
    let mut patterns = Vec::with_capacity(words.len());
    for word in words {
        match word.parse::<ArgPattern>() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let shown = crate::text::safe(word);
                r.report(Diagnostic::error(
                    node.at,
                    text,
                    format!("`{shown}`: {error}"),
                ));
                return None;
            }
        }
    }
    Some(patterns)
}
