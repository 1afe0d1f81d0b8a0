//! `test`: the CI tier. Checks, build, `cargo test`, fuzzing, scenarios on every kernel; ends with one line of counts.
//!
//! User space is compiled once, but for the fuzzer: Clippy has its say while it builds what is tested, and what guests need beside
//! that is fetched and built meanwhile, and so is the fuzzer: the end of a build is a few large crates one after the other. The
//! processors are busy from beginning to end, which is what the order is for.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::vm::report::{Counts, Tally};
use crate::{check, compile, fuzz, kernels, provider, run, setup, vm};

/// Lines quoted when cargo fails without a test that failed.
const TAIL_LINES: usize = 60;

/// What a person asked for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// On every kernel, not only the tested ones.
    pub full: bool,
    /// Leave out the guests.
    pub no_vm: bool,
    /// Leave out the checks.
    pub no_check: bool,
}

/// Runs all stages, whatever earlier ones found, and prints what failed and the count as the last lines.
pub fn run(options: Options) -> Result<()> {
    let mut total = Tally::default();
    if !options.no_check {
        total = total.plus(stage("check", || Ok(check::all_but_clippy())));
    }
    let tested = std::thread::scope(|scope| {
        let mut total = Tally::default();
        let ready = (!options.no_vm).then(|| scope.spawn(|| prepared(options.full)));
        if !options.no_check {
            total = total.plus(stage("build", || Ok(check::linted())));
        }
        total = total.plus(stage("cargo test", cargo_test));
        total = total.plus(stage("fuzz", fuzz::in_ci));
        if let Some(ready) = ready {
            let ready = ready
                .join()
                .unwrap_or_else(|_| bail!("the preparation of guests died"));
            total = total.plus(stage("guests", || guests(&ready?, options.full)));
        }
        total
    });
    let total = total.plus(tested);
    for failure in &total.failures {
        println!("FAIL  {failure}");
    }
    println!("{}", total.counts);
    if !total.counts.is_green() {
        bail!("the tree is not green");
    }
    Ok(())
}

/// A stage that cannot run counts as one failure.
fn stage<T: Into<Tally>>(name: &str, what: impl FnOnce() -> Result<T>) -> Tally {
    let started = Instant::now();
    println!("== {name}");
    let tally = what().map_or_else(|e| cannot_run(name, &e), Into::into);
    let seconds = started.elapsed().as_secs();
    println!("== {name}: {} in {seconds} s", tally.counts);
    tally
}

fn cannot_run(name: &str, error: &anyhow::Error) -> Tally {
    println!("{name}: FAIL: {error:#}");
    Tally {
        counts: Counts {
            failed: 1,
            ..Counts::default()
        },
        failures: vec![format!("{name}: {error:#}")],
    }
}

/// What guests need and user space does not: kernels, an emulator, the objects with the compiler for them. And the fuzzer.
fn prepared(full: bool) -> Result<setup::Ready> {
    let ready = setup::ready(&if full {
        kernels::every()
    } else {
        kernels::tested()
    })?;
    compile::objects()?;
    fuzz::built_ahead();
    Ok(ready)
}

fn guests(ready: &setup::Ready, full: bool) -> Result<Tally> {
    compile::user_space(compile::Features::Tests)?;
    vm::suite::run_on(
        ready,
        &vm::suite::Options {
            smp: 2,
            shared: !full,
            ..Default::default()
        },
    )
}

/// `cargo test --workspace` with what plain `cargo test` leaves out for want of the identity provider; its counts added up. The output
/// of a failed target is shown whole.
fn cargo_test() -> Result<Tally> {
    let provider = provider::installed()?;
    // One pipe for both streams: the target's name is on one, its result on the other.
    let (read, write) = std::io::pipe()?;
    let mut cmd = run::cargo_linting();
    cmd.args(["test", "--workspace", "--no-fail-fast", "--color=never"])
        .args(["--", "--include-ignored"])
        .env(provider::VARIABLE, provider)
        .stdin(Stdio::null())
        .stdout(write.try_clone()?)
        .stderr(write);
    let mut child = cmd.spawn().context("cannot start cargo")?;
    // The command holds the pipe's writing ends; reading must see its end.
    drop(cmd);
    let mut output = TestOutput::default();
    let mut progress = run::Progress::new("test   cargo");
    for line in BufReader::new(read).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if let Some(what) = run::cargo_view(&line).or_else(|| test_view(&line)) {
            progress.say(what);
            progress.draw();
        }
        output.take(&line, &progress);
    }
    progress.clear();
    let status = child.wait()?;
    if !status.success() && output.tally.counts.failed == 0 {
        let tail = output.pending.len().saturating_sub(TAIL_LINES);
        println!("{}", output.pending[tail..].join("\n"));
        output.tally.counts.failed = 1;
        output.tally.failures.push(format!("cargo test: {status}"));
    }
    Ok(output.tally)
}

/// Reads libtest's output as it comes.
#[derive(Default)]
struct TestOutput {
    tally: Tally,
    target: String,
    pending: Vec<String>,
}

impl TestOutput {
    fn take(&mut self, line: &str, progress: &run::Progress) {
        let trimmed = line.trim();
        if trimmed.starts_with("Running ") || trimmed.starts_with("Doc-tests ") {
            // "Running unittests src/lib.rs (target/debug/deps/name-hash)": the binary names the crate.
            let name = trimmed
                .rsplit('/')
                .next()
                .unwrap_or(trimmed)
                .trim_end_matches(')');
            name.clone_into(&mut self.target);
            self.pending.clear();
        }
        if let Some(test) = failed_test(trimmed) {
            let failure = format!("test {}: {test}", self.target);
            self.tally.failures.push(failure);
        }
        self.pending.push(line.to_owned());
        let Some(counts) = result_line(trimmed) else {
            return;
        };
        progress.clear();
        if counts.failed > 0 {
            println!("{}", self.pending.join("\n"));
        }
        if counts != Counts::default() {
            println!("test   {}: {counts}", self.target);
        }
        self.tally.counts = self.tally.counts.plus(counts);
        self.pending.clear();
    }
}

/// `test some::name ... FAILED`
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// Tests as they end.
fn test_view(line: &str) -> Option<String> {
    (line.starts_with("test ") && line.contains(" ... ")).then(|| line.to_owned())
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
fn result_line(line: &str) -> Option<Counts> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |what: &str| {
        rest.split([';', '.'])
            .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    Some(Counts {
        passed: number("passed")?,
        failed: number("failed")?,
        skipped: number("ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_tests_are_counted_as_skipped() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(
            result_line(line),
            Some(Counts {
                passed: 3,
                failed: 2,
                skipped: 1
            })
        );
    }

    #[test]
    fn results_of_all_targets_are_added_up() {
        let mut output = TestOutput::default();
        let progress = run::Progress::new("t");
        for line in [
            "     Running unittests src/lib.rs (target/debug/deps/one-abc)",
            "test a ... ok",
            "test b::c ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "   Doc-tests two",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            output.take(line, &progress);
        }
        assert_eq!(
            output.tally.counts,
            Counts {
                passed: 3,
                failed: 1,
                skipped: 1
            }
        );
        assert_eq!(output.tally.failures, ["test one-abc: b::c"]);
        assert_eq!(output.target, "Doc-tests two");
    }

    #[test]
    fn a_test_that_prints_a_result_is_not_a_result() {
        assert_eq!(result_line("saw test result: ok. 3 passed"), None);
        assert_eq!(result_line("test result: nonsense"), None);
    }
}
