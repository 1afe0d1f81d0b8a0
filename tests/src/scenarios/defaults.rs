//! Where a policy denies what no rule allows, no route leads to a program, a file or an address that no rule names.

use std::{fs, os::unix::net::UnixListener};

use anyhow::{Context as _, Result, ensure};

use crate::{
    actors::{
        client::{ERIN, FRANK, Puppet},
        elf,
        rig::{DYNAMIC, write_executable},
        subjects::users,
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("nothing_runs_by_any_route_that_no_rule_allows", programs),
    Scenario::new("what_no_rule_allows_can_be_granted_or_approved", granted).on_any_kernel(),
];

const ROOT: &str = "/srv/defaults";
const CODE: u8 = 42;

const POLICY: &str = "apiVersion: stayhand/v1
kind: Policy
metadata: { name: listed }
spec:
  subjects: { users: [erin] }
  default: { exec: deny, net: deny, system: deny, message: it is not on the list }
  permissions:
    other: { exec: { path: /srv/defaults/other } }
  rules:
    - { id: itself, effect: allow, exec: { path: /usr/lib/stayhand/stayhand-guest } }
    - { id: tool, effect: allow, exec: { path: [/srv/defaults/tool, /srv/defaults/script] } }
    - { id: loader, effect: allow, exec: { path: [/usr/lib/**, /usr/lib64/**, /lib/**, /lib64/**] } }
---
apiVersion: stayhand/v1
kind: Policy
metadata: { name: asked }
spec:
  subjects: { users: [frank] }
  default: { exec: hold, timeout: 2m }
  rules:
    - { id: itself, effect: allow, exec: { path: [/usr/lib/stayhand/stayhand-guest, /usr/lib/**, /usr/lib64/**, /lib/**, /lib64/**] } }
";

fn host() -> Result<Host> {
    users()?;
    fs::create_dir_all(ROOT)?;
    for name in ["tool", "other", "copied"] {
        write_executable(&format!("{ROOT}/{name}"), &elf::exit64(CODE))?;
    }
    let script = format!("#!{ROOT}/other\n");
    write_executable(&format!("{ROOT}/script"), script.as_bytes())?;
    Host::boot(&Config {
        policies: POLICY.split("---\n").map(str::to_owned).collect(),
        ..Config::default()
    })
}

fn programs(ctx: &mut Ctx) -> Result<()> {
    let host = host()?;
    let mut erin = Puppet::start(ERIN)?;
    let mut tell = |words: &str| erin.tell(words);
    let ran = tell(&format!("exec|fork|{ROOT}/tool"))?;
    ensure!(ran == Ret::from(CODE), "the listed program gives {ran}");
    let link = format!("{ROOT}/link");
    std::os::unix::fs::symlink(format!("{ROOT}/other"), &link)?;
    let socket = format!("{ROOT}/socket");
    let _server = UnixListener::bind(&socket)?;
    fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    for words in [
        format!("exec|fork|{ROOT}/other"),
        format!("exec|at|{ROOT}/other"),
        format!("exec|vfork|{ROOT}/other"),
        format!("exec|fork|{link}"),
        format!("exec|fork|/proc/self/root{ROOT}/other"),
        format!("exec|memfd|{ROOT}/tool"),
        format!("exec|memfd|{ROOT}/other"),
        // The script is listed, and what it is run by is not.
        format!("exec|fork|{ROOT}/script"),
        format!("call|mmap|0|4096|5|2|fd:{ROOT}/other|0"),
        "connect|udp|127.0.0.1|53".to_owned(),
        format!("call|connect|sock:1:1:0|unix:{socket}|110"),
        "call|bind|sock:1:1:0|abstract:listed|9".to_owned(),
    ] {
        ctx.step(&words);
        let result = tell(&words)?;
        ensure!(result == EPERM, "`{words}` gives {result}");
    }
    fs::copy(format!("{ROOT}/tool"), format!("{ROOT}/copied"))?;
    let copied = tell(&format!("exec|fork|{ROOT}/copied"))?;
    ensure!(copied == EPERM, "a copy of a listed program gives {copied}");
    let dynamic = tell(&format!("exec|fork|{DYNAMIC}"))?;
    ensure!(dynamic == EPERM, "a program of the system gives {dynamic}");
    let events = host.events()?;
    let mut texts = events.iter().map(ToString::to_string);
    ensure!(
        texts.any(|text| text.contains("not-allowed") && text.contains("it is not on the list")),
        "no event says why"
    );
    Ok(())
}

fn granted(_: &mut Ctx) -> Result<()> {
    let host = host()?;
    let mut erin = Puppet::start(ERIN)?;
    let other = format!("exec|fork|{ROOT}/other");
    ensure!(erin.tell(&other)? == EPERM, "it runs without a grant");
    host.cli(&grant_create("erin", "listed/other", "1h", "scenario"))?
        .ok()?;
    let ran = erin.tell(&other)?;
    ensure!(ran == Ret::from(CODE), "with a grant it gives {ran}");
    let mut frank = Puppet::start(FRANK)?;
    for approved in [false, true] {
        let ticket = frank.ask(&other)?;
        let hold = host.wait_hold(&format!("{ROOT}/other"))?;
        let answer = if approved {
            host.approve(&hold.id, "once")?
        } else {
            host.refuse(&hold.id, "no")?
        };
        answer.ok()?;
        let result = frank.answer(&ticket, wait::SOON).context("no result")?;
        let wanted = if approved { Ret::from(CODE) } else { EPERM };
        ensure!(result == wanted, "{result} after the answer, not {wanted}");
    }
    Ok(())
}
