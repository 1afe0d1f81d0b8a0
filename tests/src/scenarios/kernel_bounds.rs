//! Bounds of the kernel side, and what happens at each: denial with a reason, never a free pass and never a hang.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::{answer, class, counter, reason, verdict};

use crate::{
    actors::{
        client::{ALICE_ROOT, BOB, Puppet},
        rig::{self, Rig, WORK, changed, file},
        standin::denials,
        sys::EPERM,
    },
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_hold_that_nobody_answers_times_out_without_effect",
        timed_out,
    )
    .group("kernel"),
    Scenario::new("an_approval_after_the_deadline_is_too_late", too_late).group("kernel"),
    Scenario::new("holds_beyond_the_quota_are_denied", quota).group("kernel"),
    Scenario::new("without_room_for_its_record_a_hold_is_denied", no_record).group("kernel"),
    Scenario::new(
        "denials_hold_when_their_ring_is_full_and_the_loss_is_counted",
        ring_full,
    )
    .group("kernel"),
    Scenario::new(
        "a_file_deeper_than_the_walk_is_denied_for_restricting_rules",
        too_deep,
    )
    .group("kernel"),
    Scenario::new(
        "an_exec_with_more_strings_than_the_digest_takes_in_is_denied",
        too_long,
    )
    .group("kernel"),
];

fn timed_out(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("brief/f")?;
        let held = rig.hold(&format!(
            "open|open|{path}|{}|0|after",
            libc::O_WRONLY | libc::O_TRUNC
        ))?;
        // The policy gives it a second; nobody continues it meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        ensure!(
            rig.alice.answered(&held.ticket).is_none(),
            "it did not wait for its continue"
        );
        rig.agent.wake(&held.hold);
        ensure!(rig.result(&held)? == EPERM, "gives {}", rig.result(&held)?);
        ensure!(!changed(&path), "it had its effect");
        rig.told(&held, reason::HOLD_TIMED_OUT)
    })
}

fn too_late(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("brief/f")?;
        let held = rig.hold(&format!(
            "open|open|{path}|{}|0|after",
            libc::O_WRONLY | libc::O_TRUNC
        ))?;
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        rig.agent.settle(&held.hold, answer::APPROVED)?;
        ensure!(
            rig.result(&held)? == EPERM,
            "an approval after the deadline gives {}",
            rig.result(&held)?
        );
        ensure!(!changed(&path), "it had its effect");
        rig.told(&held, reason::HOLD_TIMED_OUT)
    })
}

fn quota(_: &mut Ctx) -> Result<()> {
    const QUOTA: u32 = 2;
    rig::with(|rig| {
        let bounds = rig
            .agent
            .with_settings(|settings| settings.holds_per_subject = QUOTA)?;
        let mut tickets = Vec::new();
        for index in 0..QUOTA {
            let path = file(&format!("held/{index}"))?;
            tickets.push(
                rig.alice
                    .ask(&format!("fork|open|open|{path}|{}|0|after", libc::O_WRONLY))?,
            );
            rig.agent.wait_pending(tickets.len())?;
        }
        let path = file("held/beyond")?;
        drop(rig.agent.records());
        let result = rig
            .alice
            .tell(&format!("open|open|{path}|{}|0|after", libc::O_WRONLY))?;
        ensure!(
            result == EPERM && !changed(&path),
            "one more gives {result}"
        );
        ensure!(
            denials(&rig.agent.records(), reason::HOLD_QUOTA) == 1,
            "nothing says why"
        );
        let first = rig
            .agent
            .pending()
            .first()
            .copied()
            .context("nothing is pending")?;
        rig.agent.approve(&first)?;
        wait::until(wait::SOON, "room for another hold", || {
            (rig.agent.counted(1001) == 1).then_some(())
        })?;
        let held = rig
            .alice
            .ask(&format!("open|open|{path}|{}|0|after", libc::O_WRONLY))?;
        rig.agent.wait_pending(2)?;
        drop(bounds);
        rig.agent.clear()?;
        ensure!(rig.alice.answer(&held, wait::SOON)? == EPERM);
        ensure!(
            rig.agent.counted(1001) == 0,
            "{} are still counted",
            rig.agent.counted(1001)
        );
        Ok(())
    })
}

/// Fills ring A: every attempt to clear the login uid is recorded there.
fn fill_ring_a(rig: &Rig, root: &mut Puppet) -> Result<()> {
    let lost = rig.agent.counter(counter::LOST + u32::from(class::A))?;
    for _ in 0..1_000 {
        let result = root.tell(&format!(
            "open|open|/proc/self/loginuid|{}|0|4294967295",
            libc::O_WRONLY
        ))?;
        ensure!(result == EPERM, "clearing the login uid gives {result}");
        if rig.agent.counter(counter::LOST + u32::from(class::A))? > lost {
            return Ok(());
        }
    }
    anyhow::bail!("ring A does not fill up")
}

fn no_record(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let path = file("held/f")?;
        let mut root = Puppet::start(ALICE_ROOT)?;
        fill_ring_a(rig, &mut root)?;
        let lost = |rig: &Rig| rig.agent.counter(counter::LOST + u32::from(class::A));
        let before = lost(rig)?;
        let words = format!("open|open|{path}|{}|0|after", libc::O_WRONLY);
        let result = rig.alice.tell(&words)?;
        ensure!(
            result == EPERM && !changed(&path),
            "without room for its record it gives {result}"
        );
        ensure!(rig.agent.pending().is_empty(), "something is pending");
        ensure!(lost(rig)? == before + 1, "the loss is not counted");
        drop(rig.agent.records());
        // With room again it is held as ever. The record of the answer needs room, too.
        let held = rig.hold(&words)?;
        fill_ring_a(rig, &mut root)?;
        rig.agent.approve(&held.hold)?;
        ensure!(
            rig.result(&held)? == EPERM && !changed(&path),
            "an approval without its record is used"
        );
        drop(rig.agent.records());
        let held = rig.hold(&words)?;
        rig.agent.approve(&held.hold)?;
        ensure!(rig.result(&held)? == 5);
        Ok(())
    })
}

fn ring_full(_: &mut Ctx) -> Result<()> {
    const ATTEMPTS: u32 = 600;
    rig::with(|rig| {
        let path = file("denied/f")?;
        drop(rig.agent.records());
        let count = |rig: &Rig, of: u32| rig.agent.counter(of + u32::from(class::B));
        let (recorded, lost) = (count(rig, counter::RECORDED)?, count(rig, counter::LOST)?);
        let opened = rig
            .alice
            .tell(&format!("hammer|{ATTEMPTS}|{path}|{}", libc::O_WRONLY))?;
        ensure!(opened == 0, "{opened} opens went through");
        let (recorded, lost) = (
            count(rig, counter::RECORDED)? - recorded,
            count(rig, counter::LOST)? - lost,
        );
        ensure!(lost > 0, "the ring did not fill up: this shows nothing");
        let read = denials(&rig.agent.records(), reason::RULE_DENY) as u64;
        ensure!(
            recorded == u64::from(ATTEMPTS),
            "{recorded} of {ATTEMPTS} denials are counted"
        );
        ensure!(
            recorded == read + lost,
            "{recorded} recorded, {read} read, {lost} lost"
        );
        Ok(())
    })
}

fn too_deep(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let mut path = PathBuf::from(format!("{WORK}/free"));
        let mut tried = 0;
        for level in 0..80 {
            path.push("d");
            if level != 40 && level != 79 {
                continue;
            }
            fs::create_dir_all(&path)?;
            let inside = path.strip_prefix(WORK)?.join("f");
            let name = file(&inside.to_string_lossy())?;
            let words = format!("open|open|{name}|{}|0|after", libc::O_WRONLY);
            if level == 40 {
                ensure!(
                    rig.alice.tell(&words)? == 5,
                    "a deep path that can be judged is denied"
                );
            } else {
                rig.denied(&words, reason::WALK_FAILED)?;
                ensure!(!changed(&name), "it had its effect");
                ensure!(
                    Puppet::start(BOB)?.tell(&words)? == 5,
                    "it is denied to those whom nothing guards"
                );
            }
            tried += 1;
        }
        ensure!(tried == 2);
        fs::remove_dir_all(format!("{WORK}/free/d"))?;
        Ok(())
    })
}

/// Approvals bind every argument; what cannot be taken in whole cannot be approved.
fn too_long(_: &mut Ctx) -> Result<()> {
    rig::with(|rig| {
        let many = "|x".repeat(3_000);
        rig.denied(
            &format!("exec|fork|{WORK}/bin/held{many}"),
            reason::HOLD_UNAVAILABLE,
        )?;
        let few = "|x".repeat(500);
        let held = rig.hold(&format!("exec|fork|{WORK}/bin/held{few}"))?;
        rig.agent.approve(&held.hold)?;
        ensure!(
            rig.result(&held)? == rig::PROGRAM_CODE,
            "gives {}",
            rig.result(&held)?
        );
        let announced = rig
            .agent
            .records()
            .iter()
            .filter(|record| record.verdict == verdict::HELD)
            .count();
        ensure!(announced == 1, "announced {announced} times");
        Ok(())
    })
}
