//! `build`: the kernel object with the BPF compiler, then user space with the workspace's own.
//!
//! Two target directories, because the compilers differ. Nothing built here lands outside `target/`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSymbol};

use crate::compiler::{self, Compiler, TARGET};
use crate::{paths, run};

/// Package and binary of the kernel program.
const EBPF_PACKAGE: &str = "stayhand-agent-ebpf";
const EBPF_BIN: &str = "stayhand-hooks";
/// User-space packages with binaries for the guest.
const PACKAGES: [&str; 4] = [
    "stayhand-cli",
    "stayhand-agent",
    "stayhand-control",
    "stayhand-tests",
];
/// `aya-ebpf` reads the architecture from a cfg; line info feeds the verifier's log; BTF is required by maps. Left to
/// itself the linker has every copy and every zeroed structure done by a loop over bytes, which the verifier walks
/// through byte by byte and the processor with it.
const FLAGS: &str = concat!(
    "--cfg=bpf_target_arch=\"x86_64\"",
    "\x1f-Cdebuginfo=2",
    "\x1f-Clink-arg=--btf",
    "\x1f-Clink-arg=--disable-expand-memcpy-in-order"
);

/// Kinds of kernel object. All are built in one target directory, so that what they depend on is built once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// What is shipped
    Plain,
    /// With hook tracing: never shipped, and never in a guest
    Traced,
    /// With delays inside a hold: never shipped; guests load it for one scenario
    Delayed,
}

impl Flavour {
    fn feature(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Traced => Some("trace"),
            Self::Delayed => Some("delays"),
        }
    }

    /// The built object. Cargo's own place for it has whichever was built last.
    pub fn path(self) -> PathBuf {
        let directory = paths::bpf_target().join("objects");
        directory
            .join(self.feature().unwrap_or("plain"))
            .join(EBPF_BIN)
    }
}

/// With which features of its dependencies user space is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// As it is shipped
    Shipped,
    /// As `cargo test` builds it: tests ask for more features of a few packages, and everything above those would be built twice,
    /// which takes minutes. None of these features changes what our programs do. Linted while it is built, for the same reason.
    Tests,
}

/// Builds everything that a guest needs.
pub fn all(features: Features) -> Result<()> {
    objects()?;
    user_space(features)
}

/// Builds both objects that guests load.
pub fn objects() -> Result<()> {
    object(Flavour::Plain)?;
    object(Flavour::Delayed)
}

/// Whether the one with hook tracing would compile; the linker, which takes a minute, is left out.
pub fn check_traced() -> Result<()> {
    let compiler = Compiler::find().context("run `cargo xtask setup`")?;
    let mut cmd = for_kernel("check", &compiler, Flavour::Traced)?;
    print_warnings(&run::watched(
        "check  hook tracing",
        &mut cmd,
        run::cargo_view,
    )?);
    Ok(())
}

/// Cargo for the kernel program.
fn for_kernel(verb: &str, compiler: &Compiler, flavour: Flavour) -> Result<Command> {
    let mut cmd = run::cargo();
    cmd.args([
        verb,
        "--release",
        "--target",
        TARGET,
        "-p",
        EBPF_PACKAGE,
        "--bin",
        EBPF_BIN,
    ]);
    cmd.args(flavour.feature().map(|one| format!("--features={one}")));
    if compiler.build_std {
        cmd.args(["-Z", "build-std=core"]);
    }
    cmd.arg("--target-dir")
        .arg(paths::bpf_target())
        .env("RUSTC", &compiler.rustc)
        // aya-ebpf uses an unstable feature on this target; the compiler is a released one.
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER",
            compiler::linker()?,
        )
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS)
        // rustup's libraries must not be loaded into another compiler.
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET");
    Ok(cmd)
}

/// Builds a kernel object and checks it.
pub fn object(flavour: Flavour) -> Result<()> {
    let started = Instant::now();
    let compiler = Compiler::find().context("run `cargo xtask setup`")?;
    let mut cmd = for_kernel("build", &compiler, flavour)?;
    let output = run::watched("build  kernel object", &mut cmd, run::cargo_view)?;
    print_warnings(&output);
    let built = paths::bpf_target()
        .join(TARGET)
        .join("release")
        .join(EBPF_BIN);
    let data = std::fs::read(&built).context("the kernel object is missing after its build")?;
    let size = check_object(&data)?;
    let path = flavour.path();
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&path, data).with_context(|| format!("cannot write `{}`", path.display()))?;
    println!(
        "build  kernel object: {} KiB, {} s ({})",
        size / 1024,
        started.elapsed().as_secs(),
        compiler.version
    );
    Ok(())
}

/// Builds the user-space binaries.
pub fn user_space(features: Features) -> Result<()> {
    let started = Instant::now();
    let mut cmd = match features {
        Features::Shipped => run::cargo(),
        Features::Tests => run::cargo_linting(),
    };
    cmd.arg("build");
    match features {
        Features::Shipped => {
            for package in PACKAGES {
                cmd.args(["-p", package]);
            }
        }
        Features::Tests => {
            cmd.args(["--workspace", "--bins", "--tests"]);
        }
    }
    let output = run::watched("build  user space", &mut cmd, run::cargo_view)?;
    print_warnings(&output);
    println!(
        "build  user space: {} packages, {} s",
        PACKAGES.len(),
        started.elapsed().as_secs()
    );
    Ok(())
}

/// Cargo's summaries; the warnings themselves are in `cargo build`'s own output.
fn print_warnings(output: &[String]) {
    for line in output.iter().filter(|l| l.starts_with("warning: `")) {
        println!("build  {line}");
    }
}

/// A symbol of the panic machinery means a reachable panic: the kernel would refuse the program at load.
fn check_object(data: &[u8]) -> Result<usize> {
    let file = object::File::parse(data).context("the kernel object is no ELF file")?;
    let panics: Vec<_> = file
        .symbols()
        .filter_map(|s| s.name().ok())
        .filter(|n| n.contains("panic"))
        .collect();
    if !panics.is_empty() {
        bail!(
            "the kernel object can panic ({}): find the index, division or unwrap behind it",
            panics.join(", ")
        );
    }
    let has = |prefix: &str| file.section_by_name(prefix).is_some();
    if !has(".BTF") || !has("license") {
        bail!("the kernel object lacks its `.BTF` or `license` section");
    }
    Ok(data.len())
}
