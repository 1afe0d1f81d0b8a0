//! The action that is asked about, from options to an attempt.

use std::net::{IpAddr, SocketAddr};

use stayhand_guardrail::{
    action::{Object, Operation},
    policy::{Attempt, NamePattern, PathPattern, Protocol, args::Sha256, case::Execution},
};

use crate::failure::Failure;

/// Actions that are no execution: of their process nothing is asked.
const OTHERS: [&str; 10] = [
    "read", "write", "create", "delete", "rename", "link", "connect", "send", "bind", "system",
];
/// Actions that no protocol belongs to.
const OFF_NET: [&str; 8] = [
    "command", "read", "write", "create", "delete", "rename", "link", "system",
];

/// One action, and what is known of the process.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("action").required(true).multiple(false)
    .args(["command", "read", "write", "create", "delete", "rename", "link", "connect", "send", "bind", "system"]))]
pub(crate) struct Action {
    /// Read a file
    #[arg(long, value_name = "PATH", value_parser = path)]
    read: Option<String>,
    /// Write an existing file
    #[arg(long, value_name = "PATH", value_parser = path)]
    write: Option<String>,
    /// Make a file and write it
    #[arg(long, value_name = "PATH", value_parser = path)]
    create: Option<String>,
    /// Take a name away
    #[arg(long, value_name = "PATH", value_parser = path)]
    delete: Option<String>,
    /// Rename what is at the first path to the second, where nothing is
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], value_parser = path)]
    rename: Option<Vec<String>>,
    /// Make the second path another name of what is at the first
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], value_parser = path)]
    link: Option<Vec<String>>,
    /// Connect to ADDRESS:PORT by TCP, to a unix socket at /PATH or of the name @NAME
    #[arg(long, value_name = "TO", value_parser = object)]
    connect: Option<Object>,
    /// Send to ADDRESS:PORT by UDP, to a unix socket at /PATH or of the name @NAME, without connecting
    #[arg(long, value_name = "TO", value_parser = object)]
    send: Option<Object>,
    /// Take a local ADDRESS:PORT for TCP, or the name @NAME of a unix socket
    #[arg(long, value_name = "AT", value_parser = object)]
    bind: Option<Object>,
    /// By this protocol instead, such as udp
    #[arg(long, value_name = "PROTOCOL", value_parser = Protocol::parse, conflicts_with_all = OFF_NET)]
    protocol: Option<Protocol>,
    /// Do something of the class `system`, such as ptrace
    #[arg(long, value_name = "OPERATION", value_parser = system)]
    system: Option<Operation>,
    /// Run a program, by its path, with these arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// What starts the program; repeatable
    #[arg(long, value_name = "PATH", value_parser = path, conflicts_with_all = OTHERS)]
    parent: Vec<String>,
    /// A program that the process descends from, the nearest first; repeatable. There are no others than those given
    #[arg(long, value_name = "PATH", value_parser = path, conflicts_with_all = OTHERS)]
    ancestor: Vec<String>,
    /// The process has a terminal
    #[arg(long, conflicts_with = "no_terminal", conflicts_with_all = OTHERS)]
    terminal: bool,
    /// The process has no terminal
    #[arg(long, conflicts_with_all = OTHERS)]
    no_terminal: bool,
    /// Hash of the program, as sha256sum prints it
    #[arg(long, value_name = "HASH", conflicts_with_all = OTHERS)]
    sha256: Option<Sha256>,
}

impl Action {
    pub(super) fn attempt(&self) -> Result<Attempt, Failure> {
        if let Some((program, arguments)) = self.command.split_first() {
            return self.execution(program, arguments);
        }
        let with_two_ends = [
            (Operation::Rename, &self.rename),
            (Operation::Link, &self.link),
        ];
        for (operation, ends) in with_two_ends {
            if let Some([from, to]) = ends.as_deref() {
                return Ok(Attempt::Ends {
                    operation,
                    from: from.clone(),
                    to: to.clone(),
                });
            }
        }
        let of_sockets = [
            (Operation::Connect, &self.connect, Protocol::TCP),
            (Operation::Send, &self.send, Protocol::UDP),
            (Operation::Bind, &self.bind, Protocol::TCP),
        ];
        for (operation, object, usual) in of_sockets {
            if let Some(object) = object {
                let object = self.socket(operation, object.clone(), usual)?;
                return Ok(one(&[operation], object));
            }
        }
        if let Some(operation) = self.system {
            let words = String::new();
            return Ok(one(&[operation], Object::Request { words }));
        }
        let on_files = [
            (&self.read, &[Operation::Read][..]),
            (&self.write, &[Operation::Write]),
            (&self.create, &[Operation::Create, Operation::Write]),
            (&self.delete, &[Operation::Delete]),
        ];
        let given = on_files
            .into_iter()
            .find_map(|(path, operations)| Some((path.as_ref()?, operations)));
        match given {
            Some((path, operations)) => Ok(one(operations, at(path))),
            None => Err(Failure::general("there is no action to explain")),
        }
    }

    /// An address has a protocol; a name that a file has is made like every other file.
    fn socket(
        &self,
        operation: Operation,
        object: Object,
        usual: Protocol,
    ) -> Result<Object, Failure> {
        match object {
            Object::Address { ip, port, .. } => {
                let protocol = Some(self.protocol.unwrap_or(usual).0);
                Ok(Object::Address { ip, port, protocol })
            }
            _ if self.protocol.is_some() => Err(Failure::general(
                "`--protocol` belongs to an address, and not to a unix socket",
            )),
            Object::Path { .. } if operation == Operation::Bind => Err(Failure::general(
                "`bind` on this kind of socket is not judged",
            )
            .hint("it makes a file: `--create /PATH`")),
            other => Ok(other),
        }
    }

    fn execution(&self, program: &str, arguments: &[String]) -> Result<Attempt, Failure> {
        let path = path(program).map_err(|problem| {
            let shown = stayhand_guardrail::text::safe(program);
            Failure::general(format!("`{shown}` is no program: {problem}"))
                .hint("write the path by which it is executed, as in `-- /usr/bin/nc -h`")
        })?;
        let bytes = arguments
            .iter()
            .map(|argument| argument.clone().into_bytes());
        Ok(Attempt::Exec {
            path,
            execution: Execution {
                arguments: bytes.collect(),
                sha256: self.sha256,
                terminal: (self.terminal || self.no_terminal).then_some(self.terminal),
                parents: self.parent.clone(),
                ancestors: (!self.ancestor.is_empty()).then(|| self.ancestor.clone()),
            },
        })
    }
}

fn one(operations: &[Operation], object: Object) -> Attempt {
    Attempt::One {
        operations: operations.to_vec(),
        object,
    }
}

fn at(path: &str) -> Object {
    Object::Path {
        bytes: path.as_bytes().to_vec(),
    }
}

/// One path, as rules write it.
fn path(text: &str) -> Result<String, String> {
    let pattern = PathPattern::parse(text).map_err(|error| error.to_string())?;
    let plain = pattern.plain();
    plain.ok_or_else(|| "write one path and no pattern; `\\*` is the star itself".to_owned())
}

fn object(text: &str) -> Result<Object, String> {
    if text.starts_with('/') {
        return path(text).map(|path| at(&path));
    }
    if let Some(name) = text.strip_prefix('@') {
        return match NamePattern::parse(name) {
            Ok(NamePattern { bytes, whole: true }) => Ok(Object::Name { bytes }),
            Ok(_) => Err("write one name and no pattern".to_owned()),
            Err(error) => Err(error.to_string()),
        };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Object::Address {
            ip: address.ip(),
            port: address.port(),
            protocol: Some(Protocol::TCP.0),
        });
    }
    Err(if text.parse::<IpAddr>().is_ok() {
        "write the port, too: 10.20.0.7:5432, [2001:db8::1]:443".to_owned()
    } else {
        "write 10.20.0.7:5432, [2001:db8::1]:443, /run/x.sock or @name".to_owned()
    })
}

fn system(text: &str) -> Result<Operation, String> {
    use stayhand_guardrail::action::Class;
    let mut known = Operation::ALL
        .into_iter()
        .filter(|one| one.class() == Class::System);
    let found = known.clone().find(|one| one.as_str() == text);
    found.ok_or_else(|| {
        let first = known.next().map_or("", Operation::as_str);
        let rest: String = known.map(|one| format!(", {one}")).collect();
        format!("there is {first}{rest}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_single_object_is_refused() {
        for bad in [
            "10.0.0.1", "::1", "db:5432", "@a*", "@", "/a/../b", "/a*", "",
        ] {
            assert!(object(bad).is_err(), "{bad}");
        }
        assert!(object("[::1]:443").is_ok());
        assert!(path("/etc/**").is_err());
        assert!(system("mount").unwrap_err().contains("ptrace"));
    }
}
