//! A test's hand on a puppet: starts one as somebody, tells it what to do, waits for answers with a bound.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::sys::Ret;
use crate::wait;

/// Who a puppet is.
#[derive(Clone, Copy, Debug)]
pub struct As {
    /// Login uid; none as a daemon has none
    pub login: Option<u32>,
    /// Real, effective and saved uid
    pub uid: u32,
    /// Groups, the first is the primary one
    pub groups: &'static [u32],
}

/// Alice at her login.
pub const ALICE: As = As {
    login: Some(1001),
    uid: 1001,
    groups: &[1001, 2001],
};
/// Alice, who has become root.
pub const ALICE_ROOT: As = As {
    login: Some(1001),
    uid: 0,
    groups: &[0],
};
/// Bob, whom the test policies do not guard.
pub const BOB: As = As {
    login: Some(1002),
    uid: 1002,
    groups: &[1002],
};
/// Erin, who may do what is written and nothing else.
pub const ERIN: As = As {
    login: Some(1005),
    uid: 1005,
    groups: &[1005],
};
/// Frank, who is only watched.
pub const FRANK: As = As {
    login: Some(1006),
    uid: 1006,
    groups: &[1006],
};
/// Root's daemons: nobody's login.
pub const DAEMON: As = As {
    login: None,
    uid: 0,
    groups: &[0],
};
/// Uid 1000 without a login, as in the design's reference figures.
pub const SERVICE: As = As {
    login: None,
    uid: 1000,
    groups: &[1000],
};

/// The id under which a puppet says that it is there.
const READY: &str = "ready";

/// Answers that have come, by id.
#[derive(Default)]
struct Answers {
    come: Mutex<BTreeMap<String, (Ret, String)>>,
    bell: Condvar,
}

/// What became of a race about an argument.
#[derive(Clone, Copy, Debug)]
pub struct Raced {
    /// Executions that were denied
    pub denied: usize,
    /// Programs that were killed before their first instruction
    pub killed: usize,
    /// Programs that ran, with what is free
    pub ran: usize,
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub struct Ticket(String);

impl Ticket {
    /// The ticket under which `swallow` tells how the traced child ended.
    pub fn tracer(&self) -> Self {
        Self(format!("{}.tracer", self.0))
    }
}

/// A running puppet.
pub struct Puppet {
    child: Child,
    input: ChildStdin,
    answers: Arc<Answers>,
    sent: u32,
}

impl Puppet {
    /// Starts one.
    pub fn start(who: As) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["act", "puppet"]).current_dir("/");
        Self::start_by(command, who)
    }

    /// Starts one behind another program: `strace`, `timeout`, `unshare`…
    pub fn start_under(who: As, words: &[&str]) -> Result<Self> {
        let (program, rest) = words.split_first().context("no program")?;
        let mut command = Command::new(program);
        command
            .args(rest)
            .args([&own_path()?, "act", "puppet"])
            .current_dir("/");
        Self::start_by(command, who)
    }

    /// Starts one from a copy of this program: another executable.
    pub fn start_copy(who: As, path: &str) -> Result<Self> {
        let mut command = Command::new(path);
        command.args(["act", "puppet"]).current_dir("/");
        Self::start_by(command, who)
    }

    /// Has it start another one from a copy of this program and wait for that: what is asked from now on is asked of a
    /// child, which has the same input and output.
    pub fn inside(mut self, path: &str) -> Result<Self> {
        lock(&self.answers.come).remove(READY);
        let ticket = self.ask(&format!("exec|fork|{path}|act|puppet"))?;
        self.answer(&Ticket(READY.into()), wait::LONG)
            .with_context(|| format!("no inner puppet: {:?}", self.answered(&ticket)))?;
        Ok(self)
    }

    #[expect(unsafe_code, reason = "the identity is taken on between fork and exec")]
    fn start_by(mut command: Command, who: As) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: only system calls; this program's allocator survives fork.
        unsafe { command.pre_exec(move || become_them(who)) };
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let input = child.stdin.take().context("no pipe")?;
        let output = child.stdout.take().context("no pipe")?;
        let answers = Arc::new(Answers::default());
        let heard = Arc::clone(&answers);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut words = line.splitn(3, '\t');
                let (Some(id), Some(number)) =
                    (words.next(), words.next().and_then(|n| n.parse().ok()))
                else {
                    continue;
                };
                let text = words.next().unwrap_or_default().to_owned();
                lock(&heard.come).insert(id.to_owned(), (number, text));
                heard.bell.notify_all();
            }
        });
        let puppet = Self {
            child,
            input,
            answers,
            sent: 0,
        };
        puppet
            .answer(&Ticket(READY.into()), wait::LONG)
            .context("the puppet does not start")?;
        Ok(puppet)
    }

    /// Has it execute a program, over and over, whose only argument another thread changes meanwhile: see
    /// `programs::race`. That many rounds have to be accounted for, and none may have run with what is forbidden.
    pub fn race(&mut self, program: &str, rounds: usize) -> Result<Raced> {
        let found = self.text(&format!("exec-race|{program}|{rounds}"))?;
        let counts: Vec<usize> = found
            .split(' ')
            .map(|count| count.parse().with_context(|| format!("`{found}`")))
            .collect::<Result<_>>()?;
        let [denied, killed, forbidden, ran] = *counts else {
            bail!("`{found}`")
        };
        ensure!(forbidden == 0, "{forbidden} got the denied argument");
        ensure!(
            denied + killed + ran == rounds,
            "{denied} + {killed} + {ran} of {rounds}"
        );
        Ok(Raced {
            denied,
            killed,
            ran,
        })
    }

    /// Process of the started program (the puppet itself unless it was started under another).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the main thread and does not wait. Words are separated by `|`, which no test's argument contains.
    pub fn ask(&mut self, words: &str) -> Result<Ticket> {
        self.ask_thread(0, words)
    }

    /// Asks a certain thread.
    pub fn ask_thread(&mut self, thread: u32, words: &str) -> Result<Ticket> {
        self.sent += 1;
        let id = self.sent.to_string();
        let line = format!("{id}\t{thread}\t{}\n", words.replace('|', "\t"));
        self.input
            .write_all(line.as_bytes())
            .context("the puppet is gone")?;
        Ok(Ticket(id))
    }

    /// Asks and waits for the answer.
    pub fn tell(&mut self, words: &str) -> Result<Ret> {
        let ticket = self.ask(words)?;
        self.answer(&ticket, wait::SOON)
            .with_context(|| format!("asked `{words}`"))
    }

    /// Asks and waits for the answer's text.
    pub fn text(&mut self, words: &str) -> Result<String> {
        let ticket = self.ask(words)?;
        self.answer(&ticket, wait::SOON)
            .with_context(|| format!("asked `{words}`"))?;
        Ok(self.text_of(&ticket))
    }

    /// The text of an answer that has come.
    pub fn text_of(&self, ticket: &Ticket) -> String {
        lock(&self.answers.come)
            .get(&ticket.0)
            .map_or_else(String::new, |(_, text)| text.clone())
    }

    /// Waits for an answer.
    pub fn answer(&self, ticket: &Ticket, limit: Duration) -> Result<Ret> {
        let started = Instant::now();
        let mut come = lock(&self.answers.come);
        loop {
            if let Some((number, _)) = come.get(&ticket.0) {
                return Ok(*number);
            }
            let Some(left) = limit.checked_sub(started.elapsed()) else {
                bail!("no answer after {} s", limit.as_secs_f32());
            };
            let waited = self.answers.bell.wait_timeout(come, left);
            come = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(guard, _)| guard);
        }
    }

    /// The answer, if it has come.
    pub fn answered(&self, ticket: &Ticket) -> Option<Ret> {
        lock(&self.answers.come)
            .get(&ticket.0)
            .map(|(number, _)| *number)
    }

    /// Waits for the end of the program: exit code, 128 + signal.
    pub fn ended(&mut self, limit: Duration) -> Result<i32> {
        let status = wait::until_ok(limit, "the puppet to end", || Ok(self.child.try_wait()?))?;
        Ok(crate::process::code(status))
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // It may have ended by itself; SIGKILL works on stopped processes.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path of this program: a name in `/proc/self` means something else behind another program.
pub fn own_path() -> Result<String> {
    Ok(std::env::current_exe()?.to_string_lossy().into_owned())
}

/// In the order of PAM: login uid while still root, then groups, then the user.
fn become_them(who: As) -> std::io::Result<()> {
    if let Some(login) = who.login {
        std::fs::write("/proc/self/loginuid", login.to_string())?;
    }
    let groups: Vec<nix::unistd::Gid> = who
        .groups
        .iter()
        .map(|gid| nix::unistd::Gid::from_raw(*gid))
        .collect();
    nix::unistd::setgroups(&groups)?;
    if let Some(primary) = groups.first() {
        nix::unistd::setresgid(*primary, *primary, *primary)?;
    }
    let uid = nix::unistd::Uid::from_raw(who.uid);
    nix::unistd::setresuid(uid, uid, uid)?;
    Ok(())
}
