//! What a rule would have to allow for one recorded decision to go on, in every way in which it can have been.

use std::net::IpAddr;

use super::Left;
use crate::{
    action::{Class, Object, Operation},
    event::{Arguments, Decided},
    policy::{
        NamePattern,
        args::is_option,
        replay::{at_two_ends, sets},
    },
};

/// Protocols whose sockets have ports (include/uapi/linux/in.h): TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u16; 5] = [6, 17, 33, 132, 136];

/// What one rule allows. Texts are names, and no patterns yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// Run a program
    Exec { path: String, with: With },
    /// Do this to a file
    File {
        operations: Vec<Operation>,
        path: String,
        /// Or to whatever has a name in it
        directory: bool,
    },
    /// Do this to an address
    Address {
        operations: Vec<Operation>,
        ip: IpAddr,
        port: Option<u16>,
        protocol: u16,
    },
    /// Do this to a unix socket with a file
    Socket {
        operations: Vec<Operation>,
        path: String,
    },
    /// Do this to a unix socket that has none
    Name {
        operations: Vec<Operation>,
        name: String,
    },
    /// Do this to a virtual socket
    Vsock {
        operations: Vec<Operation>,
        cid: u32,
        port: u32,
    },
}

/// Which arguments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum With {
    /// Any
    Any,
    /// None at all
    None,
    /// This first
    First(String),
}

/// All that have to be allowed.
pub(super) fn actions(decision: &Decided, subcommands: bool) -> Result<Vec<Action>, Left> {
    let operation = decision.operation;
    if decision.object_cut {
        return Err(Left::Path);
    }
    match (operation.class(), &decision.object) {
        (Class::Exec, Object::Path { bytes }) => Ok(vec![Action::Exec {
            path: text(bytes)?,
            with: if subcommands {
                first(&decision.arguments)?
            } else {
                With::Any
            },
        }]),
        (Class::File, Object::Path { bytes }) => Ok(vec![file(
            all_of(sets(operation, &decision.object)),
            bytes,
        )?]),
        (Class::File, Object::Ends { from, to }) => {
            let (here, there) = at_two_ends(operation)
                .into_iter()
                .map(<[_; 2]>::into)
                .unzip();
            let (here, there) = (all_of(here), all_of(there));
            Ok(vec![file(here, from)?, file(there, to)?])
        }
        (Class::Net, Object::Request { .. }) | (Class::System, _) => Err(Left::NoObject),
        (Class::Net, object) => socket(operation, object).map(|one| vec![one]),
        _ => Err(Left::Path),
    }
}

fn file(operations: Vec<Operation>, bytes: &[u8]) -> Result<Action, Left> {
    Ok(Action::File {
        operations,
        path: text(bytes)?,
        directory: false,
    })
}

/// The name of one operation stands for several, see `replay`: all that the call may have been, each once.
fn all_of(sets: Vec<Vec<Operation>>) -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    for operation in sets.into_iter().flatten() {
        if !all.contains(&operation) {
            all.push(operation);
        }
    }
    all
}

fn socket(operation: Operation, object: &Object) -> Result<Action, Left> {
    let operations = vec![operation];
    match object {
        Object::Address { ip, port, protocol } => {
            let operations = all_of(sets(operation, object));
            address(operations, *ip, *port, *protocol)
        }
        Object::Path { bytes } => Ok(Action::Socket {
            operations,
            path: text(bytes)?,
        }),
        Object::Name { bytes } => {
            let name = String::from_utf8(bytes.clone()).map_err(|_| Left::Unnameable)?;
            // A star at the end of a name is a pattern, and there is no other way to write it.
            match NamePattern::parse(&name) {
                Ok(one) if one.whole => Ok(Action::Name { operations, name }),
                _ => Err(Left::Unnameable),
            }
        }
        Object::Vsock { cid, port } => Ok(Action::Vsock {
            operations,
            cid: *cid,
            port: *port,
        }),
        _ => Err(Left::Path),
    }
}

fn address(
    operations: Vec<Operation>,
    ip: IpAddr,
    port: u16,
    protocol: Option<u16>,
) -> Result<Action, Left> {
    let protocol = protocol.ok_or(Left::Port)?;
    let has_port = WITH_PORTS.contains(&protocol);
    if has_port && port == 0 {
        return Err(Left::Port);
    }
    Ok(Action::Address {
        operations,
        ip,
        port: has_port.then_some(port),
        protocol,
    })
}

fn first(arguments: &Arguments) -> Result<With, Left> {
    let Arguments::Known(all) = arguments else {
        return Err(Left::Arguments);
    };
    let Some(first) = all.get(1) else {
        return Ok(With::None);
    };
    let word = std::str::from_utf8(first).map_err(|_| Left::OptionFirst)?;
    if is_option(first)
        || word.is_empty()
        || word.starts_with('-')
        || word.contains(char::is_whitespace)
    {
        return Err(Left::OptionFirst);
    }
    Ok(With::First(word.to_owned()))
}

fn text(bytes: &[u8]) -> Result<String, Left> {
    if !bytes.starts_with(b"/") {
        return Err(Left::Path);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| Left::Unnameable)
}
