//! What the kernel's command line asks of this guest: `stayhand.mode`, `stayhand.scenarios`, `stayhand.boot`,
//! `stayhand.keep`, `stayhand.share`. (`stayhand.seed` is read by the scenarios that draw lots.)
//!
//! Unknown words are other programs' business and ignored; an unknown mode is an error.

use anyhow::{Context, Result, bail};

use crate::scenario::Boot;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Run scenarios
    Suite,
    /// Play the story
    Demo,
    /// Give a root shell
    Shell,
    /// Measure
    Bench,
    /// Measure calls that ask about a fact
    BenchFacts,
}

/// Everything that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// What to do
    pub mode: Mode,
    /// Only these scenarios; all if empty
    pub scenarios: Vec<String>,
    /// How this machine was started; scenarios of another kind are not for it
    pub boot: Boot,
    /// Give a shell afterwards
    pub keep: bool,
    /// Which part of the scenarios that one kernel is enough for, of how many: all of them if nothing is said
    pub share: (usize, usize),
}

impl Wishes {
    /// Reads this machine's command line.
    pub fn read() -> Result<Self> {
        let text = std::fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut wishes = Self {
            mode: Mode::Suite,
            scenarios: Vec::new(),
            boot: Boot::Usual,
            keep: false,
            share: (0, 1),
        };
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("stayhand.mode", mode)) => wishes.mode = mode_named(mode)?,
                Some(("stayhand.scenarios", names)) => {
                    wishes.scenarios = names
                        .split(',')
                        .filter(|name| !name.is_empty())
                        .map(str::to_owned)
                        .collect();
                }
                Some(("stayhand.boot", word)) => {
                    wishes.boot = Boot::named(word)
                        .with_context(|| format!("unknown stayhand.boot `{word}`"))?;
                }
                Some(("stayhand.keep", value)) => wishes.keep = value == "1",
                Some(("stayhand.share", value)) => wishes.share = share(value)?,
                _ => {}
            }
        }
        Ok(wishes)
    }
}

/// `1/3`: the second of three parts.
fn share(value: &str) -> Result<(usize, usize)> {
    let parts = value
        .split_once('/')
        .map(|(part, of)| (part.parse(), of.parse()));
    match parts {
        Some((Ok(part), Ok(of))) if part < of => Ok((part, of)),
        _ => bail!("stayhand.share is `{value}`, not like `0/2`"),
    }
}

fn mode_named(name: &str) -> Result<Mode> {
    Ok(match name {
        "suite" => Mode::Suite,
        "demo" => Mode::Demo,
        "shell" => Mode::Shell,
        "bench" => Mode::Bench,
        "bench-facts" => Mode::BenchFacts,
        other => {
            bail!("unknown stayhand.mode `{other}`; use suite, demo, shell, bench or bench-facts")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_mode_is_an_error_and_not_a_green_run() {
        assert!(Wishes::parse("quiet stayhand.mode=suit").is_err());
        assert!(Wishes::parse("quiet stayhand.boot=without").is_err());
        for share in ["2/2", "1", "x/2", "0/0"] {
            assert!(
                Wishes::parse(&format!("stayhand.share={share}")).is_err(),
                "{share}"
            );
        }
    }

    #[test]
    fn scenarios_are_a_list_and_none_means_all() {
        let wishes = Wishes::parse(
            "console=ttyS0 stayhand.mode=suite stayhand.scenarios=a,b stayhand.keep=1",
        )
        .unwrap();
        assert_eq!(wishes.scenarios, ["a", "b"]);
        assert!(wishes.keep);
        assert!(
            Wishes::parse("stayhand.mode=demo")
                .unwrap()
                .scenarios
                .is_empty()
        );
    }
}
