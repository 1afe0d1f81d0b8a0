//! What root asks of the kernel, and does to processes of others: denied, held, granted, or not noticed. One line of a
//! table per call, so that each is tried under every effect.

use std::{fs, path::Path, sync::Mutex};

use anyhow::{Context as _, Result, ensure};
use stayhand_agent_ebpf::abi::code::{op, reason};

use crate::{
    actors::{
        memory::Memory,
        subjects::{self, Bystander, reasons, status},
        sys::{EPERM, Ret},
    },
    scenario::{self, Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("each_call_on_the_kernel_is_denied_by_its_rule", denied)
        .group("system")
        .limit(LIMIT_LONG),
    Scenario::new(
        "each_call_on_the_kernel_without_a_rule_is_not_noticed",
        unnoticed,
    )
    .group("system"),
    Scenario::new(
        "each_call_on_the_kernel_goes_on_with_a_grant_and_not_without",
        granted,
    )
    .group("system"),
    Scenario::new(
        "calls_on_the_kernel_that_cannot_wait_are_denied_where_a_rule_holds_them",
        unheld,
    )
    .group("system"),
    Scenario::new("held_ptrace_has_no_effect", ptrace).group("system"),
    Scenario::new("held_signals_have_no_effect", signals).group("system"),
    Scenario::new("held_unshare_has_no_effect", namespace).group("system"),
    Scenario::new("held_change_of_ids_has_no_effect", ids).group("system"),
    Scenario::new("held_setting_of_the_clock_has_no_effect", clock).group("system"),
    Scenario::new("held_module_is_not_loaded", module).group("system"),
    Scenario::new("held_raw_sockets_are_not_made", raw).group("system"),
    Scenario::new("held_netlink_messages_have_no_effect", netlink).group("system"),
    Scenario::new("a_netlink_message_hides_no_other_one", hidden).group("system"),
    Scenario::new(
        "an_approval_of_a_signal_does_not_serve_the_next_process_of_that_number",
        bound,
    )
    .group("system"),
    Scenario::new(
        "an_approval_does_not_serve_a_held_call_on_the_kernel_that_was_changed",
        changed,
    )
    .group("system"),
    Scenario::new("processes_of_the_same_subject_are_its_own_business", own).group("system"),
    Scenario::new("memory_without_a_file_may_be_made_executable", memory).group("system"),
];

/// A call, what it gives where nothing stands against it, and what it is.
struct Call {
    words: &'static str,
    result: Ret,
    op: u32,
}

const fn call(words: &'static str, result: Ret, op: u32) -> Call {
    Call { words, result, op }
}

const fn error(errno: i32) -> Ret {
    -(errno as Ret)
}

/// Calls that need no process to act on and leave nothing behind. Errors are those that come right after the question.
const CALLS: &[Call] = &[
    call("bpf|0", 0, op::BPF),
    call("perf", 0, op::PERF_EVENT),
    call("load-module-from-memory", error(libc::ENOEXEC), op::MODULE),
    call(
        "unload-module|nothing_of_this_name",
        error(libc::ENOENT),
        op::MODULE,
    ),
    call("kexec", 0, op::KEXEC),
    call("time-zone", 0, op::TIME),
    call("swapon|/nonexistent", error(libc::ENOENT), op::SWAP),
    call("swapoff|/nonexistent", error(libc::ENOENT), op::SWAP),
    call("reboot", error(libc::EINVAL), op::REBOOT),
    call("fork|unshare|268435456", 0, op::NAMESPACE),
    call("fork|unshare|67108864", 0, op::NAMESPACE),
    call("fork|regain|1001", 0, op::SETUID),
    call("fork|regain-by-setuid|1001", 0, op::SETUID),
    call("fork|regain-group|1001", 0, op::SETUID),
    call("call|socket|17|3|768", 0, op::RAW),
    call("call|socket|17|2|768", 0, op::RAW),
    call("call|socket|2|10|768", 0, op::RAW), // the older way to the same
    call("call|socket|2|3|1", 0, op::RAW),
    call("call|socket|10|3|58", 0, op::RAW),
    call(
        "call|sendto|sock:16:3:0|hex:20000000130001000000000000000000000000000f270000000000000000ff00|32|0|0|0",
        32,
        op::NETLINK,
    ),
    call(
        "call|sendmsg|sock:16:3:0|plain-msg:20000000130001000000000000000000000000000f270000000000000000ff00|0",
        32,
        op::NETLINK,
    ),
];

/// Reads, and sockets that are none of these.
const FREE: &[(&str, Ret)] = &[
    // Lists links and routes.
    (
        "call|sendto|sock:16:3:0|hex:14000000120001030000000000000000110000 00|20|0|0|0",
        20,
    ),
    (
        "call|sendto|sock:16:2:0|hex:140000001a0001030000000000000000020000 00|20|0|0|0",
        20,
    ),
    ("call|socket|16|3|0", 0),
    ("call|socket|1|3|0", 0),
    ("call|socket|1|1|0", 0),
    ("call|socket|2|1|0", 0),
];

/// Calls on a bystander, `%` being its number and `@` a place in its memory, and on the clock, `!` being the time.
const MORE: &[Call] = &[
    call("vm-read|%|@", 8, op::PTRACE),
    call("vm-write|%|@", 8, op::PTRACE),
    call("fork|seize|%", 0, op::PTRACE),
    call("kill|%|18", 0, op::SIGNAL),
    call("tgkill|%|18", 0, op::SIGNAL),
    call("pidfd-kill|%|18", 0, op::SIGNAL),
    call("clock-settime|!", 0, op::TIME),
    call("settimeofday|!", 0, op::TIME),
];

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Every call of both tables with its words filled in.
fn each(mut run: impl FnMut(&str, &Call) -> Result<()>) -> Result<()> {
    for call in CALLS.iter().chain(MORE) {
        let bystander = Bystander::start()?;
        let words = call
            .words
            .replace('%', &bystander.pid().to_string())
            .replace('@', &bystander.stack()?.to_string())
            .replace('!', &now().to_string());
        run(&words, call)?;
    }
    Ok(())
}

fn denied(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        each(|words, call| {
            machine.denied("alice", words, reason::RULE_DENY)?;
            let (_, records) = machine.tell("alice", words)?;
            let op = records.first().map(|record| record.op);
            ensure!(op == Some(call.op), "`{words}` is recorded as {op:x?}");
            Ok(())
        })?;
        machine.denied("alice", "adjtimex", reason::RULE_DENY)?;
        let (result, _) = machine.tell("alice", "open|open|/proc/1/mem|2|0")?;
        ensure!(
            result == error(libc::EACCES),
            "memory of process 1 opens with {result}"
        );
        Ok(())
    })
}

fn unnoticed(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| each(|words, call| machine.unnoticed("dave", words, call.result)))
}

fn granted(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        each(|words, call| {
            machine.granted("carol", words, call.result)?;
            machine.denied("erin", words, reason::NO_GRANT)
        })
    })
}

/// What is answered with an error of the kernel's own, or has an object that no approval could be bound to.
fn unheld(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let bystander = Bystander::start()?;
        let (pid, place) = (bystander.pid(), bystander.stack()?);
        for words in [
            "bpf|0",
            "perf",
            "load-module-from-memory",
            "unload-module|nothing_of_this_name",
            "kexec",
            "swapon|/nonexistent",
            "reboot",
            "adjtimex",
            "time-zone",
            "fork|unshare|67108864",
        ] {
            machine.denied("bob", words, reason::HOLD_UNAVAILABLE)?;
        }
        for words in [
            format!("vm-read|{pid}|{place}"),
            format!("vm-write|{pid}|{place}"),
        ] {
            machine.denied("bob", &words, reason::HOLD_UNAVAILABLE)?;
        }
        let (result, records) = machine.tell("bob", &format!("open|open|/proc/{pid}/mem|2|0"))?;
        ensure!(
            result == error(libc::EACCES) && records.len() == 1,
            "{result} {:x?}",
            reasons(&records)
        );
        // To a whole group some of which may have had it.
        machine.denied("bob", &format!("kill|-{pid}|15"), reason::HOLD_UNAVAILABLE)?;
        ensure!(machine.agent.pending().is_empty(), "something waits");
        Ok(())
    })
}

fn raw(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let has_one = |pid: u32| {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
            let mut names = descriptors
                .into_iter()
                .flatten()
                .filter_map(|one| fs::read_link(one.ok()?.path()).ok());
            names.any(|name| name.to_string_lossy().starts_with("socket:"))
        };
        for words in ["call|socket|17|3|768", "call|socket|2|3|1"] {
            machine.fresh("bob", 0)?; // what the last one made is gone
            machine.held_without_effect("bob", words, &has_one, 0)?;
        }
        machine.fresh("bob", 0)?;
        let held = machine.hold("bob", "call|socket|17|3|768")?;
        Memory::of(held.hold.entry.tgid)?.set_argument(1, 2)?;
        machine.approved_in_vain("bob", &held)
    })
}

/// Sets how long packets of the loopback device may be.
fn netlink(_: &mut Ctx) -> Result<()> {
    const MTU: &str = "/sys/class/net/lo/mtu";
    let read = || fs::read_to_string(MTU).unwrap_or_default();
    let message = |mtu: u16| {
        let [low, high] = mtu.to_le_bytes();
        format!(
            "2800000010000100000000000000000000000000010000000000000000000000\
             08000400{low:02x}{high:02x}0000"
        )
    };
    subjects::with(|machine| {
        let before = read();
        for (mtu, call) in [(9_000, "sendto"), (9_001, "sendmsg")] {
            let set = |_| read().trim() == mtu.to_string();
            let hex = message(mtu);
            let words = if call == "sendto" {
                format!("call|sendto|sock:16:3:0|hex:{hex}|40|0|0|0")
            } else {
                format!("call|sendmsg|sock:16:3:0|plain-msg:{hex}|0")
            };
            machine.held_without_effect("bob", &words, &set, 40)?;
        }
        // Another length in memory, while it waits.
        let words = format!("call|sendto|sock:16:3:0|hex:{}|40|0|0|0", message(9_002));
        let held = machine.hold("bob", &words)?;
        let memory = Memory::of(held.hold.entry.tgid)?;
        memory.write(memory.argument(1)? + 36, &9_003u16.to_ne_bytes())?;
        machine.approved_in_vain("bob", &held)?;
        ensure!(
            read().trim() == "9001",
            "the approval served another message"
        );
        let back: u16 = before.trim().parse().unwrap_or(u16::MAX);
        let words = format!("call|sendto|sock:16:3:0|hex:{}|40|0|0|0", message(back));
        machine.unnoticed("dave", &words, 40)
    })
}

/// A change in the same packet as a read, behind it and before it; an approval is bound to no more than is hashed.
fn hidden(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for (words, result) in FREE {
            machine.unnoticed("alice", &words.replace(' ', ""), *result)?;
        }
        let read = "14000000120001030000000000000000110000 00".replace(' ', "");
        let change = "20000000130001000000000000000000000000000f270000000000000000ff00";
        for both in [format!("{read}{change}"), format!("{change}{read}")] {
            let words = format!("call|sendto|sock:16:3:0|hex:{both}|52|0|0|0");
            machine.denied("alice", &words, reason::RULE_DENY)?;
        }
        let (start, rest) = change.split_at(8);
        ensure!(start == "20000000", "another length");
        let long = format!("2c010000{rest}{}", "00".repeat(300 - 32));
        let words = format!("call|sendto|sock:16:3:0|hex:{long}|300|0|0|0");
        machine.denied("bob", &words, reason::HOLD_UNAVAILABLE)
    })
}

fn ptrace(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let bystander = Bystander::start()?;
        let pid = bystander.pid();
        // Not in a child: its end would end the tracing.
        let traced = move |_| status(pid, "TracerPid") != "0";
        machine.held_without_effect("bob", &format!("seize|{pid}"), &traced, 0)?;
        // The tracer first: who is traced is not reaped before.
        machine.fresh("bob", 0)?;
        Ok(())
    })
}

fn signals(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for verb in ["kill", "tgkill", "pidfd-kill"] {
            let bystander = Mutex::new(Bystander::start()?);
            let pid = bystander.lock().map_or(0, |one| one.pid());
            let ended = |_| {
                let alive = || bystander.lock().is_ok_and(|mut one| one.is_alive());
                // The signal is delivered a moment after the call returns.
                wait::until(wait::SETTLE, "its end", || (!alive()).then_some(())).is_ok()
            };
            machine
                .held_without_effect("bob", &format!("{verb}|{pid}|15"), &ended, 0)
                .context(verb)?;
        }
        Ok(())
    })
}

fn namespace(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let own = of("self");
        // A child that has ended is in no namespace any more.
        let left = |pid: u32| of(&pid.to_string()).is_some_and(|now| Some(now) != own);
        let words = "unshare|268435456";
        machine.held_without_effect("bob", words, &left, 0)?;
        machine.fresh("bob", 0)?;
        Ok(())
    })
}

fn ids(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for (verb, member) in [
            ("regain", "Uid"),
            ("regain-by-setuid", "Uid"),
            ("regain-group", "Gid"),
        ] {
            let is_root = move |pid: u32| {
                let ids = status(pid, member);
                ids.split_whitespace().nth(1) == Some("0")
            };
            // After a refusal the puppet is left without the id.
            let held = machine.hold("bob", &format!("{verb}|1001"))?;
            machine.agent.refuse(&held.hold)?;
            ensure!(
                machine.result("bob", &held)? == EPERM,
                "{verb} refused goes on"
            );
            ensure!(!is_root(held.hold.entry.tgid), "{verb} had its effect");
            machine.fresh("bob", 0)?;
            let held = machine.hold("bob", &format!("{verb}|1001"))?;
            ensure!(!is_root(held.hold.entry.tgid), "{verb} had its effect");
            machine.agent.wake(&held.hold);
            machine.agent.approve(&held.hold)?;
            let result = machine.result("bob", &held)?;
            ensure!(result == 0, "{verb} approved gives {result}");
            ensure!(
                is_root(held.hold.entry.tgid),
                "{verb} approved has no effect"
            );
            machine.fresh("bob", 0)?;
        }
        Ok(())
    })
}

fn clock(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for verb in ["clock-settime", "settimeofday"] {
            let (before, started) = (now(), std::time::Instant::now());
            let later = before + 10_000;
            let set = |_| now() >= later;
            let result = machine.held_without_effect("bob", &format!("{verb}|{later}"), &set, 0);
            let back = i64::try_from(before + started.elapsed().as_secs())?;
            nix::time::clock_settime(
                nix::time::ClockId::CLOCK_REALTIME,
                nix::sys::time::TimeSpec::new(back, 0),
            )?;
            result.context(verb)?;
        }
        Ok(())
    })
}

fn module(_: &mut Ctx) -> Result<()> {
    let Some(file) = scenario::module("overlay") else {
        return Err(scenario::Skip("no module in this guest".to_owned()).into());
    };
    subjects::with(|machine| {
        let is_loaded = |_| Path::new("/sys/module/overlay").exists();
        let file = file.to_string_lossy().into_owned();
        drop(machine.root("dave")?.tell("unload-module|overlay"));
        machine.denied("alice", &format!("load-module|{file}"), reason::RULE_DENY)?;
        ensure!(!is_loaded(0), "denied, and loaded");
        machine.held_without_effect("bob", &format!("load-module|{file}"), &is_loaded, 0)?;
        let unloaded = machine.root("dave")?.tell("unload-module|overlay")?;
        ensure!(unloaded == 0, "cannot unload: {unloaded}");
        Ok(())
    })
}

/// The process that an approval is for ends, and another one gets its number before the call goes on.
fn bound(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let first = Bystander::start()?;
        let pid = first.pid();
        let held = machine.hold("bob", &format!("kill|{pid}|15"))?;
        drop(first);
        let mut second = with_number(pid)?;
        machine.approved_in_vain("bob", &held)?;
        ensure!(second.is_alive(), "the approval served another process");
        Ok(())
    })
}

/// Another signal in the register, another time in memory.
fn changed(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let mut bystander = Bystander::start()?;
        let held = machine.hold("bob", &format!("kill|{}|18", bystander.pid()))?;
        Memory::of(held.hold.entry.tgid)?.set_argument(1, 15)?;
        machine.approved_in_vain("bob", &held)?;
        ensure!(bystander.is_alive(), "an approved SIGCONT ended it");
        let (before, later) = (now(), now() + 10_000);
        let held = machine.hold("bob", &format!("clock-settime|{before}"))?;
        let memory = Memory::of(held.hold.entry.tgid)?;
        memory.write(memory.argument(1)?, &later.to_ne_bytes())?;
        machine.approved_in_vain("bob", &held)?;
        ensure!(now() < later, "the clock was set to another time");
        Ok(())
    })
}

/// A process that has this number.
fn with_number(pid: u32) -> Result<Bystander> {
    const NEXT: &str = "/proc/sys/kernel/ns_last_pid";
    for _ in 0..100 {
        if let Err(error) = fs::write(NEXT, (pid - 1).to_string()) {
            return Err(scenario::Skip(format!("cannot choose a number: {error}")).into());
        }
        let one = Bystander::start()?;
        if one.pid() == pid {
            return Ok(one);
        }
    }
    anyhow::bail!("the number is not given again")
}

fn own(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        for name in ["alice", "bob"] {
            let pid = machine.root(name)?.pid();
            let child = format!("fork|seize|{pid}");
            machine.unnoticed(name, &child, 0)?;
            machine.unnoticed(name, &format!("fork|kill|{pid}|18"), 0)?;
            machine.unnoticed(name, "fork|trace-me", 0)?;
            let other = machine.root("dave")?.pid();
            let (result, _) = machine.tell("alice", &format!("kill|{other}|18"))?;
            ensure!(result == EPERM, "a process of dave's: {result}");
        }
        // Only whether it is there.
        machine.unnoticed("alice", "kill|1|0", 0)?;
        Ok(())
    })
}

/// A rule on executable mappings, and a mapping of no file: the kernel hands the hook none.
fn memory(_: &mut Ctx) -> Result<()> {
    subjects::with(|machine| {
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let words = format!("call|mmap|0|4096|5|{anonymous}|-1|0");
        let (result, records) = machine.tell("dave", &words)?;
        ensure!(
            result >= 0 && records.is_empty(),
            "{result} {:x?}",
            reasons(&records)
        );
        Ok(())
    })
}
