//! Seeds: many of them in CI, one of them again, and those that found something.

use std::{
    path::PathBuf,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    control,
    mutant::Mutant,
    world::{Summary, World, ram},
};

/// Seeds of a run in CI: eight minutes of two processors.
const SEEDS: u64 = 2_000;

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

/// Runs what `work` says for every seed, on every processor, until one finds something.
fn over(first: u64, count: u64, work: impl Fn(u64) -> Result<(), String> + Sync) -> Vec<String> {
    let next = AtomicU64::new(first);
    let found = AtomicU64::new(0);
    let on = |processor: usize| -> Option<String> {
        stay_on(processor);
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= first + count || found.load(Ordering::SeqCst) != 0 {
                return None;
            }
            if let Err(story) = work(seed) {
                found.fetch_add(1, Ordering::SeqCst);
                return Some(story);
            }
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let spawn = |processor| scope.spawn(move || on(processor));
        let threads: Vec<_> = (0..processors).map(spawn).collect();
        let ended = threads.into_iter().filter_map(|one| one.join().unwrap());
        ended.collect()
    })
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
    let begun = Instant::now();
    let sum = Mutex::new(Summary::default());
    let stories = over(first, count, |seed| {
        let one = run(seed, None, false)?;
        let mut sum = sum.lock().unwrap();
        sum.steps += one.steps;
        sum.crashes += one.crashes;
        sum.permitted += one.permitted;
        Ok(())
    });
    let Summary {
        steps,
        crashes,
        permitted,
        ..
    } = *sum.lock().unwrap();
    let seconds = begun.elapsed().as_secs();
    println!(
        "{count} seeds from {first}: {steps} steps, {crashes} crashes, {permitted} permitted actions, {seconds} s"
    );
    assert!(stories.is_empty(), "{}", stories.join("\n\n"));
    // A world in which nothing happens keeps every promise.
    assert!(
        crashes > count && permitted > count / 2,
        "hardly anything happened"
    );
}

#[test]
fn a_seed_says_everything_that_happens() {
    let stories = over(7_001, 8, |seed| {
        let [first, second] = [run(seed, None, false)?, run(seed, None, false)?];
        if first == second {
            Ok(())
        } else {
            Err(format!("seed {seed} twice: {first:?} and {second:?}"))
        }
    });
    assert!(stories.is_empty(), "{}", stories.join("\n"));
    assert_ne!(run(7_001, None, false), run(7_002, None, false));
}

/// Seeds within which each mutant is to be found: a third of what CI runs.
const MUTANT_SEEDS: u64 = 600;
/// Seeds that are tried first, from the one that found it the last time somebody looked.
const SEEDS_AT_ONCE: u64 = 2;

#[test]
fn every_mutant_is_found_by_the_check_that_is_about_it() {
    for mutant in Mutant::ALL {
        let look = |first, count| {
            over(first, count, |seed| {
                run(seed, Some(mutant), false).map(drop)
            })
        };
        let mut stories = look(mutant.was_found_by(), SEEDS_AT_ONCE);
        if stories.is_empty() {
            stories = look(1, MUTANT_SEEDS);
        }
        let Some(story) = stories.first() else {
            panic!("{mutant:?} is not found in {MUTANT_SEEDS} seeds");
        };
        let violation = story.lines().next().unwrap_or_default();
        let seed = story.split("--seed ").last().unwrap_or_default();
        println!("{mutant:?} by seed {seed}: {violation}");
        let found = stories.iter().any(|story| {
            let said = story.lines().next().unwrap_or_default();
            mutant
                .is_shown_by()
                .iter()
                .any(|words| said.contains(words))
        });
        assert!(found, "{mutant:?} is found as something else: {violation}");
    }
}
