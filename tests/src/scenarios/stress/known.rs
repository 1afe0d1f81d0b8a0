//! Directories that the kernel keeps (agent-ebpf/src/places.rs), with renames so rare that they are kept between them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use rand::{RngExt as _, rngs::StdRng};
use stayhand_agent_ebpf::abi::place::Place;

use super::{
    super::places::place_of,
    machine::{self, at, directory, file, pause},
};
use crate::{
    actors::{
        board::{Board, EITHER, Sure},
        bpf::Map,
        sys::{c, exchange},
    },
    scenario::Ctx,
    wait,
};

/// Moves; more than half of them have to meet a directory that is kept at this moment.
const ROUNDS: usize = 60;
/// How long a directory stays below the denied one, and somebody opens through it.
const THERE_MS: u64 = 20;
/// One that moves, and one whose grandparent moves.
const MOVED: [(&str, &str); 2] = [("k", ""), ("top", "/1/2")];

/// Words on the board behind those of the directories.
const NEIGHBOUR: usize = MOVED.len();
const SECRET: usize = MOVED.len() + 1;

/// A directory that moves to and fro.
struct Moving {
    word: usize,
    free: String,
    denied: String,
    /// Where the kernel keeps the directory that is opened in
    place: u32,
    /// The kernel's counter of renames when it was last seen kept
    renames: u32,
}

/// A directory below a denied one is denied, and free where it was, at every moment in between.
pub fn moves(ctx: &mut Ctx) -> Result<()> {
    machine::with(ctx, |ctx, machine| {
        let mut targets = vec![
            (SECRET, "path", at("mixed/secret")),
            // Found below the denied directory and judged a moment later where it is by then: only its word tells.
            (0, "path", at("denied/k/f")),
            (EITHER, "path", at("free/k/visitor")),
        ];
        for (word, (name, below)) in MOVED.into_iter().enumerate() {
            let inside = format!("{}{below}", at(&format!("free/{name}")));
            directory(&inside)?;
            file(&format!("{inside}/f"))?;
            targets.push((word, "path", format!("{inside}/f")));
            targets.push((word, "below", format!("{inside}/f")));
        }
        file(&at("free/k/visitor"))?;
        file(&at("mixed/neighbour"))?;
        targets.push((NEIGHBOUR, "path", at("mixed/neighbour")));
        let mut kept = 0;
        machine::stormed(ctx, machine, &targets, |_, board, random, _| {
            let mut moving = MOVED
                .into_iter()
                .enumerate()
                .map(|(word, (name, below))| moving(word, name, below))
                .collect::<Result<Vec<_>>>()?;
            (0..=NEIGHBOUR).for_each(|word| board.say(word, Some(Sure::Free)));
            board.say(SECRET, Some(Sure::Restricted));
            let places = Map::<u32, Place>::open("PLACES")?;
            for _ in 0..ROUNDS {
                let which = random.random_range(0..moving.len());
                let one = moving.get_mut(which).context("none")?;
                kept += usize::from(wait_kept(&places, one));
                pause(random, 2);
                round(board, random, one)?;
            }
            Ok(())
        })?;
        ctx.log(format!("{kept} of {ROUNDS} moves met a kept directory"));
        ensure!(
            kept > ROUNDS / 2,
            "only {kept} of {ROUNDS} moves met a kept directory: this shows nothing"
        );
        Ok(())
    })
}

fn moving(word: usize, name: &str, below: &str) -> Result<Moving> {
    let (free, denied) = (at(&format!("free/{name}")), at(&format!("denied/{name}")));
    let inside = format!("{free}{below}");
    let place = wait::until_ok(wait::SOON, &format!("{inside} to be kept"), || {
        place_of(&inside)
    })?;
    Ok(Moving {
        word,
        free,
        denied,
        place,
        renames: 0,
    })
}

/// Whether it is kept again, with a counter that is newer than at the last time.
fn wait_kept(places: &Map<u32, Place>, one: &mut Moving) -> bool {
    let kept = || {
        let directory = places.get(&one.place)?.directory;
        (directory.renames != one.renames).then_some(directory.renames)
    };
    match wait::until(wait::QUIET, "a kept directory", kept) {
        Ok(renames) => {
            one.renames = renames;
            true
        }
        Err(_) => false,
    }
}

fn round(board: &Board, random: &mut StdRng, one: &Moving) -> Result<()> {
    if random.random_range(0..4) == 0 {
        return visit(board, random);
    }
    board.say(one.word, None);
    fs::rename(&one.free, &one.denied)?;
    board.say(one.word, Some(Sure::Restricted));
    pause(random, THERE_MS);
    board.say(one.word, None);
    fs::rename(&one.denied, &one.free)?;
    board.say(one.word, Some(Sure::Free));
    Ok(())
}

/// A denied file in a directory that is kept, under a name that is nothing to any rule; something else has its name
/// meanwhile. Twice: everything is in its place again.
fn visit(board: &Board, random: &mut StdRng) -> Result<()> {
    let (secret, visitor) = (c(&at("mixed/secret")), c(&at("free/k/visitor")));
    for _ in 0..2 {
        board.say(SECRET, None);
        let result = exchange(&secret, &visitor);
        board.say(SECRET, Some(Sure::Restricted));
        ensure!(result == 0, "cannot exchange: {result}");
        pause(random, THERE_MS);
    }
    Ok(())
}
