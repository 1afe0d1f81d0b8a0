//! Root under `confined-root`: every way that is tried of having work done by somebody whom nobody guards is denied, and goes
//! through for a root whom nobody guards; ordinary work goes on; a grant opens what may be granted, and no more.

use std::{fs, os::unix::net::UnixListener, path::Path};

use anyhow::{Result, ensure};
use nix::mount::{MntFlags, umount2};

use crate::{
    actors::{
        client::{ALICE_ROOT, As, Puppet},
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, LIMIT_LONG, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "root_under_confined_root_has_nobody_else_do_its_work",
    confined,
)
.group("presets")
.limit(LIMIT_LONG)];

const POLICY: &str = "\
apiVersion: stayhand/v1
kind: Policy
metadata: { name: contained }
spec:
  subjects: { users: [alice] }
  extends: [confined-root@1]
";
/// Root whom no policy names.
const BOB_ROOT: As = As {
    login: Some(1002),
    uid: 0,
    groups: &[0],
};
const DOCKER: &str = "/run/docker.sock";
const DISK: &str = "/dev/vda";
/// Made before there is a policy, each moved to where it would be read.
const PREPARED: &str = "/srv/keys";
const DIRECTORIES: [&str; 13] = [
    "/etc/sudoers.d",
    "/etc/cron.d",
    "/etc/systemd/system",
    "/etc/pam.d",
    "/etc/security",
    "/usr/lib/systemd/system",
    "/var/spool/cron/crontabs",
    "/root/.ssh",
    "/home/bob",
    "/boot",
    "/srv/app",
    "/mnt",
    "/run/systemd/system",
];

/// The call that makes a file with something in it.
fn written(path: &str) -> String {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
    format!("open|open|{path}|{flags}|420|x")
}

/// Opens what is there.
fn opened(path: &str, flags: i32) -> String {
    format!("open|open|{path}|{flags}|0")
}

/// Ways out, and the file that each leaves if it goes through.
fn ways() -> Vec<(String, &'static str)> {
    let files = [
        "/etc/sudoers.d/x",
        "/root/.ssh/authorized_keys",
        "/etc/ld.so.preload",
        "/etc/ld.so.conf",
        "/etc/systemd/system/x.service",
        "/usr/lib/systemd/system/x.service",
        "/run/systemd/system/x.service",
        "/var/spool/cron/crontabs/root",
        "/etc/cron.d/x",
        "/etc/pam.d/x",
        "/etc/profile",
        "/etc/anything-else",
        "/usr/bin/x",
        "/root/.bashrc",
        "/boot/x",
        "/home/bob/.bash_profile",
    ];
    let mut ways: Vec<(String, &str)> = files.map(|path| (written(path), path)).into();
    let core_pattern = "/proc/sys/kernel/core_pattern";
    let flags = libc::O_WRONLY;
    let calls: [(String, &str); 14] = [
        (format!("open|open|{core_pattern}|{flags}|0|core"), ""),
        (opened("/proc/sysrq-trigger", flags), ""),
        (opened(DISK, libc::O_RDONLY), ""),
        (format!("call|connect|sock:1:1:0|unix:{DOCKER}|110"), ""),
        ("load-module-from-memory".into(), ""),
        ("bpf|0".into(), ""),
        ("kexec".into(), ""),
        ("fork|unshare|131072".into(), ""),
        (format!("kill|{}|18", std::process::id()), ""),
        // A disk under another name: 254:0.
        ("call|mknod|/tmp/disk|24960|65024".into(), "/tmp/disk"),
        ("tmpfs|/mnt".into(), "/mnt"),
        ("bind|/srv/app|/mnt".into(), "/mnt"),
        // A directory in the place of another one, and a file by way of a link.
        (format!("rename|{PREPARED}|/home/bob/.ssh"), PREPARED),
        (written("/srv/link/by-link"), "/etc/sudoers.d/by-link"),
    ];
    ways.extend(calls);
    ways
}

/// What is everybody's business, and what it gives.
const WORK: [(&str, Ret); 5] = [
    (
        "exec|fork|/usr/bin/bash|-c|cat /etc/passwd > /srv/app/users",
        0,
    ),
    ("exec|fork|/usr/bin/bash|-c|sleep 60 & kill $!", 0),
    (
        "exec|fork|/usr/bin/bash|-c|mkdir -p /srv/app/d && mv /srv/app/users /srv/app/d && rm -r /srv/app/d",
        0,
    ),
    ("call|mknod|/tmp/pipe|4516|0", 0),
    ("setuid|1001", 0),
];

fn prepare() -> Result<UnixListener> {
    for directory in DIRECTORIES {
        fs::create_dir_all(directory)?;
    }
    prepared()?;
    std::os::unix::fs::symlink("/etc/sudoers.d", "/srv/link")?;
    if !Path::new(DISK).exists() {
        nix::sys::stat::mknod(
            DISK,
            nix::sys::stat::SFlag::S_IFBLK,
            nix::sys::stat::Mode::from_bits_truncate(0o600),
            nix::sys::stat::makedev(254, 0),
        )?;
    }
    drop(fs::remove_file(DOCKER));
    Ok(UnixListener::bind(DOCKER)?)
}

fn prepared() -> Result<()> {
    fs::create_dir_all(PREPARED)?;
    Ok(fs::write(format!("{PREPARED}/authorized_keys"), "key")?)
}

/// What was there before a root whom nobody guards tried everything: others come after us.
struct Before(Vec<(&'static str, Option<Vec<u8>>)>);

impl Before {
    fn look() -> Self {
        let files = ways().into_iter().map(|(_, leaves)| leaves);
        let files = files.filter(|leaves| !matches!(*leaves, "" | "/mnt" | PREPARED));
        Self(files.map(|path| (path, fs::read(path).ok())).collect())
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        for (path, content) in &self.0 {
            drop(match content {
                Some(content) => fs::write(path, content),
                None => fs::remove_file(path),
            });
        }
        while umount2("/mnt", MntFlags::MNT_DETACH).is_ok() {}
        for file in [DOCKER, "/srv/link", "/tmp/pipe", "/etc/sudoers.d/y"] {
            drop(fs::remove_file(file));
        }
        for directory in [PREPARED, "/home/bob/.ssh"] {
            drop(fs::remove_dir_all(directory));
        }
        // Who finds it takes the guest for one of systemd's; what has something in it was there before.
        drop(fs::remove_dir("/run/systemd/system"));
        drop(fs::remove_dir("/run/systemd"));
    }
}

fn confined(_: &mut Ctx) -> Result<()> {
    let _before = Before::look();
    let _listening = prepare()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let mut root = Puppet::start(ALICE_ROOT)?;
    for (words, _) in ways() {
        let result = root.tell(&words)?;
        ensure!(result == EPERM, "`{words}` gives {result}");
    }
    for (_, leaves) in ways() {
        let is_empty = |path: &str| fs::read_dir(path).is_ok_and(|mut all| all.next().is_none());
        let untouched = match leaves {
            "" => true,
            "/mnt" => is_empty(leaves),
            PREPARED => Path::new(PREPARED).exists(),
            // There before.
            "/etc/profile" | "/etc/ld.so.conf" | "/root/.bashrc" => {
                fs::read(leaves).map_or(true, |content| content != b"x")
            }
            _ => !Path::new(leaves).exists(),
        };
        ensure!(untouched, "{leaves} was made");
    }
    granted(&mut host, &mut root)?;
    for (words, gives) in WORK {
        let result = root.tell(words)?;
        ensure!(result == gives, "`{words}` gives {result}");
    }
    // The same calls of a root whom nobody guards: what was shown is not that they never work.
    let mut other = Puppet::start(BOB_ROOT)?;
    for (words, _) in ways() {
        let result = other.tell(&words)?;
        ensure!(result != EPERM, "`{words}` gives {result} to everybody");
    }
    Ok(())
}

fn granted(host: &mut Host, root: &mut Puppet) -> Result<()> {
    for name in ["sudoers", "kernel-settings", "containers"] {
        let permission = format!("contained/confined-root.{name}");
        host.cli(&grant_create("alice", &permission, "1h", "CHG-9"))?
            .ok()?;
    }
    let opened = wait::until_ok(wait::SOON, "the grant", || {
        let result = root.tell(&written("/etc/sudoers.d/x"))?;
        Ok((result == 1).then_some(()))
    });
    opened?;
    let swappiness = format!("open|open|/proc/sys/vm/swappiness|{}|0|60", libc::O_WRONLY);
    for (words, gives) in [
        (swappiness, 2),
        (format!("call|connect|sock:1:1:0|unix:{DOCKER}|110"), 0),
        (written("/etc/sudoers.d/y"), 1),
        (written("/etc/cron.d/x"), EPERM),
        (
            format!(
                "open|open|/proc/sys/kernel/core_pattern|{}|0|core",
                libc::O_WRONLY
            ),
            EPERM,
        ),
        ("bpf|0".to_owned(), EPERM),
    ] {
        let result = root.tell(&words)?;
        ensure!(result == gives, "with grants, `{words}` gives {result}");
    }
    fs::remove_file("/etc/sudoers.d/x")?;
    Ok(())
}
