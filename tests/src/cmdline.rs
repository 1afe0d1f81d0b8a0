//! What the kernel's command line asks of this guest: `stayhand.mode`, `stayhand.scenarios`, `stayhand.boot`,
//! `stayhand.keep`.
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
                _ => {}
            }
        }
        Ok(wishes)
    }
}

fn mode_named(name: &str) -> Result<Mode> {
    Ok(match name {
        "suite" => Mode::Suite,
        "demo" => Mode::Demo,
        "shell" => Mode::Shell,
        "bench" => Mode::Bench,
        other => bail!("unknown stayhand.mode `{other}`; use suite, demo, shell or bench"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_mode_is_an_error_and_not_a_green_run() {
        assert!(Wishes::parse("quiet stayhand.mode=suit").is_err());
        assert!(Wishes::parse("quiet stayhand.boot=without").is_err());
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
