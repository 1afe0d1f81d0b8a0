//! The actions of a rule or a permission: `exec`, `file`, `net`, `system`.

use super::{args, fields::Fields, net, reader::Reader};
use crate::{
    action::Operation,
    policy::{
        Diagnostic, PathPattern, Target,
        language::{self, CLASSES, OF_FILE, of_system},
        path::PathError,
        yaml::Node,
    },
};

/// A permission is one or more sets of actions.
pub(super) fn permission(r: &mut Reader, node: &Node) -> Vec<Target> {
    let Some(mut fields) = Fields::of(r, node, &language::PERMISSION) else {
        return vec![];
    };
    let given: Vec<&str> = CLASSES.into_iter().filter(|key| fields.had(key)).collect();
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
    let mut fields = Fields::of(r, node, &language::EXEC)?;
    let paths = fields.require(r, "path")?;
    Some(Target::Exec {
        paths: list_of(r, paths, "path", path),
        args: args::condition(r, |key| fields.take(key)),
    })
}

fn file(r: &mut Reader, node: &Node) -> Option<Target> {
    let mut fields = Fields::of(r, node, &language::FILE)?;
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
    let known = OF_FILE.map(|operation| (operation.as_str(), operation));
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
    let mut fields = Fields::of(r, node, &language::SYSTEM)?;
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
    let known: Vec<(&str, Operation)> = of_system()
        .into_iter()
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
