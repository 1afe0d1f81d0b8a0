//! PID 1: mounts, loopback, zombies, and the end of the machine.
//!
//! Never runs a scenario itself: a runner of its own does, so that statuses of its children are not taken away
//! and a panic anywhere ends in a report and a power-off.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;

use crate::{console, init_acts};

/// Source, target, type, options.
const MOUNTS: [(&str, &str, &str, &str); 10] = [
    ("proc", "/proc", "proc", ""),
    ("sysfs", "/sys", "sysfs", ""),
    ("devtmpfs", "/dev", "devtmpfs", "mode=0755"),
    (
        "devpts",
        "/dev/pts",
        "devpts",
        "mode=0620,gid=5,ptmxmode=0666",
    ),
    ("tmpfs", "/dev/shm", "tmpfs", "mode=1777"),
    ("tmpfs", "/tmp", "tmpfs", "mode=1777"),
    ("tmpfs", "/run", "tmpfs", "mode=0755"),
    ("bpf", "/sys/fs/bpf", "bpf", "mode=0700"),
    ("securityfs", "/sys/kernel/security", "securityfs", ""),
    ("cgroup2", "/sys/fs/cgroup", "cgroup2", ""),
];

/// The guest's name.
const HOSTNAME: &str = "stayhand-guest";
/// What every program starts with.
const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("TERM", "linux"),
    ("LANG", "C.UTF-8"),
];

/// Never returns: the machine is off afterwards.
pub fn main() -> ! {
    std::panic::set_hook(Box::new(|info| {
        console::fail("guest", &format!("PID 1 panicked: {info}"));
    }));
    let result = std::panic::catch_unwind(|| prepare().and_then(|()| until_runner_ends()));
    if let Ok(Err(error)) = result {
        console::fail("guest", &format!("PID 1: {error:#}"));
    }
    power_off();
}

fn prepare() -> Result<()> {
    for (source, target, kind, options) in MOUNTS {
        fs::create_dir_all(target).with_context(|| format!("cannot make {target}"))?;
        let mounted = mount(
            Some(source),
            target,
            Some(kind),
            MsFlags::empty(),
            Some(options),
        );
        match mounted {
            // The kernel may have mounted devtmpfs by itself.
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(error) => bail!("cannot mount {kind} on {target}: {error}"),
        }
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        // Present after a second start of this program by hand.
        drop(std::os::unix::fs::symlink(target, format!("/dev/{link}")));
    }
    nix::unistd::sethostname(HOSTNAME).context("cannot set the host name")?;
    loopback_up().context("cannot bring `lo` up")?;
    init_acts::serve()
}

/// The guest has no program for it.
#[expect(unsafe_code, reason = "an ioctl that no crate of this workspace wraps")]
fn loopback_up() -> Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: `ifreq` is plain data for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::try_from(from)?;
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING)?;
    // SAFETY: the descriptor is open and the request lives until the call returns.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(result)?;
    Ok(())
}

/// Starts the runner and reaps whatever loses its parent meanwhile.
fn until_runner_ends() -> Result<()> {
    let child = Command::new("/proc/self/exe")
        .arg("run")
        .env_clear()
        .envs(ENVIRONMENT)
        .spawn()?;
    let runner = Pid::from_raw(i32::try_from(child.id())?);
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, 0)) if pid == runner => return Ok(()),
            Ok(WaitStatus::Exited(pid, code)) if pid == runner => {
                bail!("the runner ended with {code}")
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == runner => {
                bail!("{signal} ended the runner")
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => bail!("cannot wait for the runner: {error}"),
        }
    }
}

fn power_off() -> ! {
    nix::unistd::sync();
    loop {
        let Err(error) = reboot(RebootMode::RB_POWER_OFF);
        console::log(&format!("cannot power off: {error}"));
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
