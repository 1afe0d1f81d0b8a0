//! Hashes of executed files.

use std::fs;

use anyhow::{Result, ensure};

use super::machine::{self, DENIED, FREE, GRANTED, at, program};
use crate::{
    actors::{
        elf,
        rig::{DYNAMIC, write_executable},
        sys::EPERM,
    },
    host::grant_create,
    scenario::Ctx,
};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

pub fn by_content(_: &mut Ctx) -> Result<()> {
    machine::with(|machine| {
        program("plain", FREE)?;
        machine.runs("plain", &[])?;
        program("bad", DENIED)?;
        machine.denied("bad", &[])?;
        machine.denied("bad", &["with", "arguments"])?;
        fs::copy(at("bad"), at("copy"))?;
        fs::hard_link(at("bad"), at("linked"))?;
        fs::rename(at("bad"), at("renamed"))?;
        for name in ["copy", "linked", "renamed"] {
            machine.denied(name, &[])?;
        }
        // In place: the content counts, not the file.
        program("renamed", FREE)?;
        machine.runs("renamed", &[])?;
        program("plain", DENIED)?;
        machine.denied("plain", &[])?;
        // Without a name nobody can read it again.
        let nameless = machine
            .alice
            .tell(&format!("exec|memfd|{}", at("renamed")))?;
        ensure!(
            nameless == i64::from(FREE),
            "no rule is about it: {nameless}"
        );
        machine.all_answered()
    })
}

pub fn mapped(_: &mut Ctx) -> Result<()> {
    machine::with(|machine| {
        fs::copy(DYNAMIC, at("dynamic"))?;
        let free = machine
            .alice
            .tell(&format!("exec|fork|{LOADER}|{DYNAMIC}"))?;
        ensure!(free == 0, "a free program gives {free}: this shows nothing");
        let denied = machine
            .alice
            .tell(&format!("exec|fork|{LOADER}|{}", at("dynamic")))?;
        ensure!(denied > 0, "the denied program gives {denied}");
        machine.denied("dynamic", &[])?;
        let mut other = fs::read(DYNAMIC)?;
        other.push(0);
        write_executable(&at("other"), &other)?;
        let other = machine
            .alice
            .tell(&format!("exec|fork|{LOADER}|{}", at("other")))?;
        ensure!(other == 0, "another content gives {other}");
        machine.all_answered()
    })
}

pub fn granted(_: &mut Ctx) -> Result<()> {
    machine::with(|machine| {
        program("tool", GRANTED)?;
        machine.denied("tool", &[])?;
        machine
            .host
            .cli(&grant_create("alice", "facts/build", "1h", "this build"))?
            .ok()?;
        let found = machine.exec("tool", &[])?;
        ensure!(
            found == i64::from(GRANTED),
            "the granted build gives {found}"
        );
        program("tool", FREE)?;
        machine.denied("tool", &[])?;
        program("tool", GRANTED)?;
        let found = machine.exec("tool", &["again"])?;
        ensure!(found == i64::from(GRANTED), "put back it gives {found}");
        machine.all_answered()
    })
}

pub fn rewritten(ctx: &mut Ctx) -> Result<()> {
    const ROUNDS: usize = 150;
    machine::with(|machine| {
        let (bad, good) = (elf::exit64(DENIED), elf::exit64(FREE));
        ensure!(bad.len() == good.len(), "they have to look alike");
        write_executable(&at("turned"), &good)?;
        let (mut ran, mut denied, mut busy) = (0, 0, 0);
        for round in 0..ROUNDS {
            let (first, last) = if round % 2 == 0 {
                (&bad, &good)
            } else {
                (&good, &bad)
            };
            // In place and at once, so that contents follow each other within one tick of the kernel's clock.
            for content in [first, last, first] {
                // Busy while it runs.
                drop(fs::write(at("turned"), content));
            }
            let ticket = machine.alice.ask(&format!("exec|fork|{}", at("turned")))?;
            for content in [first, last, first, last] {
                drop(fs::write(at("turned"), content));
            }
            match machine.alice.answer(&ticket, crate::wait::SOON)? {
                EPERM => denied += 1,
                code if code == i64::from(FREE) => ran += 1,
                code if code == i64::from(DENIED) => anyhow::bail!("the denied content ran"),
                // Somebody writes, or the file is cut at this moment.
                code if code < 0 => busy += 1,
                code => anyhow::bail!("gives {code}"),
            }
        }
        ctx.log(format!("{denied} denied, {ran} run, {busy} busy"));
        ensure!(
            denied > 0 && ran > 0,
            "{denied} denied, {ran} run: this shows nothing"
        );
        Ok(())
    })
}
