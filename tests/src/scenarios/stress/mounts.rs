//! Mounts that show a denied directory elsewhere, for everybody and in a namespace of her own, and a file system of its
//! own below a denied directory.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rand::rngs::StdRng;

use super::machine::{self, BOARD, Target, Watcher, Watchers, at, directory, file, pause, words};
use crate::{
    actors::{
        board::{ALWAYS, Board, EITHER, Sure},
        client::{ALICE, ALICE_ROOT, Puppet},
        sys::EPERM,
    },
    scenario::Ctx,
    wait,
};

/// Times that a view of a denied directory comes and goes.
const TIMES: usize = 40;
/// The same for a file system that the agent has to look at first, which takes it seconds.
const TIMES_OWN: usize = 2;
/// Word of that file system.
const OWN: usize = 0;
/// Word of what no rule ever named.
const PLAIN: usize = 1;
/// Time in which others open something.
const THERE_MS: u64 = 10;

/// A denied directory is denied wherever it is shown, and so is what is mounted below it, once the agent has seen it.
pub fn come_and_go(ctx: &mut Ctx) -> Result<()> {
    machine::with(ctx, |ctx, machine| {
        for name in ["view", "other", "shown", "hers", "hers-too"] {
            directory(&at(&format!("free/{name}")))?;
        }
        directory(&at("vault/own"))?;
        let targets = [
            (PLAIN, "path", at("maybe/f")),
            (ALWAYS, "path", at("vault/f")),
            (EITHER, "path", at("free/view/f")),
            (EITHER, "path", at("free/other/f")),
            (OWN, "path", at("vault/own/f")),
            (OWN, "path", at("free/shown/f")),
        ];
        let seed = machine.seed;
        machine::stormed(ctx, machine, &targets, |_, board, random, watchers| {
            board.say(PLAIN, Some(Sure::Free));
            in_a_namespace(seed, watchers)?;
            let stormed = (0..TIMES)
                .try_for_each(|_| view(random))
                .and_then(|()| (0..TIMES_OWN).try_for_each(|_| own(board, random)));
            for name in ["free/view", "free/other", "free/shown", "vault/own"] {
                while umount2(at(name).as_str(), MntFlags::MNT_DETACH).is_ok() {}
            }
            stormed
        })
    })
}

/// Alice as root, who sees mounts of her own: one of her threads makes and moves them, another one opens through them.
fn in_a_namespace(seed: u64, watchers: &mut Watchers) -> Result<()> {
    let mut puppet = Puppet::start(ALICE_ROOT)?;
    for words in [format!("unshare|{}", libc::CLONE_NEWNS), "private".into()] {
        let result = puppet.tell(&words)?;
        ensure!(result == 0, "`{words}` gives {result}");
    }
    let (hers, too) = (at("free/hers"), at("free/hers-too"));
    let storm = format!("view-storm|{BOARD}|{}|{hers}|{too}", at("vault"));
    let targets: [Target<'_>; 4] = [
        (PLAIN, "path", at("maybe/f")),
        (ALWAYS, "path", at("vault/f")),
        (EITHER, "path", format!("{hers}/f")),
        (EITHER, "path", format!("{too}/f")),
    ];
    watchers.join(Watcher {
        storm: Some(puppet.ask_thread(1, &storm)?),
        watch: puppet.ask(&words(seed, &targets))?,
        puppet,
    });
    Ok(())
}

fn shown(from: &str, to: &str, how: MsFlags) -> Result<()> {
    let none: Option<&str> = None;
    mount(Some(at(from).as_str()), at(to).as_str(), none, how, none)?;
    Ok(())
}

/// The denied directory at one place, then at another one.
fn view(random: &mut StdRng) -> Result<()> {
    shown("vault", "free/view", MsFlags::MS_BIND)?;
    pause(random, THERE_MS);
    shown("free/view", "free/other", MsFlags::MS_MOVE)?;
    pause(random, THERE_MS);
    umount2(at("free/other").as_str(), MntFlags::MNT_DETACH)?;
    Ok(())
}

/// A file system of its own below a denied directory. Its label comes after it (docs/agent.md); from then on it is
/// denied at every place.
fn own(board: &Board, random: &mut StdRng) -> Result<()> {
    board.say(OWN, None);
    let own = at("vault/own");
    let none: Option<&str> = None;
    mount(none, own.as_str(), Some("tmpfs"), MsFlags::empty(), none)?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o777))?;
    file(&at("vault/own/f"))?;
    let mut alice = Puppet::start(ALICE)?;
    let words = format!("open|open|{own}/f|{}|0|", libc::O_RDONLY);
    wait::until_ok(wait::LONG, "the agent to see a mount", || {
        Ok((alice.tell(&words)? == EPERM).then_some(()))
    })?;
    board.say(OWN, Some(Sure::Restricted));
    for _ in 0..TIMES {
        shown("vault/own", "free/shown", MsFlags::MS_BIND)?;
        pause(random, THERE_MS);
        umount2(at("free/shown").as_str(), MntFlags::MNT_DETACH)?;
    }
    shown("vault/own", "free/shown", MsFlags::MS_MOVE)?;
    pause(random, THERE_MS);
    board.say(OWN, None);
    umount2(at("free/shown").as_str(), MntFlags::MNT_DETACH)?;
    Ok(())
}
