//! Swaps under load: no decision sees a mixture of two policy images.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::{
    code::{counter, reason},
    image::{ACTIVE_IMAGE, ACTIVE_SLOT_MASK},
};

use crate::{
    actors::{
        bpf::Map,
        client::{ALICE, Puppet},
        rig::{self, changed, file},
        standin::StandIn,
    },
    host::{Config, Host},
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("no_decision_sees_a_mixture_of_two_generations", no_mixture)
        .limit(LIMIT_LONG)
        .on_any_kernel(),
    Scenario::new("policies_applied_under_load_leave_no_gap", no_gap)
        .limit(LIMIT_LONG)
        .on_any_kernel(),
];

/// Denies the same file for another reason: by a rule of its own, and once by a directory, once by itself.
const FIRST: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: flip }
spec:
  subjects: { users: [alice] }
  rules:
    - { id: first, effect: deny, file: { ops: [write, create], path: /srv/work/denied/** } }
";
const SECOND: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: flip }
spec:
  subjects: { users: [alice] }
  permissions:
    unused: { file: { ops: [write, create], path: [/srv/work/denied/f, /srv/work/denied/g] } }
  rules:
    - { id: before, effect: alert, file: { ops: [write], path: /srv/** } }
    - { id: second, effect: require-grant, permission: unused }
";
/// Opens under each kind of load.
const OPENS: u32 = 4_000;

/// Both images lie ready in the kernel; the test flips between them as fast as it can.
fn no_mixture(ctx: &mut Ctx) -> Result<()> {
    rig::places()?;
    let path = file("denied/f")?;
    let mut host = Host::boot(&Config::policy(FIRST))?;
    let active: Map<u32, u64> = Map::open("ACTIVE")?;
    let read = || active.get(&ACTIVE_IMAGE).context("no active image");
    let first = read()?;
    host.apply(SECOND)?;
    let second = read()?;
    ensure!(
        first & ACTIVE_SLOT_MASK != second & ACTIVE_SLOT_MASK,
        "one slot for both: {first:#x}, {second:#x}"
    );
    let mut kernel = StandIn::take_over(&mut host)?;
    let mut alice = Puppet::start(ALICE)?;
    let ticket = alice.ask(&format!(
        "hammer|{OPENS}|{path}|{}",
        libc::O_WRONLY | libc::O_TRUNC
    ))?;
    let mut flips = 0u32;
    while alice.answered(&ticket).is_none() {
        for image in [first, second] {
            active.put(&ACTIVE_IMAGE, &image)?;
        }
        flips += 2;
        kernel.collect();
        ensure!(flips < u32::MAX / 2, "the puppet does not come to an end");
    }
    let opened = alice.answer(&ticket, wait::SOON)?;
    ensure!(
        opened == 0 && !changed(&path),
        "{opened} opens went through between two images that both deny"
    );
    let mut seen: BTreeMap<(u64, u64, u32), usize> = BTreeMap::new();
    for record in kernel.records() {
        *seen
            .entry((record.generation, record.rule, record.reason))
            .or_default() += 1;
    }
    ctx.log(format!(
        "{flips} flips, decisions by (generation, rule, reason): {seen:x?}"
    ));
    // A decision that two flips overtook is none of either image: it restricts and says so.
    seen.retain(|(_, rule, reason), _| (*rule, *reason) != (0, reason::IMAGE_CHANGED));
    let rules: BTreeMap<u64, u64> = seen
        .keys()
        .map(|(generation, rule, _)| (*generation, *rule))
        .collect();
    ensure!(
        rules.len() == 2,
        "not both images decided: this shows nothing"
    );
    ensure!(
        seen.len() == 2,
        "a decision of one image names a rule or a reason of the other: {seen:x?}"
    );
    let reasons: Vec<u32> = seen.keys().map(|(_, _, reason)| *reason).collect();
    ensure!(
        reasons.contains(&reason::RULE_DENY) && reasons.contains(&reason::NO_GRANT),
        "{reasons:?}"
    );
    Ok(())
}

/// The same through the front door: an operator applies one after the other while alice hammers.
fn no_gap(ctx: &mut Ctx) -> Result<()> {
    const APPLIED: u32 = 6;
    rig::places()?;
    let path = file("denied/f")?;
    let mut host = Host::boot(&Config::policy(FIRST))?;
    let rejudged = host_counter(counter::REJUDGED)?;
    let stop = AtomicBool::new(false);
    let hammered = std::thread::scope(|scope| {
        let hammering = scope.spawn(|| -> Result<u64> {
            let mut alice = Puppet::start(ALICE)?;
            let mut rounds = 0;
            while !stop.load(Ordering::SeqCst) {
                let opened = alice.tell(&format!(
                    "hammer|50|{path}|{}",
                    libc::O_WRONLY | libc::O_TRUNC
                ))?;
                ensure!(
                    opened == 0,
                    "{opened} opens went through while a policy was applied"
                );
                rounds += 1;
            }
            Ok(rounds * 50)
        });
        let applied = (0..APPLIED).try_for_each(|round| {
            ctx.step(format!("apply {round}"));
            host.apply(if round % 2 == 0 { SECOND } else { FIRST })
        });
        stop.store(true, Ordering::SeqCst);
        let hammered = hammering
            .join()
            .map_err(|_| anyhow::anyhow!("the hammering thread panicked"))?;
        applied.and(hammered)
    })?;
    ensure!(hammered > 100, "only {hammered} opens: this shows nothing");
    ensure!(!changed(&path), "it had its effect");
    ctx.log(format!(
        "{hammered} opens, {} judged again",
        host_counter(counter::REJUDGED)? - rejudged
    ));
    Ok(())
}

fn host_counter(index: u32) -> Result<u64> {
    crate::actors::bpf::Counters::open()?.get(index)
}
