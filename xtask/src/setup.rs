//! `setup`: everything that a build and a guest need, one line per step. Idempotent; without network when warm.
//!
//! Installs packages only on Debian 12 as root. Elsewhere it says exactly what is missing and fails.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt::Apt;
use crate::compiler::Compiler;
use crate::host::{Host, SUITE};
use crate::kernels::{Kernel, Series};
use crate::rootfs::base;
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

/// Runs all steps, for these kernels.
pub fn run(series: &[Series], options: Options) -> Result<Ready> {
    let mut setup = Setup::new(options);
    setup.compiler()?;
    setup.emulator()?;
    let kernels = series
        .iter()
        .map(|s| setup.kernel(s))
        .collect::<Result<_>>()?;
    let base = setup.guest_base()?;
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
        if let Err(reason) = Compiler::find() {
            self.install("BPF compiler", &COMPILER_PACKAGES, None, &reason)?;
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
        if let Err(reason) = emulator_version() {
            self.install(
                "emulator",
                &[EMULATOR_PACKAGE],
                Some(&format!("{SUITE}-backports")),
                &reason,
            )?;
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

    /// Installs host packages, or says what to install.
    fn install(
        &mut self,
        what: &str,
        packages: &[&str],
        release: Option<&str>,
        reason: &anyhow::Error,
    ) -> Result<()> {
        if !self.host.is_supported_debian() || !self.host.root {
            bail!(
                "{what} is missing: {reason:#}\n{}",
                advice(&self.host, packages, release)
            );
        }
        let label = format!("setup  {what}");
        println!("{label}: installing {}", packages.join(", "));
        self.archive(what)?.install(&label, packages, release)
    }

    /// The private archive view, its lists fetched once per run.
    fn archive(&mut self, what: &str) -> Result<&Apt> {
        if !self.host.is_supported_debian() {
            bail!(
                "{what} comes from Debian's archive, and this is not Debian 12 ({SUITE}).\n{}",
                advice(&self.host, &[], None)
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

/// What a person has to do where `setup` cannot.
fn advice(host: &Host, packages: &[&str], release: Option<&str>) -> String {
    if host.is_supported_debian() {
        let suite = release.map(|r| format!("-t {r} ")).unwrap_or_default();
        return format!(
            "As root: apt-get install --no-install-recommends {suite}{}",
            packages.join(" ")
        );
    }
    format!(
        "Install by hand: QEMU {EMULATOR_MAJOR} or newer ({EMULATOR}); for the kernel program a rustc with LLVM {} and \
         `rustup component add rust-src`.\nGuest kernels and packages need a Debian 12 machine or container; copy its \
         cache directory (here `{}`).\nSee docs/toolchain.md.",
        crate::compiler::LLVM_MAJOR,
        paths::cache()
            .map(|c| c.display().to_string())
            .unwrap_or_default(),
    )
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
