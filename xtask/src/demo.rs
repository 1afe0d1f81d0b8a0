//! `demo`: boots a guest that plays the story of the README and forwards its transcript.
//!
//! Succeeds only if the guest said `@done` and nothing failed.

use anyhow::{Result, bail};
use std::time::Duration;

use crate::paths;
use crate::rootfs::project::Initrd;
use crate::setup::Ready;
use crate::vm::machine::{Ending, LSM, Limits, Machine, Pace};
use crate::vm::protocol::Line;

/// The story waits for time-outs of tens of seconds, and says so.
const SILENCE: Duration = Duration::from_mins(3);
/// Far above the story's own waits.
const OVERALL: Duration = Duration::from_mins(20);
/// Console lines quoted after a bad end.
const CONSOLE_LINES: usize = 30;

/// Plays it on one kernel; with `keep` the terminal becomes the guest's console and a shell follows.
pub fn play(ready: &Ready, keep: bool) -> Result<()> {
    let kernel = ready.kernel()?;
    let initrd = Initrd::write(&ready.base, None, std::slice::from_ref(kernel), None)?;
    let mut append = "stayhand.mode=demo".to_owned();
    if keep {
        append.push_str(" stayhand.keep=1");
    }
    let machine = Machine {
        kernel,
        initrd: initrd.path(),
        lsm: LSM,
        dir: paths::vm_dir(&format!("demo-{}", kernel.series)),
        append,
        smp: 2,
        pace: Pace::Quick,
        interactive: keep,
        limits: Limits {
            silence: SILENCE,
            overall: OVERALL,
        },
    };
    println!(
        "demo   booting Linux {} (software emulation, a few seconds)",
        kernel.release
    );
    if keep {
        println!(
            "demo   a shell follows the story: `login-as alice`, `login-as bob`; `exit` or Ctrl-A X ends the guest"
        );
    }
    let mut failures = 0_u32;
    let ending = machine.run(&mut |line| match line {
        Line::Out(text) => println!("{text}"),
        Line::Fail(name, text) => {
            failures += 1;
            println!("FAILED {name} {text}");
        }
        _ => {}
    })?;
    println!(
        "demo   guest logs: {} and {}",
        machine.guest_log().display(),
        machine.console_log().display()
    );
    if ending != Ending::Done {
        bail!(
            "{ending}; the console ended with:\n{}",
            machine.console_end(CONSOLE_LINES)
        );
    }
    if failures > 0 {
        bail!("{failures} steps of the story did not do what they say");
    }
    Ok(())
}
