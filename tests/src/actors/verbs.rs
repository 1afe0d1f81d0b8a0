//! What a puppet can be told to do, by name. Each verb is one action and yields the kernel's own result.

use std::net::IpAddr;

use super::{
    calls, compat, confine, measure, privileged, programs,
    puppet::Line,
    signals, sockets,
    sys::{self, Ret, c},
    uring, watch,
};

const EINVAL: Ret = -(libc::EINVAL as Ret);

/// Carries out one line. Number and text of the answer.
pub fn obey(line: &Line) -> (Ret, String) {
    if line.verb() == "read" {
        return match std::fs::read(line.text(1)) {
            Ok(bytes) => (
                bytes.len() as Ret,
                String::from_utf8_lossy(&bytes).into_owned(),
            ),
            Err(error) => (
                -Ret::from(error.raw_os_error().unwrap_or(libc::EIO)),
                String::new(),
            ),
        };
    }
    if line.verb() == "exec-race" {
        return programs::race(line.text(1), [b's', b'g'], line.number(2));
    }
    if line.verb() == "watch" {
        return watch::watch(line.text(1), line.number(2), &line.rest(3));
    }
    let number = files(line)
        .or_else(|| places(line))
        .or_else(|| process(line))
        .or_else(|| net(line))
        .or_else(|| privileged::act(line));
    (number.unwrap_or(EINVAL), String::new())
}

/// `open HOW PATH FLAGS MODE TEXT`: opens, writes TEXT if there is any, closes. Bytes written, or 0.
fn open(line: &Line) -> Ret {
    let (path, flags, mode) = (c(line.text(2)), line.number(3), line.number(4));
    let fd = match line.text(1) {
        "open" => sys::open(&path, flags, mode),
        "open-high" => sys::open_high(&path, flags, mode),
        "openat" => sys::openat(&path, flags, mode),
        "openat2" => sys::openat2(&path, flags, mode),
        "creat" => sys::creat(&path, mode),
        "descriptor" => sys::reopen(&path, flags),
        "by-handle" => sys::open_by_handle(&path, flags),
        "open32" => compat::with_path(compat::OPEN, &path, flags, mode),
        "creat32" => compat::with_path(compat::CREAT, &path, flags, mode),
        "openat32" => compat::with_path(compat::OPENAT, &path, flags, mode),
        "openat2-32" => compat::with_path(compat::OPENAT2, &path, flags, mode),
        _ => EINVAL,
    };
    if fd < 0 {
        return fd;
    }
    let text = line.text(5);
    let written = if text.is_empty() {
        0
    } else {
        sys::write(fd, text.as_bytes())
    };
    sys::close(fd);
    written
}

fn files(line: &Line) -> Option<Ret> {
    let (a, b) = (c(line.text(1)), c(line.text(2)));
    Some(match line.verb() {
        "open" => open(line),
        "call" => calls::call(line),
        "call32" => calls::call32(line),
        "hammer" => hammer(line),
        "fstat" => {
            let fd = sys::open(&a, libc::O_RDONLY, 0);
            let stat = compat::fstat64(fd);
            sys::close(fd);
            stat
        }
        "uring" => match uring::Kind::parse(line.text(1)) {
            Some(kind) => uring::open(kind, &b, line.number(3), line.number(4)),
            None => EINVAL,
        },
        "exec" => programs::exec(line.text(1), line.text(2), &line.rest(3)),
        "exec-with" => programs::exec_with(line.text(1), line.text(2), &line.rest(3)),
        "exec-seen" => programs::exec_seen(line.text(1), &line.rest(2)),
        "exec-here" => sys::execve(&a, line.number(2), line.number(3)),
        "exec32" => compat::with_path(compat::EXECVE, &a, 0, 0),
        "link" => sys::two_paths(libc::SYS_link, &a, &b),
        "symlink" => sys::two_paths(libc::SYS_symlink, &a, &b),
        "rename" => sys::two_paths(libc::SYS_rename, &a, &b),
        "exchange" => sys::exchange(&a, &b),
        "exchange-storm" => (0..line.number::<u32>(3))
            .map(|_| sys::exchange(&a, &b))
            .min()
            .unwrap_or(0),
        "unlink" => sys::one_path(libc::SYS_unlink, &a, 0),
        "mkdir" => sys::one_path(libc::SYS_mkdir, &a, 0o777),
        "rmdir" => sys::one_path(libc::SYS_rmdir, &a, 0),
        _ => return None,
    })
}

/// `hammer COUNT PATH FLAGS`: opens COUNT times. `successes`, or the first result that is neither success nor
/// `-EPERM`.
fn hammer(line: &Line) -> Ret {
    let path = c(line.text(2));
    let mut successes = 0;
    for _ in 0..line.number::<u32>(1) {
        let fd = sys::open(&path, line.number(3), 0o644);
        if fd >= 0 {
            sys::close(fd);
            successes += 1;
        } else if fd != sys::EPERM {
            return fd;
        }
    }
    successes
}

fn places(line: &Line) -> Option<Ret> {
    let (a, b) = (c(line.text(1)), c(line.text(2)));
    Some(match line.verb() {
        "chdir" => sys::one_path(libc::SYS_chdir, &a, 0),
        "chroot" => sys::one_path(libc::SYS_chroot, &a, 0),
        "bind" => sys::mount(&a, &b, c"none", libc::MS_BIND),
        "tmpfs" => sys::mount(c"tmpfs", &a, c"tmpfs", 0),
        "proc" => sys::mount(c"proc", &a, c"proc", 0),
        "private" => sys::mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE),
        "umount" => sys::umount(&a),
        "view-storm" => watch::view_storm(line.text(1), [2, 3, 4].map(|at| line.text(at))),
        "unshare" => sys::unshare(line.number(1)),
        _ => return None,
    })
}

fn process(line: &Line) -> Option<Ret> {
    Some(match line.verb() {
        "apparmor" => confine::apparmor(line.text(1)),
        "landlock" => confine::landlock(&line.rest(1)),
        "measure" => measure::batch(line.text(1), line.text(2), line.text(3)),
        "handler" => signals::install(line.number(1), line.text(2), line.text(3)),
        "caught" => signals::caught(),
        "handler-result" => signals::handler_result(),
        "nap" => sys::nap_ms(line.number(1)),
        "kill" => sys::kill(line.number(1), line.number(2)),
        "tid" => sys::tid(),
        "forks" => forks(line.number(1), line.text(2)),
        "continue-storm" => (0..line.number::<u32>(2))
            .map(|_| sys::kill(line.number(1), libc::SIGCONT))
            .min()
            .unwrap_or(0),
        "setuid" => sys::set_uid(line.number(1)),
        "audit-set" => sys::audit_set(),
        "setsid" => sys::set_sid(),
        _ => return None,
    })
}

/// `forks COUNT PATH`: that many children, each of which executes PATH. How many were denied, or the first
/// result that is no denial.
fn forks(count: u32, path: &str) -> Ret {
    let mut denied = 0;
    for _ in 0..count {
        let ended = programs::exec("fork", path, &[]);
        if ended != sys::EPERM {
            return ended.min(-1_000 - ended);
        }
        denied += 1;
    }
    denied
}

fn net(line: &Line) -> Option<Ret> {
    let address: Result<IpAddr, _> = line.text(2).parse();
    let port = line.number(3);
    Some(match (line.verb(), address) {
        ("connect", Ok(address)) => sockets::connect_to(line.text(1), address, port),
        ("fast-open", Ok(address)) => sockets::fast_open(address, port),
        _ => return None,
    })
}
