//! Policies that change while people work: the agent compiles, labels and flips, and what one of them names is restricted
//! from the moment at which it is reported enforced to the moment at which it is taken back.

use anyhow::Result;

use super::{
    super::places,
    machine::{self, at, directory, file, pause, policy},
};
use crate::{
    actors::{
        board::{ALWAYS, EITHER, Sure},
        client::{ALICE, Puppet},
    },
    scenario::Ctx,
    wait,
};

/// Times that the policy is changed and changed back.
const TIMES: usize = 3;
/// Word of what only the second policy names.
const MAYBE: usize = 0;
/// Word of what no policy ever names.
const PLAIN: usize = 1;
/// Time in which others open something.
const THERE_MS: u64 = 200;

/// Under either policy each file is what that policy says it is, at every moment.
pub fn change(ctx: &mut Ctx) -> Result<()> {
    machine::with(ctx, |ctx, machine| {
        directory(&at("free/plain"))?;
        file(&at("free/plain/f"))?;
        std::fs::hard_link(at("mixed/secret"), at("free/plain/linked"))?;
        let targets = [
            (MAYBE, "path", at("maybe/f")),
            (MAYBE, "below", at("maybe/f")),
            (MAYBE, "make", at("maybe/f")),
            (PLAIN, "path", at("free/plain/f")),
            (ALWAYS, "path", at("denied/f")),
            (ALWAYS, "make", at("denied/f")),
            (ALWAYS, "make", at("grow/secret/new")),
            (EITHER, "path", at("free/plain/linked")),
        ];
        let mut alice = Puppet::start(ALICE)?;
        places::known(&mut alice, &at("maybe/f"))?;
        machine::stormed(ctx, machine, &targets, |machine, board, random, _| {
            board.say(PLAIN, Some(Sure::Free));
            board.say(MAYBE, Some(Sure::Free));
            for _ in 0..TIMES {
                // What is kept of a directory under one policy must be of no use under the next one.
                wait::until_ok(wait::SOON, "a kept directory", || {
                    Ok(places::is_known(&at("maybe"))?.then_some(()))
                })?;
                for (also, sure) in [(Some("maybe"), Sure::Restricted), (None, Sure::Free)] {
                    board.say(MAYBE, None);
                    machine.host.apply(&policy(also))?;
                    board.say(MAYBE, Some(sure));
                    pause(random, THERE_MS);
                }
            }
            Ok(())
        })
    })
}
