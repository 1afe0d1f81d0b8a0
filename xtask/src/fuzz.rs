//! `fuzz`: policy documents from libFuzzer, which keeps what reaches new code of the parser and what is behind it.
//!
//! Built by the workspace's own compiler with the instrumentation that is part of it (docs/toolchain.md), in a target directory
//! of its own. A document that fails is kept and named; nothing is ever fuzzed outside `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::check::tidy::tree;
use crate::vm::report::Counts;
use crate::{paths, run};

/// What is built.
const PACKAGE: &str = "stayhand-guardrail";
const BIN: &str = "fuzz-policy";
const PROFILE: &str = "fuzz";
/// Given, so that programs that run while it is built (macros, build scripts) are not instrumented.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Counters at every edge, and what comparisons compare.
const FLAGS: &str = concat!(
    "-Cpasses=sancov-module",
    "\x1f-Cllvm-args=-sanitizer-coverage-level=4",
    "\x1f-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "\x1f-Cllvm-args=-sanitizer-coverage-pc-table",
    "\x1f-Cllvm-args=-sanitizer-coverage-trace-compares",
);

/// Documents of a CI run: a count, so that a slow machine tries as many as a fast one; ten seconds of a processor.
const RUNS: u64 = 20_000;
/// Longest document: what is longer is mostly more of the same. Bounds of size have tests of their own.
const BYTES_MAX: usize = 16 << 10;
/// One document that takes this long hangs: the slowest take a tenth of a second.
const HANGS_S: u64 = 20;
/// Far above what the largest of them take.
const MEMORY_MIB: u64 = 1_024;

/// What a person asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// Decides what is tried; libFuzzer chooses and prints one if it is not given.
    pub seed: Option<u32>,
    /// How long, in place of a count.
    pub time: Option<Duration>,
    /// Try only these documents again.
    pub documents: Vec<PathBuf>,
}

/// One run of the CI tier.
pub fn in_ci() -> Result<Counts> {
    if !has_cpp() {
        println!("fuzz   skipped: no C++ compiler (`c++`) on this machine, and libFuzzer is C++");
        return Ok(Counts {
            skipped: 1,
            ..Counts::default()
        });
    }
    policy(&Options::default())?;
    Ok(Counts {
        passed: 1,
        ..Counts::default()
    })
}

/// Builds what [`in_ci`] runs, beside something that leaves processors idle.
pub fn built_ahead() {
    // Not a failure yet: the stage itself builds again, and says what is wrong.
    if has_cpp()
        && let Err(error) = build()
    {
        println!("fuzz   not built ahead: {error:#}");
    }
}

fn has_cpp() -> bool {
    run::output(Command::new("c++").arg("--version")).is_ok()
}

/// Builds the fuzzer and runs it.
pub fn policy(options: &Options) -> Result<()> {
    let program = build()?;
    let home = paths::target().join("fuzz").join("policy");
    let failures = home.join("failures");
    std::fs::create_dir_all(&failures)?;
    let mut cmd = Command::new(program);
    cmd.current_dir(paths::root())
        .arg(format!("-artifact_prefix={}/", failures.display()))
        .arg(format!("-timeout={HANGS_S}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    if options.documents.is_empty() {
        cmd.arg(format!("-max_len={BYTES_MAX}"));
        match options.time {
            Some(time) => cmd.arg(format!("-max_total_time={}", time.as_secs().max(1))),
            None => cmd.arg(format!("-runs={RUNS}")),
        };
        cmd.args(options.seed.map(|seed| format!("-seed={seed}")));
        // A longer run begins with what the ones before it found; a count would be used up by that.
        if options.time.is_some() {
            let kept = home.join("kept");
            std::fs::create_dir_all(&kept)?;
            cmd.arg(kept);
        }
        cmd.arg(seeds(&home.join("seeds"))?);
    } else {
        cmd.args(&options.documents);
    }
    let label = "fuzz   policy";
    let output = match run::watched(label, &mut cmd, progress) {
        Ok(output) => output,
        Err(error) => bail!(
            "{error:#}\nthe document is in `{}`; `cargo xtask fuzz policy FILE` tries it again",
            failures.display()
        ),
    };
    for line in output.iter().filter(|line| is_summary(line)) {
        println!("{label}: {}", line.trim_start_matches("INFO: "));
    }
    Ok(())
}

fn is_summary(line: &str) -> bool {
    line.starts_with("INFO: Seed:") || line.starts_with("Done ") || line.contains("\tDONE ")
}

/// libFuzzer's lines begin with the number of documents so far.
fn progress(line: &str) -> Option<String> {
    line.starts_with('#').then(|| line.replace('\t', " "))
}

fn build() -> Result<PathBuf> {
    let target = paths::target().join("fuzz");
    let mut cmd = run::cargo();
    cmd.args(["build", "--profile", PROFILE, "--target", TARGET])
        .args(["-p", PACKAGE, "--features", "fuzz", "--bin", BIN])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS)
        .env_remove("RUSTFLAGS");
    run::watched("fuzz   build", &mut cmd, run::cargo_view)?;
    Ok(target.join(TARGET).join(PROFILE).join(BIN))
}

/// The tree's own policies, valid or not, in one directory: libFuzzer reads directories without those below them.
fn seeds(directory: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let is_yaml = |path: &String| Path::new(path).extension().is_some_and(|end| end == "yaml");
    for path in tree::files()?.into_iter().filter(is_yaml) {
        let copy = directory.join(path.replace('/', "-"));
        std::fs::copy(paths::root().join(&path), copy).with_context(|| path.clone())?;
    }
    Ok(directory.to_owned())
}

/// `90`, `90s`, `10m`, `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (digits, seconds) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) if text.ends_with('m') => (digits, 60),
        Some(digits) if text.ends_with('h') => (digits, 3_600),
        Some(digits) => (digits, 1),
        None => (text, 1),
    };
    let number: u32 = digits
        .parse()
        .map_err(|_| format!("`{text}` is no duration; write `90s`, `10m` or `2h`"))?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7_200)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "m", "-1s", "1d", "1.5m", "5000000000"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_told_at_the_end_is_the_seed_and_the_counts() {
        let lines = [
            "INFO: Seed: 42",
            "INFO: Loaded 1 modules",
            "#20000\tDONE   cov: 1 ft: 2",
            "Done 20000 runs in 9 second(s)",
            "\"x\" # Uses: 3",
        ];
        let told: Vec<bool> = lines.iter().map(|line| is_summary(line)).collect();
        assert_eq!(told, [true, false, true, true, false]);
        assert!(progress(lines[2]).is_some() && progress(lines[3]).is_none());
    }
}
