//! What is at no rule's path: a program that is only in memory, and a second node for a device.

use std::fs;

use anyhow::{Result, ensure};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::machine::{self, at};
use crate::{
    actors::{
        client::{ALICE, ALICE_ROOT, Puppet},
        elf,
        rig::{PROGRAM_CODE, write_executable},
        sys::EPERM,
    },
    scenario::Ctx,
};

/// An argument with which no program runs, wherever it is.
const FORBIDDEN: &str = "forbidden-word";

/// A rule on everything. Libraries are programs to it, whose arguments nobody knows: whom it guards starts nothing that
/// has some.
fn everywhere(user: &str) -> String {
    format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: everywhere }}\nspec:\n  subjects: {{ users: [{user}] }}\n  \
         rules:\n    - {{ id: word, effect: deny, exec: {{ path: /**, anyArg: [{FORBIDDEN}] }} }}\n"
    )
}

/// A copy in memory is no way around a rule on everything, and no other rule is about it.
pub fn program(ctx: &mut Ctx) -> Result<()> {
    machine::with(ctx, |_, machine| {
        let path = at("free/program");
        write_executable(&path, &elf::exit64(u8::try_from(PROGRAM_CODE)?))?;
        let mut alice = Puppet::start(ALICE)?;
        for (user, is_guarded) in [("alice", true), ("bob", false)] {
            machine.host.apply(&everywhere(user))?;
            for how in ["fork", "at", "memfd"] {
                let with = alice.tell(&format!("exec|{how}|{path}|{FORBIDDEN}"))?;
                let expected = if is_guarded { EPERM } else { PROGRAM_CODE };
                ensure!(with == expected, "by {how}, for {user}, it gives {with}");
                let without = alice.tell(&format!("exec|{how}|{path}|other-word"))?;
                ensure!(
                    without == PROGRAM_CODE,
                    "by {how} another one gives {without}"
                );
            }
        }
        fs::remove_file(path)?;
        Ok(())
    })
}

/// What a rule on a device node does not promise (docs/policy.md).
pub fn device(ctx: &mut Ctx) -> Result<()> {
    /// `/dev/null`, which every guest has
    const NULL: (u64, u64) = (1, 3);
    machine::with(ctx, |_, _| {
        let device = makedev(NULL.0, NULL.1);
        let (denied, made) = (at("denied/node"), at("free/node"));
        mknod(
            denied.as_str(),
            SFlag::S_IFCHR,
            Mode::from_bits_truncate(0o666),
            device,
        )?;
        let mut root = Puppet::start(ALICE_ROOT)?;
        let node = root.tell(&format!("open|open|{denied}|{}|0|", libc::O_WRONLY))?;
        mknod(
            made.as_str(),
            SFlag::S_IFCHR,
            Mode::from_bits_truncate(0o666),
            device,
        )?;
        let other = root.tell(&format!("open|open|{made}|{}|0|", libc::O_WRONLY))?;
        fs::remove_file(denied)?;
        fs::remove_file(made)?;
        ensure!(node == EPERM, "the denied node gives {node}");
        ensure!(
            other == 0,
            "another node gives {other}: say in docs/policy.md what is promised now"
        );
        Ok(())
    })
}
