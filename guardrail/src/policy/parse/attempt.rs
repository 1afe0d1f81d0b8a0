//! What a test attempts: `exec`, `file`, `net` or `system`, one action of it.
//!
//! The words are those of rules; where a rule says which objects are meant, a test names one.

mod net;

use super::{
    fields::Fields,
    reader::{Reader, either},
    target::{self, list_of},
};
use crate::{
    action::{Object, Operation},
    policy::{
        Attempt, Diagnostic, Place,
        case::Execution,
        language::{self, CLASSES},
        yaml::{Node, Value},
    },
};

/// What can be said of an execution beside its arguments.
const OF_EXEC: [&str; 4] = ["parent", "ancestors", "terminal", "sha256"];

/// The one action of a test.
pub(super) fn attempt(r: &mut Reader, at: Place, fields: &mut Fields<'_>) -> Option<Attempt> {
    let given: Vec<&str> = CLASSES.into_iter().filter(|key| fields.had(key)).collect();
    let [class] = given.as_slice() else {
        let found = if given.is_empty() {
            "none of them".to_owned()
        } else {
            either(&given).replace(" or ", " and ")
        };
        let message = format!(
            "a test has exactly one of {}, and this one has {found}",
            either(&CLASSES)
        );
        let error = Diagnostic::error(at, "", message);
        r.report(error.suggest("write `exec: [/usr/bin/nc, -h]`, or a test for each"));
        return None;
    };
    let node = fields.take(class)?;
    if *class != "exec" {
        only_of_exec(r, fields);
    }
    match *class {
        "exec" => exec(r, node, fields),
        "file" => file(r, node),
        "system" => {
            let mut inside = Fields::of(r, node, &language::TEST_SYSTEM)?;
            let operation = inside
                .require(r, "op")
                .and_then(|node| target::system_operation(r, node))?;
            Some(about_nothing(operation))
        }
        _ => net::attempt(r, node),
    }
}

/// An attempt that has no object.
pub(super) fn about_nothing(operation: Operation) -> Attempt {
    Attempt::One {
        operations: vec![operation],
        object: Object::Request {
            words: String::new(),
        },
    }
}

fn only_of_exec(r: &mut Reader, fields: &mut Fields<'_>) {
    for key in OF_EXEC {
        if let Some(node) = fields.take(key) {
            let message = format!("`{key}` is known of executions only");
            let error = Diagnostic::error(node.at, node.excerpt(), message);
            r.report(error.suggest("take it out, or test the `exec`"));
        }
    }
}

fn exec(r: &mut Reader, node: &Node, fields: &mut Fields<'_>) -> Option<Attempt> {
    let items = r.one_or_list(node, "exec");
    let (program, arguments) = items.split_first()?;
    let path = one_path(r, program);
    let arguments: Vec<Option<Vec<u8>>> = arguments.iter().map(|item| argument(r, item)).collect();
    let mut programs = |r: &mut Reader, key: &str| {
        let node = fields.take(key)?;
        Some(list_of(r, node, key, one_path))
    };
    let parents = programs(r, "parent").unwrap_or_default();
    let ancestors = programs(r, "ancestors");
    let terminal = fields
        .take("terminal")
        .and_then(|node| r.flag(node, "terminal"));
    let sha256 = fields
        .take("sha256")
        .and_then(|node| r.parsed(node, "sha256"));
    Some(Attempt::Exec {
        path: path?,
        execution: Execution {
            arguments: arguments.into_iter().collect::<Option<_>>()?,
            sha256,
            terminal,
            parents,
            ancestors,
        },
    })
}

fn argument(r: &mut Reader, node: &Node) -> Option<Vec<u8>> {
    let text = match &node.value {
        // What is empty or `null` without quotes is text here, too: nobody calls a program with nothing.
        Value::Scalar { text, .. } => text,
        Value::List(_) | Value::Map(_) => {
            r.wrong_type(node, "an argument", "text");
            return None;
        }
    };
    if text.contains('\0') {
        let message = "an argument has no NUL";
        r.report(Diagnostic::error(node.at, text, message));
        return None;
    }
    Some(text.as_bytes().to_vec())
}

/// One object: a path as rules write it, which stands for no other.
pub(super) fn one_path(r: &mut Reader, node: &Node) -> Option<String> {
    let path = target::path(r, node)?.plain();
    if path.is_none() {
        let message = "a test is about one path, and this is a pattern";
        let error = Diagnostic::error(node.at, node.excerpt(), message);
        r.report(error.suggest("write one that it stands for; `\\*` is the star itself"));
    }
    path
}

fn file(r: &mut Reader, node: &Node) -> Option<Attempt> {
    let mut fields = Fields::of(r, node, &language::TEST_FILE)?;
    let operations = operations(r, node, &mut fields, target::file_operation);
    let path = fields.require(r, "path").and_then(|node| one_path(r, node));
    let to = fields.take("to").map(|node| (node.at, one_path(r, node)));
    let operations = operations?;
    let has_two = |one: &Operation| matches!(one, Operation::Rename | Operation::Link);
    match (operations.as_slice(), to) {
        ([operation], Some((_, to))) if has_two(operation) => Some(Attempt::Ends {
            operation: *operation,
            from: path?,
            to: to?,
        }),
        ([operation], None) if has_two(operation) && fields.had("op") => {
            let message = format!("a {operation} has two ends, and this one has no `to`");
            let error = Diagnostic::error(node.at, operation.as_str(), message);
            r.report(error.suggest("say where it leads: `to: /path`"));
            None
        }
        (_, Some((at, _))) => {
            let message = "`to` is the other end of one `op`, `rename` or `link`";
            r.report(Diagnostic::error(at, "to", message));
            None
        }
        (_, None) => Some(Attempt::One {
            operations,
            object: Object::Path {
                bytes: path?.into_bytes(),
            },
        }),
    }
}

/// What one attempt comprises: `op`, or `ops` where one call does several things at once.
pub(super) fn operations(
    r: &mut Reader,
    node: &Node,
    fields: &mut Fields<'_>,
    read: impl Fn(&mut Reader, &Node) -> Option<Operation>,
) -> Option<Vec<Operation>> {
    let list = match (fields.take("op"), fields.take("ops")) {
        (Some(one), None) => read(r, one).into_iter().collect(),
        (None, Some(several)) => list_of(r, several, "ops", read),
        (both, _) => {
            let message = match both {
                Some(_) => "there are both `op` and `ops`",
                None => "it has no `op`",
            };
            let error = Diagnostic::error(node.at, "", message);
            r.report(error.suggest("write `op: write`; `ops` if one call does several things"));
            return None;
        }
    };
    // What is missing has a finding.
    (!list.is_empty()).then_some(list)
}
