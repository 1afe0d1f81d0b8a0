//! Builds bpf-linker against the compiler's own libLLVM, into the cache.
//!
//! Needs no LLVM headers and no clang: a directory with the shared library under its link name is enough. Never
//! touches `~/.cargo/bin`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::compiler::{self, Compiler, LLVM_MAJOR};
use crate::{paths, run};

/// Pinned: newer ones change their LLVM features.
pub const VERSION: &str = "0.13.0";

/// True if the linker is there, has the pinned version, and loads the library that the compiler uses.
pub fn is_ready(compiler: &Compiler) -> bool {
    let Ok(linker) = compiler::linker() else {
        return false;
    };
    let Ok(link) = paths::cache().map(|c| c.join("llvm/lib/libLLVM.so")) else {
        return false;
    };
    let same_llvm =
        matches!((link.canonicalize(), compiler.llvm.canonicalize()), (Ok(a), Ok(b)) if a == b);
    let version = run::output(Command::new(linker).arg("--version")).unwrap_or_default();
    same_llvm && version.split_whitespace().any(|w| w == VERSION)
}

/// Builds it with `cargo install` (about a minute).
pub fn install(compiler: &Compiler) -> Result<()> {
    let root = paths::cache_dir("")?;
    let lib = paths::cache_dir("llvm/lib")?;
    link_library(&lib, &compiler.llvm)?;
    let scratch = paths::cache_dir("build/bpf-linker")?;
    let mut cmd = run::cargo();
    cmd.args([
        "install",
        "bpf-linker",
        "--version",
        VERSION,
        "--locked",
        "--force",
        "--no-default-features",
    ])
    .args(["--features", &format!("llvm-{LLVM_MAJOR}")])
    .arg("--root")
    .arg(&root)
    .arg("--target-dir")
    .arg(&scratch)
    .env("LLVM_PREFIX", root.join("llvm"))
    // Flags meant for our own build have no business in this one.
    .env_remove("RUSTC")
    .env_remove("RUSTFLAGS")
    .env_remove("CARGO_ENCODED_RUSTFLAGS");
    run::watched(
        &format!("setup  bpf-linker {VERSION}"),
        &mut cmd,
        run::cargo_view,
    )
    .context("bpf-linker could not be built; docs/toolchain.md says what it needs")?;
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove `{}`", scratch.display()))
}

/// `libLLVM.so` for the link, and the library's own file name (its soname) for the loader.
fn link_library(lib: &Path, llvm: &Path) -> Result<()> {
    let real = llvm
        .canonicalize()
        .with_context(|| format!("cannot resolve `{}`", llvm.display()))?;
    let mut names = vec!["libLLVM.so".into()];
    names.extend(llvm.file_name().map(ToOwned::to_owned));
    for name in names {
        let link = lib.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(&real, &link).with_context(|| format!("cannot link `{}`", link.display()))?;
    }
    Ok(())
}
