//! Names that change what they lead to: files that replace each other, links, what is just made.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::{Context as _, Result, ensure};
use rand::{RngExt as _, rngs::StdRng};

use super::machine::{self, at, directory, file, pause};
use crate::{
    actors::{
        board::{ALWAYS, Board, EITHER, Sure},
        sys::{c, exchange},
    },
    scenario::Ctx,
};

/// Changes of each storm.
const CHANGES: usize = 500;
/// Word of the one name that a rule names.
const NAME: usize = 0;
/// Word of what no rule ever named.
const PLAIN: usize = 1;

/// Whatever takes the name of a denied file is denied under it, and the file itself under every other name.
pub fn replaced(ctx: &mut Ctx) -> Result<()> {
    machine::with(ctx, |ctx, machine| {
        for name in ["free/plain", "free/other", "free/turned"] {
            file(&at(name))?;
        }
        let targets = [
            (NAME, "path", at("named/secret")),
            (NAME, "below", at("named/secret")),
            (NAME, "make", at("named/secret")),
            (PLAIN, "path", at("free/plain")),
            (EITHER, "path", at("free/other")),
            (EITHER, "path", at("free/linked")),
            (EITHER, "path", at("free/turned")),
        ];
        machine::stormed(ctx, machine, &targets, |_, board, random, _| {
            board.say(NAME, Some(Sure::Restricted));
            board.say(PLAIN, Some(Sure::Free));
            // The labelled file itself is never ended: it goes on under this name, which nobody opens.
            fs::hard_link(at("named/secret"), at("maybe/secret"))?;
            let stormed = (0..CHANGES).try_for_each(|_| change(board, random));
            fs::rename(at("maybe/secret"), at("named/secret"))?;
            stormed
        })
    })
}

fn change(board: &Board, random: &mut StdRng) -> Result<()> {
    let name = at("named/secret");
    match random.random_range(0..6) {
        0 => {
            file(&at("free/fresh"))?;
            fs::rename(at("free/fresh"), name)?;
        }
        1 => {
            fs::remove_file(&name)?;
            pause(random, 1);
            file(&name)?;
        }
        // The labelled file comes back, under its name and under another one.
        2 => {
            fs::hard_link(at("maybe/secret"), at("free/back"))?;
            fs::rename(at("free/back"), &name)?;
            drop(fs::remove_file(at("free/back")));
        }
        3 => {
            drop(fs::remove_file(at("free/linked")));
            fs::hard_link(&name, at("free/linked"))?;
        }
        4 => {
            let to = ["named/secret", "free/plain"][random.random_range(0..2)];
            drop(fs::remove_file(at("free/turning")));
            symlink(at(to), at("free/turning"))?;
            fs::rename(at("free/turning"), at("free/turned"))?;
        }
        _ => {
            exchanged(board, &name)?;
            pause(random, 2);
            exchanged(board, &name)?;
        }
    }
    pause(random, 1);
    Ok(())
}

/// What is taken out from under the name may be nothing to any rule a moment later.
fn exchanged(board: &Board, name: &str) -> Result<()> {
    board.say(NAME, None);
    let result = exchange(&c(name), &c(&at("free/other")));
    board.say(NAME, Some(Sure::Restricted));
    ensure!(result == 0, "cannot exchange: {result}");
    Ok(())
}

/// Directories below a denied one that were not there when the policy came: made there, or moved there with all that is
/// in them.
pub fn appears(ctx: &mut Ctx) -> Result<()> {
    const SECRET: &str = "grow/secret";
    machine::with(ctx, |ctx, machine| {
        directory(&at("free/stage/x"))?;
        file(&at("free/stage/x/f"))?;
        let mut targets = vec![
            (EITHER, "path", at("free/stage/x/f")),
            (PLAIN, "path", at("maybe/f")),
        ];
        for below in ["a/b/f", "x/f", "in/x/f"] {
            targets.push((ALWAYS, "path", at(&format!("{SECRET}/{below}"))));
        }
        for below in ["new", "a/new", "a/b/new", "in/new"] {
            targets.push((ALWAYS, "make", at(&format!("{SECRET}/{below}"))));
        }
        machine::stormed(ctx, machine, &targets, |_, board, random, _| {
            board.say(PLAIN, Some(Sure::Free));
            for _ in 0..CHANGES / 4 {
                appear(random, &at(SECRET))?;
            }
            Ok(())
        })
    })
}

fn appear(random: &mut StdRng, secret: &str) -> Result<()> {
    let stage = at("free/stage");
    directory(&format!("{stage}/x"))?;
    file(&format!("{stage}/x/f"))?;
    // Long enough, sometimes, to be kept as a directory without rules.
    pause(random, 3);
    if random.random() {
        fs::rename(&stage, secret).context("the denied directory itself")?;
        directory(secret)?;
    } else {
        directory(&format!("{secret}/a/b"))?;
        file(&format!("{secret}/a/b/f"))?;
        fs::rename(&stage, format!("{secret}/in"))?;
    }
    pause(random, 6);
    if Path::new(secret).exists() {
        fs::remove_dir_all(secret)?;
    }
    Ok(())
}
