//! How the language says one rule, and whether it can.

use super::action::{Action, With};
use crate::{
    action::Operation,
    id::Revision,
    policy::{Protocol, Versioned, compile, component::Component, parse, yaml::quoted},
};

/// What a rule says.
pub(super) struct Says<'a> {
    pub(super) class: &'static str,
    /// None of an execution
    pub(super) operations: &'a [Operation],
    /// What stands behind the operations
    pub(super) object: String,
}

/// A rule on one of these, as a document has it.
pub(super) fn says(action: &Action) -> Says<'_> {
    let path = |path: &str| format!("path: {}", quoted(&pattern(path)));
    let (class, operations, object): (_, &[Operation], _) = match action {
        Action::Exec {
            path: program,
            with,
        } => {
            let with = match with {
                With::Any => String::new(),
                With::None => ", args: []".to_owned(),
                With::First(word) => format!(", subcommand: [{}]", quoted(&argument(word))),
            };
            ("exec", &[], path(program) + &with)
        }
        Action::File {
            operations,
            path: file,
            ..
        } => ("file", operations, path(file)),
        Action::Socket {
            operations,
            path: file,
        } => ("net", operations, path(file)),
        Action::Name { operations, name } => {
            ("net", operations, format!("abstract: {}", quoted(name)))
        }
        Action::Address {
            operations,
            ip,
            port,
            protocol,
        } => ("net", operations, address(*ip, *port, *protocol)),
        Action::Vsock {
            operations,
            cid,
            port,
        } => {
            let object = format!("vsock: {{ cid: {cid}, ports: {port} }}");
            ("net", operations, object)
        }
    };
    Says {
        class,
        operations,
        object,
    }
}

fn address(ip: std::net::IpAddr, port: Option<u16>, protocol: u16) -> String {
    let ports = port.map_or_else(String::new, |port| format!(", ports: [{port}]"));
    let mut named = Protocol::NAMED.iter();
    let name = named.find(|(_, known)| known.0 == protocol);
    let protocol = name.map_or_else(|| protocol.to_string(), |(name, _)| (*name).to_owned());
    let cidr = quoted(&ip.to_string());
    format!("cidr: {cidr}{ports}, protocol: {protocol}")
}

pub(super) fn written(operations: &[Operation], object: &str) -> String {
    if operations.is_empty() {
        return object.to_owned();
    }
    let words: Vec<&str> = operations.iter().map(|one| one.as_str()).collect();
    format!("ops: [{}], {object}", words.join(", "))
}

/// Whether the language can name it: a document with this rule alone is read, and a host has room for it.
pub(super) fn can_be_written(action: &Action) -> bool {
    let Says {
        class,
        operations,
        object,
    } = says(action);
    let body = written(operations, &object);
    fits(&format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n  subjects: {{ users: [u] }}\n  rules:\n    - {{ id: r, effect: allow, {class}: {{ {body} }} }}\n"
    ))
}

/// Whether a document is read and a host has room for it.
pub(super) fn fits(source: &str) -> bool {
    let alone = |policy| Versioned {
        revision: Revision(1),
        policy,
    };
    parse(source).is_ok_and(|policy| compile(&[alone(policy)]).is_ok())
}

/// A path as a rule writes it.
pub(super) fn pattern(path: &str) -> String {
    let names = path
        .split('/')
        .map(|name| Component::Name(name.to_owned()).to_string());
    names.collect::<Vec<_>>().join("/")
}

fn argument(word: &str) -> String {
    word.replace('\\', "\\\\").replace('*', "\\*")
}
