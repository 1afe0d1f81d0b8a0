//! One emulated machine: QEMU's command line and the watch over it.
//!
//! Software emulation only, no privilege, no network. Never left running: the emulator ends with the watch, unless a
//! person asked for a shell in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::console;
use super::protocol::Line;
use super::tail::Tail;
use crate::kernels::Kernel;
use crate::run;
use crate::setup::EMULATOR;

/// The order of security modules, with ours (`bpf`) last as distributions have it.
pub const LSM: &str = "lockdown,capability,landlock,yama,apparmor,bpf";
/// The same without it: what a host looks like whose operator did not set it up.
pub const LSM_WITHOUT_BPF: &str = "lockdown,capability,landlock,yama,apparmor";
/// The base, the project and what scenarios write, all in memory.
const MEMORY_MIB: &str = "2048";
/// Its string-operation features count instructions differently between versions; without them they agree.
const CPU: &str = "max,fsrm=off,fzrm=off,fsrs=off";
/// Where the emulator is to be spared: a kernel that sees this feature clears pages with one instruction, which a processor does at
/// once and the emulator byte by byte. It was an eighth of what guests cost.
const CPU_QUICK: &str = ",erms=off";
/// The same of guards around every return and indirect call, against what an emulator has not, and of memory that is cleared when it is
/// taken beside when it is given to a program.
const QUICK: &str = "mitigations=off init_on_alloc=0";
/// Where instructions are counted: everything lies at the same place in every run.
const FIXED: &str = "nokaslr norandmaps randomize_kstack_offset=off";
/// `COMMAND_LINE_SIZE` (arch/x86/include/asm/setup.h) without its NUL.
const COMMAND_LINE_MAX: usize = 2_047;
/// How often logs are looked at.
const TICK: Duration = Duration::from_millis(40);
/// After a crash sign: let the kernel finish its report.
const CRASH_GRACE: Duration = Duration::from_secs(2);
/// After `@done`: time to power off by itself.
const POWER_OFF: Duration = Duration::from_secs(20);

/// How long a guest may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Without any protocol line.
    pub silence: Duration,
    /// From start to `@done`.
    pub overall: Duration,
}

/// For what a machine is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// To be done soon: the emulator is spared what costs it most and shows nothing
    Quick,
    /// To be as hosts are
    AsHostsAre,
    /// To count: one nanosecond of guest time is one instruction
    Counting,
}

/// What to boot.
pub struct Machine<'a> {
    /// Kernel image.
    pub kernel: &'a Kernel,
    /// Initial RAM disk.
    pub initrd: &'a Path,
    /// Where logs go.
    pub dir: PathBuf,
    /// Its security modules, in order.
    pub lsm: &'static str,
    /// Words for the kernel command line, among them the guest's mode.
    pub append: String,
    /// Number of processors.
    pub smp: u32,
    /// What it is for.
    pub pace: Pace,
    /// The user's terminal is the guest's console.
    pub interactive: bool,
    /// Time limits.
    pub limits: Limits,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// `@done` was said.
    Done,
    /// The kernel reported this line.
    Crashed(String),
    /// Nothing was said for that long.
    Silent(Duration),
    /// It did not finish in that time.
    Overtime(Duration),
    /// The machine went away before `@done`.
    Exited,
}

impl Machine<'_> {
    /// The console's log.
    pub fn console_log(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// The protocol's log.
    pub fn guest_log(&self) -> PathBuf {
        self.dir.join("guest.log")
    }

    /// Boots and watches to the end, handing over each protocol line.
    pub fn run(&self, each: &mut dyn FnMut(&Line)) -> Result<Ending> {
        fits(&self.command_line())?;
        std::fs::create_dir_all(&self.dir)?;
        let _alone = self.lock()?;
        for old in [self.console_log(), self.guest_log()] {
            if old.exists() {
                std::fs::remove_file(&old)?;
            }
        }
        let mut cmd = self.command();
        let errors = std::fs::File::create(self.dir.join("emulator.log"))?;
        cmd.stderr(errors);
        if !self.interactive {
            cmd.stdin(Stdio::null()).stdout(Stdio::null());
        }
        let mut child = cmd
            .spawn()
            .with_context(|| format!("cannot start `{}`", run::show(&cmd)))?;
        let ending = self.watch(&mut child, each);
        if child.try_wait()?.is_none() {
            child.kill().ok();
            if self.interactive {
                // A killed emulator leaves the terminal raw.
                Command::new("stty").arg("sane").status().ok();
            }
        }
        child.wait()?;
        ending
    }

    /// One run at a time per log directory; the lock ends with the file.
    fn lock(&self) -> Result<std::fs::File> {
        let lock = std::fs::File::create(self.dir.join("lock"))?;
        if lock.try_lock().is_err() {
            println!(
                "vm     another run uses {}; waiting for it",
                self.dir.display()
            );
            lock.lock()?;
        }
        Ok(lock)
    }

    fn command(&self) -> Command {
        let mut cmd = Command::new(EMULATOR);
        let is_counting = self.pace == Pace::Counting;
        let cpu = match self.pace {
            Pace::Quick => format!("{CPU}{CPU_QUICK}"),
            Pace::AsHostsAre | Pace::Counting => CPU.to_owned(),
        };
        let accel = if is_counting {
            "tcg"
        } else {
            "tcg,thread=multi"
        };
        cmd.args([
            "-accel",
            accel,
            "-cpu",
            &cpu,
            "-m",
            MEMORY_MIB,
            "-smp",
            &self.smp.to_string(),
        ]);
        if is_counting {
            cmd.args(["-icount", "shift=0,sleep=off"]);
            // Nothing random from outside: where things lie in memory changes what an exec costs by some per cent.
            cmd.args(["-seed", "1", "-rtc", "base=2026-01-01,clock=vm"]);
        }
        cmd.args([
            "-display",
            "none",
            "-no-reboot",
            "-nodefaults",
            "-nic",
            "none",
        ]);
        let console = self.console_log();
        if self.interactive {
            let chardev = format!(
                "stdio,id=console,mux=on,signal=off,logfile={}",
                console.display()
            );
            cmd.args([
                "-chardev",
                &chardev,
                "-serial",
                "chardev:console",
                "-mon",
                "chardev=console",
            ]);
        } else {
            cmd.args(["-serial", &format!("file:{}", console.display())]);
        }
        cmd.args(["-serial", &format!("file:{}", self.guest_log().display())]);
        cmd.arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(self.initrd)
            .args(["-append", &self.command_line()]);
        cmd
    }

    /// What the kernel is told.
    fn command_line(&self) -> String {
        // Level 5: kernel warnings reach the console. A person's terminal gets errors only.
        let level = if self.interactive { 4 } else { 5 };
        let pace = match self.pace {
            Pace::Quick => QUICK,
            Pace::AsHostsAre => "",
            Pace::Counting => FIXED,
        };
        format!(
            "console=ttyS0 lsm={} panic=-1 quiet loglevel={level} {pace} {}",
            self.lsm, self.append
        )
    }

    fn watch(&self, child: &mut Child, each: &mut dyn FnMut(&Line)) -> Result<Ending> {
        let mut guest = Tail::new(&self.guest_log());
        let mut console = Tail::new(&self.console_log());
        let started = Instant::now();
        let mut heard = started;
        let mut crash: Option<(String, Instant)> = None;
        let mut done = None;
        loop {
            let exited = child.try_wait()?.is_some();
            for line in guest.lines()? {
                heard = Instant::now();
                let Some(line) = Line::parse(&line) else {
                    continue;
                };
                if line == Line::Done {
                    done = Some(heard);
                }
                each(&line);
            }
            for line in console.lines()? {
                if crash.is_none() && console::marker(&line).is_some() {
                    crash = Some((line, Instant::now()));
                }
            }
            if let Some((line, at)) = &crash {
                if exited || at.elapsed() > CRASH_GRACE {
                    return Ok(Ending::Crashed(line.trim().to_owned()));
                }
            } else if exited {
                return Ok(if done.is_some() {
                    Ending::Done
                } else {
                    Ending::Exited
                });
            } else if let Some(at) = done {
                if !self.interactive && at.elapsed() > POWER_OFF {
                    return Ok(Ending::Done);
                }
            } else if heard.elapsed() > self.limits.silence {
                return Ok(Ending::Silent(self.limits.silence));
            } else if started.elapsed() > self.limits.overall {
                return Ok(Ending::Overtime(self.limits.overall));
            }
            std::thread::sleep(TICK);
        }
    }

    /// The end of the console, for a report of a crash or a silence.
    pub fn console_end(&self, lines: usize) -> String {
        let bytes = std::fs::read(self.console_log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<_> = text.lines().collect();
        let end = all[all.len().saturating_sub(lines)..].join("\n");
        end.chars()
            .filter(|c| *c == '\n' || !c.is_control())
            .collect()
    }
}

/// With a longer one the guest never begins, and nothing says why.
fn fits(command_line: &str) -> Result<()> {
    ensure!(
        command_line.len() <= COMMAND_LINE_MAX,
        "the kernel takes {COMMAND_LINE_MAX} bytes of command line, and this run needs {}; \
         name fewer scenarios, or none to run them all",
        command_line.len()
    );
    Ok(())
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => write!(f, "done"),
            Self::Crashed(line) => write!(f, "the guest kernel reported: {line}"),
            Self::Silent(limit) => write!(f, "the guest said nothing for {} s", limit.as_secs()),
            Self::Overtime(limit) => {
                write!(f, "the guest was not done after {} s", limit.as_secs())
            }
            Self::Exited => write!(f, "the guest went away before it was done"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_words_than_the_kernel_takes_are_refused_with_a_remedy() {
        let refused = fits(&"x".repeat(COMMAND_LINE_MAX + 1)).unwrap_err();
        assert!(
            refused.to_string().contains("name fewer scenarios"),
            "{refused}"
        );
        assert!(fits(&"x".repeat(COMMAND_LINE_MAX)).is_ok());
    }
}
