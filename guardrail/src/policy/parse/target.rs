//! The actions of a rule or a permission: `exec`, `file`, `net`, `system`.

use super::{args, fields::Fields, net, reader::Reader};
use crate::{
    action::{Class, Operation},
    policy::{Diagnostic, PathPattern, Target, path::PathError, yaml::Node},
};

/// The classes that this build enforces.
pub(super) const TARGETS: [&str; 4] = ["exec", "file", "net", "system"];

/// A permission is one or more sets of actions.
pub(super) fn permission(r: &mut Reader, node: &Node) -> Vec<Target> {
    let Some(mut fields) = Fields::of(r, node, "a permission", &TARGETS, &[]) else {
        return vec![];
    };
    let given: Vec<&str> = TARGETS.into_iter().filter(|key| fields.had(key)).collect();
    if given.is_empty() {
        r.report(Diagnostic::error(
            node.at,
            "",
            "a permission has at least one of `exec`, `file`, `net` and `system`",
        ));
    }
    given
        .into_iter()
        .filter_map(|key| fields.take(key).and_then(|node| target(r, node, key)))
        .collect()
}

/// The set of actions under `key`.
pub(super) fn target(r: &mut Reader, node: &Node, key: &str) -> Option<Target> {
    match key {
        "exec" => exec(r, node),
        "file" => file(r, node),
        "system" => system(r, node),
        _ => net::target(r, node),
    }
}

fn exec(r: &mut Reader, node: &Node) -> Option<Target> {
    let later = ["argv", "hash", "env", "interpreter"];
    let known: Vec<&str> = ["path"].into_iter().chain(args::KEYS).collect();
    let mut fields = Fields::of(r, node, "exec", &known, &later)?;
    let paths = fields.require(r, "path")?;
    Some(Target::Exec {
        paths: list_of(r, paths, "path", path),
        args: args::condition(r, |key| fields.take(key)),
    })
}

fn file(r: &mut Reader, node: &Node) -> Option<Target> {
    let later = ["content", "owner", "regex"];
    let mut fields = Fields::of(r, node, "file", &["ops", "path"], &later)?;
    let operations = fields
        .require(r, "ops")
        .map(|node| file_operations(r, node));
    let paths = fields
        .require(r, "path")
        .map(|node| list_of(r, node, "path", path));
    Some(Target::File {
        operations: operations?,
        paths: paths?,
    })
}

fn file_operations(r: &mut Reader, node: &Node) -> Vec<Operation> {
    list_of(r, node, "ops", file_operation)
}

pub(super) fn file_operation(r: &mut Reader, node: &Node) -> Option<Operation> {
    let known = [
        Operation::Read,
        Operation::Write,
        Operation::Create,
        Operation::Delete,
        Operation::Rename,
        Operation::Link,
        Operation::Attr,
        Operation::MapExec,
        Operation::Mount,
        Operation::Umount,
        Operation::MoveMount,
        Operation::Remount,
        Operation::BindMount,
    ]
    .map(|operation| (operation.as_str(), operation));
    r.word(node, "operation", &known, &["mprotect", "append"])
}

/// Words that one may look for among the operations of `system`, and why they are none.
const NO_OPERATION: [(&str, &str); 9] = [
    (
        "capability",
        "no hook tells that one is gained; restrict what gains it: `setuid`, `namespace`, programs",
    ),
    (
        "login-uid",
        "no guarded subject can change it, whatever the policies say",
    ),
    ("mount", "it has a path: write it under `file`"),
    ("umount", "it has a path: write it under `file`"),
    ("move-mount", "it has a path: write it under `file`"),
    ("remount", "it has a path: write it under `file`"),
    ("bind-mount", "it has a path: write it under `file`"),
    (
        "keyring",
        "the hook does not tell what is done with a key; it is not enforced by this build",
    ),
    (
        "scheduling",
        "priorities and limits are not enforced by this build",
    ),
];

fn system(r: &mut Reader, node: &Node) -> Option<Target> {
    let later = ["target", "user", "signal", "command", "path"];
    let mut fields = Fields::of(r, node, "system", &["ops"], &later)?;
    let operations = fields
        .require(r, "ops")
        .map(|node| list_of(r, node, "ops", system_operation));
    Some(Target::System {
        operations: operations?,
    })
}

pub(super) fn system_operation(r: &mut Reader, node: &Node) -> Option<Operation> {
    let asked = node.text().unwrap_or_default();
    if let Some((word, why)) = NO_OPERATION.iter().find(|(word, _)| *word == asked) {
        let message = format!("`{word}` is no operation of `system`: {why}");
        r.report(Diagnostic::error(node.at, word, message));
        return None;
    }
    let of_system = |operation: &Operation| operation.class() == Class::System;
    let known: Vec<(&str, Operation)> = Operation::ALL
        .into_iter()
        .filter(of_system)
        .map(|operation| (operation.as_str(), operation))
        .collect();
    r.word(node, "operation", &known, &[])
}

pub(super) fn list_of<T: PartialEq>(
    r: &mut Reader,
    node: &Node,
    what: &str,
    read: impl Fn(&mut Reader, &Node) -> Option<T>,
) -> Vec<T> {
    let mut list = Vec::new();
    for item in r.one_or_list(node, what) {
        if let Some(value) = read(r, item) {
            r.unless_repeated(&mut list, value, item, what);
        }
    }
    list
}

pub(super) fn path(r: &mut Reader, node: &Node) -> Option<PathPattern> {
    let text = r.text(node, "path")?;
    match PathPattern::parse(text) {
        Ok(path) => Some(path),
        Err(error) => {
            let finding = Diagnostic::error(node.at, text, about(text, &error));
            r.report(match &error {
                PathError::NotNormal { normal } => {
                    finding.suggest(format!("write `{}`", crate::text::safe(normal)))
                }
                _ => finding,
            });
            None
        }
    }
}

pub(super) fn about(text: &str, error: &dyn std::fmt::Display) -> String {
    format!(
        "`{}`: {error}",
        crate::text::safe_cut(text.as_bytes(), crate::limits::EXCERPT_BYTES_MAX)
    )
}
