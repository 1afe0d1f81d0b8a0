//! What somebody tries: an action as a hook sees it, and who it is.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::targets::{ARGS, path, place, program, system_operations};
use crate::{
    action::Operation,
    id::{GroupName, UserName},
};

/// One attempt.
#[derive(Debug, Clone)]
pub(in crate::image::tests) struct Tried {
    pub(in crate::image::tests) user: UserName,
    pub(in crate::image::tests) groups: Vec<GroupName>,
    pub(in crate::image::tests) what: What,
}

/// What is tried.
#[derive(Debug, Clone)]
pub(in crate::image::tests) enum What {
    Path {
        operations: u32,
        path: String,
        /// Behind `argv[0]`; none for unknown ones
        args: Option<Vec<Vec<u8>>>,
        /// Every byte of the file's hash
        sha256: Option<u8>,
        origin: Origin,
    },
    Ends {
        operations: (u32, u32),
        from: String,
        to: String,
    },
    Address {
        operations: u32,
        ip: IpAddr,
        port: u16,
        protocol: Option<u16>,
    },
    Name {
        operations: u32,
        name: Vec<u8>,
    },
    Vsock {
        operations: u32,
        cid: u32,
        port: u32,
    },
    System {
        operation: Operation,
    },
}

/// The process of an execution.
#[derive(Debug, Clone)]
pub(in crate::image::tests) struct Origin {
    pub(in crate::image::tests) terminal: Option<bool>,
    /// Programs that start it, and whether those are all
    pub(in crate::image::tests) parents: (Vec<String>, bool),
    /// Everything that it descends from, and whether that is all
    pub(in crate::image::tests) ancestors: (Vec<String>, bool),
}

fn origin() -> impl Strategy<Value = Origin> {
    let all = || prop::bool::weighted(0.8);
    let programs = |max| prop::collection::vec(program(), 0..max);
    let terminal = prop::option::weighted(0.8, any::<bool>());
    (terminal, programs(3), programs(5), all(), all()).prop_map(
        |(terminal, parents, others, of_parent, of_all)| {
            let ancestors = [parents.as_slice(), &others].concat();
            Origin {
                terminal,
                parents: (parents, of_parent),
                ancestors: (ancestors, of_parent && of_all),
            }
        },
    )
}

fn args() -> impl Strategy<Value = Option<Vec<Vec<u8>>>> {
    let word = prop::sample::select(&ARGS[..]).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![
        8 => prop::collection::vec(word, 0..5).prop_map(Some),
        1 => Just(None),
    ]
}

const WHO: &[(&str, &[&str])] = &[
    ("alice", &["dev"]),
    ("alice", &["dev", "ops"]),
    ("bob", &["ops"]),
    ("bob", &["dev", "ops"]),
    ("carol", &[]),
];

pub(in crate::image::tests) fn attempt() -> impl Strategy<Value = Tried> {
    use stayhand_agent_ebpf::abi::code::op;
    // What the hooks ask, see `agent-ebpf/src/hooks`.
    let operations = prop::sample::select(
        &[
            op::EXEC,
            op::EXEC,
            op::WRITE,
            op::READ,
            op::READ | op::WRITE,
            op::CREATE,
            op::CREATE | op::WRITE,
            op::DELETE,
            op::ATTR,
            op::MAP_EXEC,
            op::MOUNT,
            op::MOUNT | op::BIND_MOUNT,
            op::UMOUNT,
            op::MOVE_MOUNT,
            op::REMOUNT,
            op::BIND_MOUNT,
            op::CONNECT,
            op::CONNECT,
            op::SEND,
            op::CONNECT | op::SEND,
        ][..],
    );
    let ends = prop::sample::select(
        &[
            (op::RENAME | op::DELETE, op::RENAME | op::CREATE),
            (
                op::RENAME | op::DELETE,
                op::RENAME | op::CREATE | op::WRITE | op::DELETE,
            ),
            (op::LINK, op::LINK | op::CREATE),
        ][..],
    );
    let net =
        || prop::sample::select(&[op::CONNECT, op::CONNECT, op::SEND, op::BIND, op::LISTEN][..]);
    let protocol =
        prop::sample::select(&[Some(6), Some(6), Some(17), Some(1), Some(132), None][..]);
    let name = prop::sample::select(&["", "a", "ab", "abc", "abcd", "b", "a\0"][..]);
    let address = prop_oneof![
        2 => (0u8..4, 0u8..4, any::<u8>()).prop_map(|(b, c, d)| IpAddr::V4(Ipv4Addr::new(10, b, c, d))),
        2 => prop::sample::select(&["10.1.2.3", "10.1.2.200", "192.0.2.1", "2001:db8::1", "::1"][..])
            .prop_map(|text| text.parse().unwrap()),
    ];
    let port = prop::sample::select(&[22u16, 70, 80, 90, 91, 443, 500, 8080][..]);
    let what = prop_oneof![
        3 => (operations, place(), args(), prop::option::of(1u8..4), origin())
            .prop_map(|(operations, path, args, sha256, origin)| What::Path {
                operations,
                path,
                args,
                sha256,
                origin,
            }),
        1 => (ends, path(), path())
            .prop_map(|(operations, from, to)| What::Ends { operations, from, to }),
        2 => (net(), address, port, protocol)
            .prop_map(|(operations, ip, port, protocol)| What::Address { operations, ip, port, protocol }),
        1 => (net(), name)
            .prop_map(|(operations, name)| What::Name { operations, name: name.as_bytes().to_vec() }),
        1 => (net(), 1u32..5, prop::sample::select(&[80u32, 81, 90_000][..]))
            .prop_map(|(operations, cid, port)| What::Vsock { operations, cid, port }),
        1 => prop::sample::select(system_operations())
            .prop_map(|operation| What::System { operation }),
    ];
    let who = prop::sample::select(WHO);
    (who, what).prop_map(|((user, groups), what)| Tried {
        user: user.parse().unwrap(),
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        what,
    })
}
