//! Another process's memory and the arguments of the call that it is stopped in, as an unguarded root changes them.
//!
//! Only for processes that are stopped inside a call: `/proc/PID/syscall` says nothing of others.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::{ptrace, wait::waitpid},
    unistd::Pid,
};

/// Longest string that is looked for.
const STRING_MAX: usize = 4096;
/// Strings that a vector has at most here.
const STRINGS_MAX: u64 = 1024;

/// A process that is stopped inside a call.
pub struct Memory {
    pid: u32,
    file: File,
    arguments: Vec<u64>,
}

impl Memory {
    /// Of this process.
    pub fn of(pid: u32) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))
            .with_context(|| format!("no memory of {pid}"))?;
        // `NUMBER ARGUMENT… STACK IP`; `running` for a process that is not stopped.
        let text = fs::read_to_string(format!("/proc/{pid}/syscall"))?;
        let words = text.split_whitespace().skip(1).take(6);
        let arguments = words
            .map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16))
            .collect::<Result<Vec<u64>, _>>()
            .with_context(|| format!("no call: {text}"))?;
        ensure!(arguments.len() == 6, "no call: {text}");
        Ok(Self {
            pid,
            file,
            arguments,
        })
    }

    /// An argument of the call, from 0.
    pub fn argument(&self, index: usize) -> Result<u64> {
        self.arguments.get(index).copied().context("six arguments")
    }

    /// Changes an argument itself, which is in a register: the call is issued again with what is there.
    pub fn set_argument(&self, index: usize, value: u64) -> Result<()> {
        let pid = Pid::from_raw(self.pid.cast_signed());
        ptrace::seize(pid, ptrace::Options::empty()).context("cannot trace it")?;
        waitpid(pid, None).context("it does not say that it is stopped")?;
        let mut registers = ptrace::getregs(pid)?;
        let argument = match index {
            0 => &mut registers.rdi,
            1 => &mut registers.rsi,
            2 => &mut registers.rdx,
            3 => &mut registers.r10,
            _ => bail!("argument {index} is changed by nobody"),
        };
        *argument = value;
        ptrace::setregs(pid, registers)?;
        ptrace::detach(pid, None).context("cannot leave it alone")
    }

    /// Puts bytes there.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, at)
            .with_context(|| format!("cannot write at {at:#x}"))
    }

    fn word(&self, at: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn string(&self, at: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; STRING_MAX];
        let read = self.file.read_at(&mut bytes, at)?;
        bytes.truncate(read);
        let end = bytes.iter().position(|byte| *byte == 0);
        bytes.truncate(end.context("no end of a string")?);
        Ok(bytes)
    }

    /// Replaces a string by another of the same length, in place.
    pub fn replace(&self, at: u64, old: &str, new: &str) -> Result<()> {
        ensure!(old.len() == new.len(), "{old} and {new} differ in length");
        let found = self.string(at)?;
        ensure!(
            found == old.as_bytes(),
            "found {:?} instead of {old}",
            String::from_utf8_lossy(&found)
        );
        self.write(at, new.as_bytes())
    }

    /// The same for one string of a vector (`argv`, `envp`).
    pub fn replace_in(&self, vector: u64, old: &str, new: &str) -> Result<()> {
        for index in 0..STRINGS_MAX {
            let string = self.word(vector + index * 8)?;
            if string == 0 {
                break;
            }
            if self.string(string)? == old.as_bytes() {
                return self.replace(string, old, new);
            }
        }
        bail!("no `{old}` there")
    }
}
