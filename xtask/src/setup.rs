//! `setup`: everything that a build and a guest need, one line per step. Idempotent; without network when warm.
//!
//! Installs packages only on Debian 12 as root. Elsewhere it says exactly what is missing and fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::compiler::Compiler;
use crate::host::{Host, SUITE};
use crate::kernels::{Kernel, Series};
use crate::rootfs::{base, programs};
use crate::{linker, paths, run};

/// Debian's compiler with the prebuilt BPF library; one call, so that versions agree.
const COMPILER_PACKAGES: [&str; 4] = [
    "rustc-web",
    "libstd-rust-web-dev",
    "libstd-rust-web-dev-bpf",
    "libllvm22",
];
/// The emulator package.
const EMULATOR_PACKAGE: &str = "qemu-system-x86";
/// What it is called elsewhere, as far as we know; nobody runs the suite there regularly.
const EMULATOR_ELSEWHERE: [(&str, &str); 5] = [
    ("Debian 13", "apt-get install qemu-system-x86"),
    ("Ubuntu", "apt-get install qemu-system-x86"),
    ("Fedora", "dnf install qemu-system-x86-core"),
    ("Arch", "pacman -S qemu-system-x86"),
    ("openSUSE", "zypper install qemu-x86"),
];
/// 7.2 crashed guests with `-cpu max`; 10 does not.
const EMULATOR_MAJOR: u32 = 10;
/// The emulator's program.
pub const EMULATOR: &str = "qemu-system-x86_64";

/// What a guest run needs, from the cache.
pub struct Ready {
    /// Base archive of the guest.
    pub base: PathBuf,
    /// One kernel per series.
    pub kernels: Vec<Kernel>,
}

impl Ready {
    /// The first kernel: the one, where one was asked for.
    pub fn kernel(&self) -> Result<&Kernel> {
        self.kernels.first().context("no guest kernel")
    }
}

/// How much `setup` says and does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Look for newer kernels and guest packages.
    pub refresh: bool,
    /// Say nothing about steps that had nothing to do.
    pub quiet: bool,
}

/// Only what `build` needs: compiler and linker.
pub fn build_tools() -> Result<()> {
    Setup::new(Options {
        quiet: true,
        ..Options::default()
    })
    .compiler()
}

/// For the verbs that boot guests: the same, silent where there is nothing to do.
pub fn ready(series: &[Series]) -> Result<Ready> {
    run(
        series,
        Options {
            quiet: true,
            ..Options::default()
        },
    )
}

/// Programs for honest work (`rootfs::programs`): larger than all the rest, so only for who boots them.
pub fn programs(base: &Path) -> Result<PathBuf> {
    Setup::new(Options {
        quiet: true,
        ..Options::default()
    })
    .guest_programs(base)
}

/// Runs all steps, for these kernels.
pub fn run(series: &[Series], options: Options) -> Result<Ready> {
    let mut setup = Setup::new(options);
    setup.possible(&[Part::Compiler, Part::Emulator, Part::Guests], series)?;
    setup.compiler()?;
    setup.emulator()?;
    let kernels = series
        .iter()
        .map(|s| setup.kernel(s))
        .collect::<Result<_>>()?;
    let base = setup.guest_base()?;
    if !options.quiet {
        setup.guest_programs(&base)?;
    }
    Ok(Ready { base, kernels })
}

struct Setup {
    host: Host,
    apt: Option<Apt>,
    options: Options,
}

impl Setup {
    fn new(options: Options) -> Self {
        Self {
            host: Host::detect(),
            apt: None,
            options,
        }
    }

    fn compiler(&mut self) -> Result<()> {
        self.possible(&[Part::Compiler], &[])?;
        if Compiler::find().is_err() {
            self.install("BPF compiler", &COMPILER_PACKAGES, None)?;
        }
        let compiler = Compiler::find()?;
        self.say("BPF compiler", &compiler.version);
        if !linker::is_ready(&compiler) {
            linker::install(&compiler)?;
            if !linker::is_ready(&compiler) {
                bail!(
                    "bpf-linker was built but does not start with the compiler's libLLVM; see docs/toolchain.md"
                );
            }
        }
        self.say("bpf-linker", linker::VERSION);
        Ok(())
    }

    fn emulator(&mut self) -> Result<()> {
        if emulator_version().is_err() {
            let backports = format!("{SUITE}-backports");
            self.install("emulator", &[EMULATOR_PACKAGE], Some(&backports))?;
        }
        let version = emulator_version()?;
        self.say("emulator", &format!("QEMU {version}"));
        Ok(())
    }

    fn kernel(&mut self, series: &Series) -> Result<Kernel> {
        let what = format!("guest kernel {}", series.name);
        let cached = if self.options.refresh {
            None
        } else {
            series.cached()?
        };
        let kernel = match cached {
            Some(kernel) => kernel,
            None if series.is_tested() => series.fetch(self.archive(&what)?)?,
            None => {
                self.archive(&what)?;
                let newer = Apt::newer_kernels()?;
                newer.update()?;
                series.fetch(&newer)?
            }
        };
        self.say(&what, &kernel.release);
        Ok(kernel)
    }

    fn guest_base(&mut self) -> Result<PathBuf> {
        let cached = if self.options.refresh {
            None
        } else {
            base::cached()?
        };
        let file = match cached {
            Some(file) => file,
            None => base::make(self.archive("guest packages")?)?,
        };
        let size = file.metadata()?.len() >> 20;
        self.say("guest base", &format!("{size} MiB"));
        Ok(file)
    }

    fn guest_programs(&mut self, base: &Path) -> Result<PathBuf> {
        let cached = if self.options.refresh {
            None
        } else {
            programs::cached()?
        };
        let file = match cached {
            Some(file) => file,
            None => programs::make(self.archive("guest programs")?, base)?,
        };
        let size = file.metadata()?.len() >> 20;
        self.say("guest programs", &format!("{size} MiB"));
        Ok(file)
    }

    /// What `setup` would have to install here, and may not. Nothing where it may.
    fn missing(&self, parts: &[Part], series: &[Series]) -> Vec<Missing> {
        let debian = self.host.is_supported_debian();
        if debian && self.host.root {
            return Vec::new();
        }
        let lacks = |part: &Part| {
            let found = match part {
                Part::Compiler => Compiler::find().map(drop),
                Part::Emulator => emulator_version().map(drop),
                // Downloads need no root.
                Part::Guests if debian => Ok(()),
                Part::Guests => guests_cached(series),
            };
            found.err().map(|error| Missing {
                part: *part,
                why: format!("{error:#}"),
            })
        };
        parts.iter().filter_map(lacks).collect()
    }

    /// Ends with everything that a person has to do, before anything else is tried.
    fn possible(&self, parts: &[Part], series: &[Series]) -> Result<()> {
        let missing = self.missing(parts, series);
        if missing.is_empty() {
            return Ok(());
        }
        let line = Apt::backports_line();
        bail!("{}", advice(&self.host, &missing, line.as_deref()))
    }

    /// Installs host packages.
    fn install(&mut self, what: &str, packages: &[&str], release: Option<&str>) -> Result<()> {
        let label = format!("setup  {what}");
        println!("{label}: installing {}", packages.join(", "));
        self.archive(what)?.install(&label, packages, release)
    }

    /// The private archive view, its lists fetched once per run.
    fn archive(&mut self, what: &str) -> Result<&Apt> {
        if !self.host.is_supported_debian() {
            bail!(
                "{what} comes from Debian's archive, and this is not Debian 12 ({SUITE}); see docs/toolchain.md"
            );
        }
        if self.apt.is_none() {
            let apt = Apt::open()?;
            apt.update()
                .context("no package lists; `setup` needs the network once")?;
            self.say("package lists", "fetched");
            self.apt = Some(apt);
        }
        self.apt.as_ref().context("no view of the archive")
    }

    fn say(&self, step: &str, state: &str) {
        if !self.options.quiet || self.apt.is_some() {
            println!("setup  {step}: {state}");
        }
    }
}

/// Something that this machine lacks and `setup` may not install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Compiler,
    Emulator,
    Guests,
}

/// One of them, and what was found instead.
struct Missing {
    part: Part,
    why: String,
}

/// Everything that a person has to do where `setup` cannot, at once: whoever has no root asks for it only once.
fn advice(host: &Host, missing: &[Missing], backports_line: Option<&str>) -> String {
    let mut lines = vec!["this machine lacks:".to_owned()];
    for one in missing {
        let what = match one.part {
            Part::Compiler => "a compiler for the kernel program",
            Part::Emulator => "the emulator",
            Part::Guests => "guest kernels and packages",
        };
        lines.push(format!("  {what}: {}", one.why));
    }
    let lacks = |part: Part| missing.iter().any(|one| one.part == part);
    if host.is_supported_debian() {
        lines.push("As root:".to_owned());
        let install = "  apt-get install --no-install-recommends";
        if lacks(Part::Emulator)
            && let Some(line) = backports_line
        {
            let file = format!("/etc/apt/sources.list.d/{SUITE}-backports.list");
            lines.push(format!("  echo '{line}' > {file}"));
        }
        lines.push("  apt-get update".to_owned());
        if lacks(Part::Compiler) {
            lines.push(format!("{install} {}", COMPILER_PACKAGES.join(" ")));
        }
        if lacks(Part::Emulator) {
            lines.push(format!("{install} -t {SUITE}-backports {EMULATOR_PACKAGE}"));
        }
        return lines.join("\n");
    }
    lines.push("Install by hand:".to_owned());
    if lacks(Part::Compiler) {
        lines.push(format!(
            "  a rustc with LLVM {}, with its `core` as source: rustup component add rust-src",
            crate::compiler::LLVM_MAJOR
        ));
    }
    if lacks(Part::Emulator) {
        lines.push(format!("  QEMU {EMULATOR_MAJOR} or newer ({EMULATOR}):"));
        let known = EMULATOR_ELSEWHERE.iter();
        lines.extend(known.map(|(system, command)| format!("    {system}: {command}")));
    }
    if lacks(Part::Guests) {
        let cache = paths::cache().map(|cache| cache.display().to_string());
        lines.push(format!(
            "  guests: run `cargo xtask setup` on a Debian 12 machine or in a container, and copy its cache directory to \
             `{}`",
            cache.unwrap_or_default()
        ));
    }
    lines.push("See docs/toolchain.md.".to_owned());
    lines.join("\n")
}

fn guests_cached(series: &[Series]) -> Result<()> {
    for one in series {
        if one.cached()?.is_none() {
            bail!("no kernel {} in the cache", one.name);
        }
    }
    base::cached()?.context("no guest base in the cache")?;
    programs::cached()?
        .map(drop)
        .context("no guest programs in the cache")
}

/// The emulator's version, if it is new enough.
fn emulator_version() -> Result<String> {
    let text = run::output(Command::new(EMULATOR).arg("--version"))?;
    let version = text
        .split_whitespace()
        .nth(3)
        .context("QEMU does not say its version")?
        .to_owned();
    let major: u32 = version
        .split('.')
        .next()
        .and_then(|m| m.parse().ok())
        .unwrap_or(0);
    if major < EMULATOR_MAJOR {
        bail!("QEMU {version} is too old: {EMULATOR_MAJOR} or newer is needed");
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(debian: Option<&str>) -> Host {
        Host {
            debian: debian.map(str::to_owned),
            root: false,
        }
    }

    fn lacking(parts: &[Part]) -> Vec<Missing> {
        let one = |part: &Part| Missing {
            part: *part,
            why: "not found".into(),
        };
        parts.iter().map(one).collect()
    }

    #[test]
    fn everything_that_is_missing_is_said_at_once_with_what_to_type() {
        let missing = lacking(&[Part::Compiler, Part::Emulator]);
        let text = advice(&host(Some(SUITE)), &missing, Some("deb mirror:/m x main"));
        for wanted in [
            "a compiler for the kernel program: not found",
            "the emulator: not found",
            "echo 'deb mirror:/m x main' > /etc/apt/sources.list.d/bookworm-backports.list",
            "apt-get install --no-install-recommends rustc-web",
            "-t bookworm-backports qemu-system-x86",
        ] {
            assert!(text.contains(wanted), "no `{wanted}` in:\n{text}");
        }
        let source = text.find("echo").unwrap();
        let update = text.find("apt-get update").unwrap();
        assert!(source < update, "{text}");
    }

    #[test]
    fn what_is_there_is_not_asked_for() {
        let compiler = lacking(&[Part::Compiler]);
        let text = advice(&host(Some(SUITE)), &compiler, Some("deb mirror:/m x main"));
        assert!(!text.contains("qemu") && !text.contains("echo"), "{text}");
        let configured = advice(&host(Some(SUITE)), &lacking(&[Part::Emulator]), None);
        assert!(!configured.contains("echo"), "{configured}");
    }

    #[test]
    fn other_systems_get_the_names_that_we_know() {
        let all = lacking(&[Part::Compiler, Part::Emulator, Part::Guests]);
        let text = advice(&host(None), &all, None);
        for wanted in ["rust-src", "dnf install", "pacman -S", "cache directory"] {
            assert!(text.contains(wanted), "no `{wanted}` in:\n{text}");
        }
        assert!(!text.contains("As root:"), "{text}");
    }
}
