//! Which rustc compiles for the kernel: Debian's `rustc-web`, or a rustup tool chain with `rust-src`.
//!
//! Never installs anything (that is `setup`); the user-space compiler is not this module's business.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{paths, run};

/// The kernel program's target.
pub const TARGET: &str = "bpfel-unknown-none";
/// LLVM major version of the bpf-linker feature that we build.
pub const LLVM_MAJOR: u32 = 22;

/// A compiler that can build for [`TARGET`].
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The rustc to put into `RUSTC`.
    pub rustc: PathBuf,
    /// `core` has to be built from `rust-src` (no prebuilt library for the target).
    pub build_std: bool,
    /// The libLLVM that this rustc itself uses: the linker must be able to read its bitcode.
    pub llvm: PathBuf,
    /// `rustc 1.96.0 …, LLVM 22.1.8`.
    pub version: String,
}

impl Compiler {
    /// The first usable candidate: `STAYHAND_BPF_RUSTC`, the system's rustc, rustup's tool chains.
    pub fn find() -> Result<Self> {
        if let Some(rustc) = std::env::var_os("STAYHAND_BPF_RUSTC") {
            return Self::probe(Path::new(&rustc));
        }
        let mut reasons = Vec::new();
        for rustc in candidates() {
            match Self::probe(&rustc) {
                Ok(found) => return Ok(found),
                Err(e) => reasons.push(format!("  `{}`: {e:#}", rustc.display())),
            }
        }
        bail!("no compiler for {TARGET}:\n{}", reasons.join("\n"))
    }

    fn probe(rustc: &Path) -> Result<Self> {
        let text = run::output(plain(rustc).arg("-vV"))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|l| l.strip_prefix(name))
                .map(str::trim)
        };
        let llvm_version = field("LLVM version:").context("`rustc -vV` names no LLVM version")?;
        let major: u32 = llvm_version
            .split('.')
            .next()
            .and_then(|m| m.parse().ok())
            .unwrap_or(0);
        if major != LLVM_MAJOR {
            bail!(
                "it uses LLVM {llvm_version}, but bpf-linker is built for LLVM {LLVM_MAJOR}; see docs/toolchain.md"
            );
        }
        let sysroot = PathBuf::from(run::output(plain(rustc).args(["--print", "sysroot"]))?.trim());
        let rustlib = sysroot.join("lib/rustlib");
        let prebuilt = rustlib.join(TARGET).is_dir();
        if !prebuilt && !rustlib.join("src/rust/library/core/Cargo.toml").is_file() {
            bail!(
                "neither a library for {TARGET} nor `rust-src` below `{}`",
                rustlib.display()
            );
        }
        // "rustc 1.96.0 (ac68faa20 2026-05-25)": the first two words say it.
        let name: Vec<_> = text.split_whitespace().take(2).collect();
        let version = format!("{}, LLVM {llvm_version}", name.join(" "));
        Ok(Self {
            rustc: rustc.to_owned(),
            build_std: !prebuilt,
            llvm: lib_llvm(rustc, &sysroot)?,
            version,
        })
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut list = vec![PathBuf::from("/usr/bin/rustc")];
    let rustup = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|h| h.join(".rustup")));
    if let Some(chains) = rustup.and_then(|r| std::fs::read_dir(r.join("toolchains")).ok()) {
        let mut found: Vec<_> = chains
            .filter_map(|e| Some(e.ok()?.path().join("bin/rustc")))
            .collect();
        found.sort();
        list.extend(found);
    }
    list.retain(|p| p.is_file());
    list
}

/// rustc without the environment that `cargo run` leaves behind.
fn plain(rustc: &Path) -> Command {
    let mut cmd = Command::new(rustc);
    cmd.env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("LD_LIBRARY_PATH");
    cmd
}

/// The very libLLVM that rustc loads: as its dynamic linker resolves it, else the one in the sysroot.
fn lib_llvm(rustc: &Path, sysroot: &Path) -> Result<PathBuf> {
    let ldd = run::output(Command::new("ldd").arg(rustc)).unwrap_or_default();
    let resolved = ldd
        .lines()
        .filter(|l| l.trim().starts_with("libLLVM"))
        .find_map(|l| {
            Some(PathBuf::from(
                l.split("=> ").nth(1)?.split(" (").next()?.trim(),
            ))
        });
    if let Some(path) = resolved.filter(|p| p.is_file()) {
        return Ok(path);
    }
    std::fs::read_dir(sysroot.join("lib"))?
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|p| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("libLLVM"))
        })
        .with_context(|| {
            format!(
                "no libLLVM for `{}`: it may be linked statically",
                rustc.display()
            )
        })
}

/// Where `setup` puts the linker.
pub fn linker() -> Result<PathBuf> {
    Ok(paths::cache()?.join("bin/bpf-linker"))
}
