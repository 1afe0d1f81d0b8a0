//! The host that these scenarios share, and those who open things while a storm goes on.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    actors::{
        board::Board,
        client::{ALICE, Puppet, Ticket},
        rig::empty,
        watch::SECRET_BYTES,
    },
    host::{Config, Host},
    scenario::Ctx,
    wait,
};

/// Where everything is.
pub const ROOT: &str = "/srv/stress";
/// What is restricted now, for everybody to see.
pub const BOARD: &str = "/run/stress-board";
/// Processes of alice that open things.
const WATCHERS: u64 = 2;
/// Directories that are there from the beginning; rules name some of them.
const DIRECTORIES: [&str; 7] = ["free", "denied", "named", "mixed", "vault", "grow", "maybe"];
/// Files that rules name, and one below a directory that a rule names: there when the policy comes, so each is known by
/// its label wherever it goes.
pub const SECRETS: [&str; 4] = ["named/secret", "mixed/secret", "vault/f", "denied/f"];

/// The host.
pub struct Machine {
    /// Its services, all alive
    pub host: Host,
    /// Of this run
    pub seed: u64,
}

/// The policy; `also` is one more directory that it denies.
pub fn policy(also: Option<&str>) -> String {
    let also = also.map_or_else(String::new, |name| format!(", {ROOT}/{name}/**"));
    format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: stress }}\nspec:\n  subjects: {{ users: [alice] }}\n  \
         rules:\n    - {{ id: trees, effect: deny, file: {{ ops: [read, write, create], path: [{ROOT}/denied/**, \
         {ROOT}/vault/**, {ROOT}/grow/secret/**{also}] }} }}\n    - {{ id: files, effect: deny, file: {{ ops: [read, write, \
         create], path: [{ROOT}/named/secret, {ROOT}/mixed/secret] }} }}\n"
    )
}

/// Runs a scenario on the machine of this process; the first one sets it up.
pub fn with(ctx: &mut Ctx, run: impl FnOnce(&mut Ctx, &mut Machine) -> Result<()>) -> Result<()> {
    static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);
    let mut place = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut machine = match place.take() {
        Some(machine) => machine,
        None => start()?,
    };
    ctx.step(format!("seed {}", machine.seed));
    run(ctx, &mut machine).with_context(|| format!("with --seed {}", machine.seed))?;
    *place = Some(machine);
    Ok(())
}

fn start() -> Result<Machine> {
    for name in DIRECTORIES {
        directory(&at(name))?;
    }
    for name in SECRETS {
        secret(&at(name))?;
    }
    file(&at("maybe/f"))?;
    Ok(Machine {
        host: Host::boot(&Config::policy(&policy(None)))?,
        seed: seed()?,
    })
}

/// The one that was asked for, or a new one.
fn seed() -> Result<u64> {
    let words = fs::read_to_string("/proc/cmdline")?;
    let asked = words
        .split_whitespace()
        .find_map(|word| word.strip_prefix("stayhand.seed="));
    Ok(match asked {
        Some(number) => number.parse().context("stayhand.seed is no number")?,
        None => rand::rng().random(),
    })
}

/// A name below [`ROOT`].
pub fn at(name: &str) -> String {
    format!("{ROOT}/{name}")
}

/// A directory for everybody.
pub fn directory(path: &str) -> Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    Ok(())
}

/// A file for everybody, which is nothing by itself.
pub fn file(path: &str) -> Result<()> {
    written(path, "free")
}

/// A file for everybody, which may be reached under no name.
pub fn secret(path: &str) -> Result<()> {
    written(path, &"s".repeat(SECRET_BYTES))
}

fn written(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {path}"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(())
}

/// A name that is opened again and again: its word on the board, the way ([`crate::actors::watch`]), and the path.
pub type Target<'t> = (usize, &'t str, String);

/// Somebody who opens things.
pub struct Watcher {
    /// Who
    pub puppet: Puppet,
    /// Of the watch
    pub watch: Ticket,
    /// Of a storm in another thread, which says how often it came round
    pub storm: Option<Ticket>,
}

/// All of them.
pub struct Watchers(Vec<Watcher>);

/// As words of a `watch`.
pub fn words(seed: u64, targets: &[Target<'_>]) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|(word, way, path)| format!("{word}:{way}:{path}"))
        .collect();
    format!("watch|{BOARD}|{seed}|{}", targets.join("|"))
}

impl Watchers {
    /// Alice, several times.
    fn start(seed: u64, targets: &[Target<'_>]) -> Result<Self> {
        let one = |number| {
            let mut puppet = Puppet::start(ALICE)?;
            Ok(Watcher {
                watch: puppet.ask(&words(seed.wrapping_add(number), targets))?,
                storm: None,
                puppet,
            })
        };
        Ok(Self((0..WATCHERS).map(one).collect::<Result<_>>()?))
    }

    /// One more, who was asked already.
    pub fn join(&mut self, watcher: Watcher) {
        self.0.push(watcher);
    }

    /// Nobody reached what was restricted, and nobody was denied what was free.
    fn end(self, ctx: &Ctx) -> Result<()> {
        let mut broken = Vec::new();
        for one in &self.0 {
            let reached = one.puppet.answer(&one.watch, wait::LONG)?;
            let text = one.puppet.text_of(&one.watch);
            if let Some(storm) = &one.storm {
                let times = one.puppet.answer(storm, wait::LONG)?;
                ensure!(times > 0, "a storm ended with {times}");
                ctx.log(format!("{times} times in another thread"));
            }
            ctx.log(format!("{reached} reached; {text}"));
            if reached != 0 || !text.contains(" refused=0 ") {
                broken.push(format!("{reached} reached; {text}"));
            }
            ensure!(
                !text.starts_with("opened=0 ") && !text.contains(" denied=0 "),
                "this shows nothing: {text}"
            );
        }
        ensure!(broken.is_empty(), "{}", broken.join("; "));
        Ok(())
    }
}

/// Has alice open these names while a storm goes on, and says whether every invariant held.
pub fn stormed(
    ctx: &mut Ctx,
    machine: &mut Machine,
    targets: &[Target<'_>],
    storm: impl FnOnce(&mut Machine, &Board, &mut StdRng, &mut Watchers) -> Result<()>,
) -> Result<()> {
    let board = Board::create(BOARD)?;
    let mut random = StdRng::seed_from_u64(machine.seed);
    let mut watchers = Watchers::start(machine.seed, targets)?;
    let stormed = storm(machine, &board, &mut random, &mut watchers);
    board.stop();
    let ended = watchers.end(ctx);
    empty(&at("free"))?;
    // What was reached says more than why a storm ended.
    ended?;
    stormed
}

/// Up to so many milliseconds, in which others take turns.
pub fn pause(random: &mut StdRng, ms_max: u64) {
    std::thread::sleep(std::time::Duration::from_millis(
        random.random_range(0..=ms_max),
    ));
}
