//! Opens one object so that the hook reports it, and takes the report only if it is clean.

use std::{
    fs::File,
    io,
    os::{
        fd::AsRawFd as _,
        unix::{
            ffi::OsStringExt as _,
            fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs},
    unistd::gettid,
};
use stayhand_agent_ebpf::abi::task::Identity;

use super::{
    super::table::Table, Identified, IdentityError, NAMES_MAX, ObjectId, Place, ends::Ends,
};

/// Opens of one object until two in a row agree undisturbed. Other threads of the agent open files, too.
const ATTEMPTS: usize = 32;

/// What `path` names.
pub(super) fn identify(
    table: &mut impl Table<u32, Identity>,
    ends: &Ends,
    path: &Path,
) -> Result<Identified, IdentityError> {
    let failed = |source| IdentityError::Open {
        path: path.to_owned(),
        source,
    };
    let Some(named) = name(path).map_err(failed)? else {
        return Ok(Identified::Missing);
    };
    let place = place(&named);
    if !labelled(&named).map_err(failed)? {
        return Ok(Identified::ByName(place));
    }
    let again = link(&named);
    let found = seen(table, path, &again)?;
    ends.watch(found, &again);
    Ok(Identified::Object(found, place))
}

/// Which object is at `path`; none for what has no identity that lasts, or for nothing.
pub(super) fn object(
    table: &mut impl Table<u32, Identity>,
    path: &Path,
) -> Result<Option<ObjectId>, IdentityError> {
    let failed = |source| IdentityError::Open {
        path: path.to_owned(),
        source,
    };
    let Some(named) = name(path).map_err(failed)? else {
        return Ok(None);
    };
    if !labelled(&named).map_err(failed)? {
        return Ok(None);
    }
    seen(table, path, &link(&named)).map(Some)
}

/// The descriptor's own link: exactly the object that was looked at, whatever its path names by now.
pub(crate) fn link(named: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", named.as_raw_fd()))
}

/// What the hook reports of an open through `link`.
fn seen(
    table: &mut impl Table<u32, Identity>,
    path: &Path,
    link: &Path,
) -> Result<ObjectId, IdentityError> {
    let failed = |source| IdentityError::Open {
        path: path.to_owned(),
        source,
    };
    let armed = Identity {
        tid: u32::try_from(gettid().as_raw()).unwrap_or(0),
        ..Identity::default()
    };
    let (mut last, mut reported) = (None, false);
    for _ in 0..ATTEMPTS {
        table.put(&0, &armed)?;
        drop(reading().open(link).map_err(failed)?);
        let seen = table.get(&0)?.unwrap_or_default();
        reported |= seen.count != 0;
        let clean = undisturbed(&armed, &seen);
        if let Some(found) = clean
            && clean == last
        {
            return Ok(found);
        }
        last = clean;
    }
    Err(if reported {
        IdentityError::Ambiguous {
            path: path.to_owned(),
        }
    } else {
        IdentityError::NotReported
    })
}

/// Names in the directory at `path`.
pub(super) fn names(path: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
    let failed = |source| IdentityError::Open {
        path: path.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            return match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG) => Ok(vec![]),
                _ => Err(failed(error)),
            };
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        if names.len() >= NAMES_MAX {
            return Err(IdentityError::Crowded {
                path: path.to_owned(),
            });
        }
        names.push(entry.map_err(failed)?.file_name().into_vec());
    }
    Ok(names)
}

/// The report, if it is this thread's and the only one since the map was armed. Reports of other threads could
/// tear it: that is why two in a row must agree.
fn undisturbed(armed: &Identity, seen: &Identity) -> Option<ObjectId> {
    let own = seen.tid == armed.tid && seen.count == 1;
    own.then_some(ObjectId {
        ino: seen.ino,
        dev: seen.dev,
        igen: seen.igen,
    })
}

/// Finds the object without opening it in any way that has effects; `None` if it is not there.
fn name(path: &Path) -> io::Result<Option<File>> {
    match File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
        .open(path)
    {
        Ok(file) => Ok(Some(file)),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Where an object is, as the kernel tells without asking its file system.
fn place(file: &File) -> Place {
    let descriptor = file.as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"));
    let mount = info.ok().and_then(|info| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
    });
    Place {
        real: std::fs::read_link(format!("/proc/self/fd/{descriptor}")).unwrap_or_default(),
        mount,
    }
}

fn reading() -> std::fs::OpenOptions {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC);
    options
}

/// Whether an object has an identity that lasts: inode numbers of procfs and sysfs change, but for their roots.
fn labelled(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
        return Ok(false);
    }
    if !kind.is_file() && !kind.is_dir() {
        return Ok(false);
    }
    let volatile = matches!(
        fstatfs(file)?.filesystem_type(),
        PROC_SUPER_MAGIC | SYSFS_MAGIC
    );
    Ok(!volatile || metadata.ino() == ROOT_INO)
}

/// Inode number of the roots of procfs (`PROC_ROOT_INO`) and sysfs (include/linux/proc_ns.h, fs/kernfs/mount.c).
const ROOT_INO: u64 = 1;
