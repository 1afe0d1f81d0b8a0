//! Regular expressions over arguments.

use anyhow::{Result, bail, ensure};

use super::machine::{self, FREE, at};
use crate::{
    actors::client::{BOB, Puppet},
    actors::sys::EPERM,
    scenario::Ctx,
    wait,
};

pub fn judged(_: &mut Ctx) -> Result<()> {
    machine::with(|machine| {
        let long = format!("{} drop table x", "y".repeat(5_000));
        for words in [
            &["-c", "drop table users"][..],
            &["-c", "select 1; DROP   TABLE users"],
            &["-f", "x", "--command=truncate table t"],
            &[&long],
        ] {
            machine.denied("sql", words)?;
        }
        for words in [
            &["-c", "select 1"][..],
            &["drop", "table"],
            &["-c", "drop tables"],
            &[],
            &[&"y".repeat(5_000)],
        ] {
            machine.runs("sql", words)?;
        }
        machine.denied("kube", &["delete", "ns", "prod"])?;
        machine.denied("kube", &["-n", "x", "delete", "ns/prod"])?;
        machine.runs("kube", &["get", "delete", "ns", "prod"])?;
        machine.denied("both", &["xx", "now"])?;
        machine.runs("both", &["xy", "now"])?;
        machine.runs("both", &["xx", "later"])?;
        machine.all_answered()?;
        // What does not fit into a question is unknown, which restricts.
        machine.denied("sql", &[&"y".repeat(9_000)])?;
        machine.denied("kube", &vec!["get"; 2_000])
    })
}

pub fn held(_: &mut Ctx) -> Result<()> {
    machine::with(|machine| {
        machine.runs("held", &["staging"])?;
        for (answer, code) in [("approve", i64::from(FREE)), ("refuse", EPERM)] {
            let ticket = machine
                .alice
                .ask(&format!("exec|fork|{}|to|prod", at("held")))?;
            let hold = machine.host.wait_hold(&at("held"))?;
            machine
                .host
                .cli(&["hold", answer, &hold.id, "--reason", "looked at it"])?
                .ok()?;
            let found = machine.alice.answer(&ticket, wait::SOON)?;
            ensure!(found == code, "{answer} gives {found}");
        }
        Ok(())
    })
}

pub fn unseen(_: &mut Ctx) -> Result<()> {
    const ROUNDS: usize = 100;
    machine::with(|machine| {
        for round in 0..ROUNDS {
            let word = format!("select {round}");
            let words = format!("exec-seen|{}|{word}", at("sql"));
            let found = machine.alice.tell(&words)?;
            ensure!(found == i64::from(FREE), "its parent sees {found}");
        }
        machine.all_answered()
    })
}

pub fn changed(ctx: &mut Ctx) -> Result<()> {
    const ROUNDS: usize = 300;
    machine::with(|machine| {
        let raced = machine.alice.race(&at("racer"), ROUNDS)?;
        ctx.log(format!("{raced:?}"));
        ensure!(
            raced.ran > 0 && raced.denied > 0,
            "nothing was changed in time: {raced:?}"
        );
        Ok(())
    })
}

pub fn flood(ctx: &mut Ctx) -> Result<()> {
    const CHILDREN: usize = 24;
    const ROUNDS: usize = 40;
    machine::with(|machine| {
        let mut others: Vec<Puppet> = (0..CHILDREN)
            .map(|_| Puppet::start(BOB))
            .collect::<Result<_>>()?;
        let (mut went_on, mut unknown) = (0usize, 0usize);
        for round in 0..ROUNDS {
            let tickets = others
                .iter_mut()
                .enumerate()
                .map(|(child, bob)| bob.ask(&format!("exec|fork|{}|{child}|{round}", at("kube"))))
                .collect::<Result<Vec<_>>>()?;
            machine.runs("sql", &["-c", &format!("select {round}")])?;
            for (bob, ticket) in others.iter().zip(&tickets) {
                match bob.answer(ticket, wait::SOON)? {
                    found if found == i64::from(FREE) => went_on += 1,
                    // Whoever asks more than a busy machine can answer in time hurts himself only.
                    EPERM => unknown += 1,
                    found => bail!("one of the flood gives {found}"),
                }
            }
        }
        ctx.log(format!(
            "beside it {went_on} went on, {unknown} were not answered in time"
        ));
        ensure!(went_on > 0, "nothing of the flood was answered");
        Ok(())
    })
}
