//! Executions: `execve` and `execveat` from children made by `fork` and `vfork`, and of programs without a name.
#![expect(unsafe_code, reason = "raw clone and exec")]

use std::{
    ffi::{CStr, CString},
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
};

use super::sys::{Ret, c, call, owned};

/// Stack of a child that shares memory: it makes a system call or two.
const STACK_BYTES: usize = 64 * 1024;
/// Exit status of a child whose exec failed; the real error travels in [`Job::error`].
const EXEC_FAILED: i32 = 127;

/// What a child is to execute.
struct Job {
    how: How,
    path: CString,
    fd: Ret,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    /// Shared with a `vfork` child; a `fork` child writes it into shared memory, too.
    error: *mut Ret,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Path,
    Descriptor,
}

/// Executes one program as often as wanted; everything that it needs is made once.
pub struct Launcher {
    job: Job,
    _words: Vec<CString>,
    _file: Option<OwnedFd>,
    stack: Vec<u128>,
    flags: i32,
    /// Of waiting for the child
    options: i32,
}

impl Launcher {
    /// `fork`, `vfork`, `at` (`execveat` with an empty path) or `memfd` (a copy in memory).
    pub fn new(how: &str, path: &str, arguments: &[&str]) -> Option<Self> {
        Self::with_environment(how, path, arguments, &[])
    }

    /// The same with an environment, which is empty otherwise.
    fn with_environment(
        how: &str,
        path: &str,
        arguments: &[&str],
        environment: &[&str],
    ) -> Option<Self> {
        let by_descriptor = matches!(how, "at" | "memfd");
        let fd = match how {
            "at" => super::sys::open(&c(path), libc::O_PATH | libc::O_CLOEXEC, 0),
            "memfd" => in_memory(path),
            _ => -1,
        };
        let file = owned(fd);
        if by_descriptor && file.is_none() {
            return None;
        }
        let mut words = vec![c(path)];
        words.extend(arguments.iter().map(|word| c(word)));
        let own_words = words.len();
        words.extend(environment.iter().map(|word| c(word)));
        let (argv, envp) = words.split_at(own_words);
        let vector = |words: &[CString]| {
            let pointers = words.iter().map(|word| word.as_ptr());
            pointers.chain([std::ptr::null()]).collect()
        };
        let (argv, envp): (Vec<_>, Vec<_>) = (vector(argv), vector(envp));
        let job = Job {
            how: if by_descriptor {
                How::Descriptor
            } else {
                How::Path
            },
            path: c(path),
            fd,
            argv,
            envp,
            error: shared_word()?,
        };
        let vfork = if how == "vfork" {
            libc::CLONE_VM | libc::CLONE_VFORK
        } else {
            0
        };
        let stack = vec![0u128; STACK_BYTES / 16];
        Some(Self {
            job,
            _words: words,
            _file: file,
            stack,
            flags: vfork | libc::SIGCHLD,
            options: 0,
        })
    }

    /// Once. The program's exit code, or `-errno` of the exec. A signal gives 1000 + its number.
    pub fn launch(&mut self) -> Ret {
        // SAFETY: the shared word lives as long as the process.
        unsafe { self.job.error.write_volatile(0) };
        // SAFETY: one past the end of the stack, which is aligned and outlives the child's use of it: with
        // `CLONE_VM` the child has executed or ended before `clone` returns, without it the child has a copy.
        let child = unsafe {
            let top = self.stack.as_mut_ptr().add(self.stack.len());
            let job = std::ptr::from_ref(&self.job).cast_mut().cast();
            libc::clone(run, top.cast(), self.flags, job)
        };
        if child < 0 {
            return super::sys::result(-1);
        }
        let ended = ended(child, self.options);
        // SAFETY: the shared word lives as long as the process.
        let failed = unsafe { self.job.error.read_volatile() };
        if failed < 0 { failed } else { ended }
    }
}

/// Executes in a child, once.
pub fn exec(how: &str, path: &str, arguments: &[&str]) -> Ret {
    Launcher::new(how, path, arguments)
        .map_or(-Ret::from(libc::ENOENT), |mut launcher| launcher.launch())
}

/// Executes a program with one argument over and over while another thread turns the argument's first byte from one
/// of `bytes` into the other and back. What became of it: how often it was denied, killed, and run with either byte (its
/// exit code); the number is that of anything else.
pub fn race(path: &str, bytes: [u8; 2], rounds: u32) -> (Ret, String) {
    let word = format!("{}cale", char::from(bytes[0]));
    let Some(mut launcher) = Launcher::new("vfork", path, &[&word]) else {
        return (-Ret::from(libc::ENOMEM), String::new());
    };
    let Some(at) = launcher.job.argv.get(1).map(|argument| *argument as usize) else {
        return (-Ret::from(libc::EINVAL), String::new());
    };
    let over = AtomicBool::new(false);
    let (mut denied, mut killed, mut ran, mut other) = (0u32, 0u32, [0u32; 2], 0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for byte in bytes {
                    // SAFETY: a byte of a string that the launcher owns until this thread has ended; nothing in this
                    // process reads it.
                    unsafe { (at as *mut u8).write_volatile(byte) };
                }
            }
        });
        for _ in 0..rounds {
            match launcher.launch() {
                super::sys::EPERM => denied += 1,
                KILLED => killed += 1,
                code if code == Ret::from(bytes[0]) => ran[0] += 1,
                code if code == Ret::from(bytes[1]) => ran[1] += 1,
                code => other = code,
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    (other, format!("{denied} {killed} {} {}", ran[0], ran[1]))
}

/// What [`Launcher::launch`] gives for a program that was killed by `SIGKILL`.
const KILLED: Ret = 1_009;

/// Executes with one environment string, once.
pub fn exec_with(variable: &str, path: &str, arguments: &[&str]) -> Ret {
    Launcher::with_environment("fork", path, arguments, &[variable])
        .map_or(-Ret::from(libc::ENOENT), |mut launcher| launcher.launch())
}

/// Executes once, by a parent that is told of stops as a shell is: a program that was stopped gives 2000 + its signal.
pub fn exec_seen(path: &str, arguments: &[&str]) -> Ret {
    let Some(mut launcher) = Launcher::new("fork", path, arguments) else {
        return -Ret::from(libc::ENOENT);
    };
    launcher.options = libc::WUNTRACED | libc::WCONTINUED;
    launcher.launch()
}

fn ended(child: i32, options: i32) -> Ret {
    let mut status = 0i32;
    loop {
        let waited = call!(libc::SYS_wait4, child, &raw mut status, options, 0);
        if waited == -Ret::from(libc::EINTR) {
            continue;
        }
        if waited < 0 {
            return waited;
        }
        break;
    }
    if libc::WIFSTOPPED(status) {
        return 2_000 + Ret::from(libc::WSTOPSIG(status));
    }
    if libc::WIFSIGNALED(status) {
        return 1_000 + Ret::from(libc::WTERMSIG(status));
    }
    Ret::from(libc::WEXITSTATUS(status))
}

/// The child: one exec, then an exit if it failed.
extern "C" fn run(job: *mut libc::c_void) -> i32 {
    // SAFETY: `job` is `clone_and_wait`'s argument, alive until the child has executed or ended.
    let job = unsafe { &*job.cast::<Job>() };
    let failed = if job.how == How::Descriptor {
        call!(
            libc::SYS_execveat,
            job.fd,
            c"".as_ptr(),
            job.argv.as_ptr(),
            job.envp.as_ptr(),
            libc::AT_EMPTY_PATH
        )
    } else {
        call!(
            libc::SYS_execve,
            job.path.as_ptr(),
            job.argv.as_ptr(),
            job.envp.as_ptr()
        )
    };
    // SAFETY: shared memory of the parent.
    unsafe { job.error.write_volatile(failed) };
    call!(libc::SYS_exit_group, EXEC_FAILED);
    EXEC_FAILED
}

/// A word that a forked child shares with its parent. Never unmapped: one page per execution of a puppet.
fn shared_word() -> Option<*mut Ret> {
    let size = std::num::NonZeroUsize::new(4096)?;
    let protection = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
    // SAFETY: a new anonymous mapping, not fixed.
    let page = unsafe {
        nix::sys::mman::mmap_anonymous(None, size, protection, nix::sys::mman::MapFlags::MAP_SHARED)
    };
    page.ok().map(|page| page.as_ptr().cast())
}

/// A nameless copy of a program.
fn in_memory(path: &str) -> Ret {
    let Ok(program) = std::fs::read(path) else {
        return -Ret::from(libc::ENOENT);
    };
    let name: &CStr = c"copy";
    let fd = call!(libc::SYS_memfd_create, name.as_ptr(), libc::MFD_CLOEXEC);
    if fd < 0 {
        return fd;
    }
    let written = super::sys::write(fd, &program);
    if written < 0 { written } else { fd }
}
