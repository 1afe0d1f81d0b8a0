//! Seeds: many of them in CI, one of them again, and those that found something.

use std::{
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    control,
    mutant::Mutant,
    world::{Summary, World, ram},
};

/// Seeds of a run in CI.
const SEEDS: u64 = 200;

/// An empty store, made once.
fn template() -> &'static PathBuf {
    static TEMPLATE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, file) = TEMPLATE.get_or_init(|| {
        let place = tempfile::tempdir_in(ram()).unwrap();
        let file = runtime().block_on(control::template(place.path().to_owned()));
        (place, file)
    });
    file
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// What one seed comes to; the violation with the story of it.
fn run(seed: u64, mutant: Option<Mutant>, whole: bool) -> Result<Summary, String> {
    let mut world = World::new(seed, template(), mutant);
    world.trace.whole = whole;
    let came = runtime().block_on(async {
        let came = world.run().await;
        if let Some(control) = world.control.take() {
            world.links.clear();
            control.end().await;
        }
        came
    });
    if whole {
        print!("{}", world.trace.text());
    }
    came.map_err(|violation| {
        format!(
            "{}\n{}\nThe last steps of seed {seed} ({} in all):\n{}\nAgain: cargo xtask simulate --seed {seed}",
            violation.0,
            "-".repeat(20),
            world.trace.steps,
            world.trace.text()
        )
    })
}

/// A world and the threads of its store wait for each other all the time, which costs less on one processor.
fn stay_on(processor: usize) {
    let mut set = nix::sched::CpuSet::new();
    let only = set.set(processor);
    let this = nix::unistd::Pid::from_raw(0);
    if let Err(error) = only.and_then(|()| nix::sched::sched_setaffinity(this, &set)) {
        println!("slower: {error}");
    }
}

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_goes_wrong_every_promise_is_kept() {
    if let Some(seed) = given("STAYHAND_SEED") {
        match run(seed, None, true) {
            Ok(summary) => println!("seed {seed}: {summary:?}"),
            Err(story) => panic!("{story}"),
        }
        return;
    }
    let first = given("STAYHAND_FIRST_SEED").unwrap_or(1);
    let count = given("STAYHAND_SEEDS").unwrap_or(SEEDS);
    let (next, begun) = (AtomicU64::new(first), Instant::now());
    let (steps, crashes, permitted) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let work = |thread: usize| -> Option<String> {
        stay_on(thread);
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= first + count {
                return None;
            }
            match run(seed, None, false) {
                Ok(summary) => {
                    steps.fetch_add(summary.steps, Ordering::SeqCst);
                    crashes.fetch_add(summary.crashes, Ordering::SeqCst);
                    permitted.fetch_add(summary.permitted, Ordering::SeqCst);
                }
                Err(story) => return Some(story),
            }
        }
    };
    let stories: Vec<String> = std::thread::scope(|scope| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let work = &work;
        let spawn = |thread| scope.spawn(move || work(thread));
        let threads: Vec<_> = (0..count).map(spawn).collect();
        threads
            .into_iter()
            .filter_map(|one| one.join().unwrap())
            .collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let of = |one: &AtomicU64| one.load(Ordering::SeqCst);
    println!(
        "seeds {first}..{}: {} steps, {} crashes, {} permitted actions in {seconds:.1} s ({:.0} seeds/s)",
        first + count,
        of(&steps),
        of(&crashes),
        of(&permitted),
        count as f64 / seconds
    );
    assert!(stories.is_empty(), "{}", stories.join("\n\n"));
}
