//! One attempt on the network: an operation, and the one address, unix socket or virtual socket that it is about.

use std::net::IpAddr;

use super::{
    super::{
        fields::Fields,
        net::{number, operation},
        reader::Reader,
        target::about,
    },
    about_nothing, one_path,
};
use crate::{
    action::{Object, Operation},
    policy::{Attempt, Diagnostic, NamePattern, Protocol, language, yaml::Node},
};

/// What an attempt can be about, and what belongs to an address only.
const OBJECTS: [&str; 4] = ["address", "path", "abstract", "vsock"];
const OF_ADDRESS: [&str; 2] = ["port", "protocol"];

/// Protocols whose sockets have ports (include/uapi/linux/in.h): TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [Protocol; 5] = [
    Protocol::TCP,
    Protocol::UDP,
    Protocol(33),
    Protocol(132),
    Protocol(136),
];

/// Reads what stands under `net`.
pub(super) fn attempt(r: &mut Reader, node: &Node) -> Option<Attempt> {
    let mut fields = Fields::of(r, node, &language::TEST_NET)?;
    let operation = fields
        .require(r, "op")
        .and_then(|node| Some((node, operation(r, node)?)));
    let (at, operation) = operation?;
    let given: Vec<&str> = OBJECTS.into_iter().filter(|key| fields.had(key)).collect();
    if matches!(operation, Operation::Raw | Operation::Netlink) {
        return if given.is_empty() && OF_ADDRESS.iter().all(|key| !fields.had(key)) {
            Some(about_nothing(operation))
        } else {
            let message = format!("`{operation}` is about no address");
            let error = Diagnostic::error(at.at, operation.as_str(), message);
            r.report(error.suggest(format!("write `net: {{ op: {operation} }}`")));
            None
        };
    }
    let [key] = given.as_slice() else {
        let message = "net has one of `address`, `path`, `abstract` and `vsock`";
        let error = Diagnostic::error(node.at, "", message);
        r.report(error.suggest("write `net: { op: connect, address: 10.0.0.1, port: 5432 }`"));
        return None;
    };
    is_judged(r, at, operation, key)?;
    let object = match *key {
        "address" => address(r, node, &mut fields),
        key => {
            no_address(r, &mut fields, key);
            fields.take(key).and_then(|node| other(r, node, key))
        }
    }?;
    Some(Attempt::One {
        operations: vec![operation],
        object,
    })
}

/// Refuses what no rule can name either.
fn is_judged(r: &mut Reader, at: &Node, operation: Operation, key: &str) -> Option<()> {
    let remedy = match (operation, key) {
        (Operation::Bind, "path") => "it makes a file: `file: { op: create, path: … }`",
        (Operation::Listen, "path" | "abstract" | "vsock") => {
            "a socket that is none of the internet is judged when it takes its name"
        }
        _ => return Some(()),
    };
    let message = format!("`{operation}` on this kind of socket is not judged");
    let error = Diagnostic::error(at.at, operation.as_str(), message);
    r.report(error.suggest(remedy));
    None
}

fn no_address(r: &mut Reader, fields: &mut Fields<'_>, beside: &str) {
    for key in OF_ADDRESS {
        if let Some(node) = fields.take(key) {
            let message = format!("`{key}` belongs to `address`, and not to `{beside}`");
            r.report(Diagnostic::error(node.at, node.excerpt(), message));
        }
    }
}

fn address(r: &mut Reader, node: &Node, fields: &mut Fields<'_>) -> Option<Object> {
    let ip = fields.take("address").and_then(|node| ip(r, node));
    let protocol = fields.take("protocol").map_or(Some(Protocol::TCP), |node| {
        super::super::net::protocol(r, node)
    });
    let port = fields.take("port").map(|node| (node, port(r, node)));
    let protocol = protocol?;
    let port = match (port, WITH_PORTS.contains(&protocol)) {
        (Some((_, port)), true) => port?,
        (None, false) => 0,
        (Some((node, _)), false) => {
            let message = format!("{protocol} has no ports");
            r.report(Diagnostic::error(node.at, node.excerpt(), message));
            return None;
        }
        (None, true) => {
            let error = Diagnostic::error(node.at, "", "net has an `address` and no `port`");
            r.report(error.suggest("write the one port that is tried: `port: 443`"));
            return None;
        }
    };
    Some(Object::Address {
        ip: ip?,
        port,
        protocol: Some(protocol.0),
    })
}

fn ip(r: &mut Reader, node: &Node) -> Option<IpAddr> {
    let text = r.text(node, "address")?;
    let read = text.parse();
    if read.is_err() {
        let what = "a test is about one address, such as `10.20.0.1` or `2001:db8::1`";
        r.report(Diagnostic::error(node.at, text, about(text, &what)));
    }
    read.ok()
}

/// A socket that listens without having taken a port has port 0.
fn port(r: &mut Reader, node: &Node) -> Option<u16> {
    let what = "a test is about one port, a number from 0 to 65535";
    let read = number(r, node, what)?;
    let port = u16::try_from(read);
    if port.is_err() {
        let text = node.excerpt();
        r.report(Diagnostic::error(node.at, text, about(text, &what)));
    }
    port.ok()
}

fn other(r: &mut Reader, node: &Node, key: &str) -> Option<Object> {
    match key {
        "path" => one_path(r, node).map(|path| Object::Path {
            bytes: path.into_bytes(),
        }),
        "abstract" => name(r, node),
        _ => vsock(r, node),
    }
}

fn name(r: &mut Reader, node: &Node) -> Option<Object> {
    let text = r.text(node, "abstract")?;
    let problem: Box<dyn std::fmt::Display> = match NamePattern::parse(text) {
        Ok(NamePattern { bytes, whole: true }) => return Some(Object::Name { bytes }),
        Ok(_) => Box::new("a test is about one name, and this is a pattern"),
        Err(error) => Box::new(error),
    };
    r.report(Diagnostic::error(node.at, text, about(text, &problem)));
    None
}

fn vsock(r: &mut Reader, node: &Node) -> Option<Object> {
    let mut fields = Fields::of(r, node, &language::TEST_VSOCK)?;
    let what = "a test is about one machine and one port, which are numbers";
    let cid = fields.require(r, "cid");
    let cid = cid.and_then(|node| number(r, node, what));
    let port = fields.require(r, "port");
    let port = port.and_then(|node| number(r, node, what));
    Some(Object::Vsock {
        cid: cid?,
        port: port?,
    })
}
