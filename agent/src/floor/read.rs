//! The files of the floor, if nobody but root can have written them.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, sys::stat::Mode, unistd::geteuid};
use stayhand_guardrail::{limits::SOURCE_BYTES_MAX, text::Safe};

use super::{DOCUMENTS_MAX, Source};

/// How the files end.
const ENDING: &str = ".yaml";

/// Why a floor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// What
        path: PathBuf,
        /// Why
        #[source]
        cause: io::Error,
    },
    /// Somebody else could have written it.
    #[error("`{}` {why}", path.display())]
    NotSafe {
        /// What
        path: PathBuf,
        /// Why, and what to do
        why: &'static str,
    },
    /// A file that nobody would enforce.
    #[error("`{}` is no `{ENDING}` file: give it that ending, or take it out of the floor", path.display())]
    Ending {
        /// The file
        path: PathBuf,
    },
    /// A file that is too large.
    #[error("`{}` has more than {SOURCE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file
        path: PathBuf,
    },
    /// More than a floor has.
    #[error("`{}` has more than {DOCUMENTS_MAX} policies", directory.display())]
    TooMany {
        /// The directory
        directory: PathBuf,
    },
    /// What the documents say.
    #[error("{}", .0.join("; "))]
    Wrong(Vec<String>),
}

/// The same where nobody said that there is one; none where there is no directory.
pub fn sources_if_there(directory: &Path) -> Result<Option<Vec<Source>>, FloorError> {
    match std::fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => sources(directory).map(Some),
    }
}

/// Reads the documents, by name.
pub fn sources(directory: &Path) -> Result<Vec<Source>, FloorError> {
    let real = directory
        .canonicalize()
        .map_err(|cause| FloorError::Unreadable {
            path: directory.to_owned(),
            cause,
        })?;
    // Whoever can rename something above it, or above a link on the way, can put another directory in its place.
    for way in [directory, real.as_path()] {
        for above in way.ancestors().skip(1) {
            is_safe(above, &metadata(above)?, true)?;
        }
    }
    is_safe(&real, &metadata(&real)?, false)?;
    let unreadable = |cause| FloorError::Unreadable {
        path: real.clone(),
        cause,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&real).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !is_hidden(&path) {
            paths.push(path);
        }
    }
    if paths.len() > DOCUMENTS_MAX {
        return Err(FloorError::TooMany { directory: real });
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn metadata(path: &Path) -> Result<Metadata, FloorError> {
    std::fs::metadata(path).map_err(|cause| FloorError::Unreadable {
        path: path.to_owned(),
        cause,
    })
}

/// What editors leave beside a file.
fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn read(path: &Path) -> Result<Source, FloorError> {
    let unreadable = |cause| FloorError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let name = path.file_name().map(|name| Safe(name.as_encoded_bytes()));
    let file = name.map(|name| name.to_string()).unwrap_or_default();
    if !file.ends_with(ENDING) {
        return Err(FloorError::Ending {
            path: path.to_owned(),
        });
    }
    // No link, and no pipe that keeps the agent from starting.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(unreadable)?;
    let found = opened.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(FloorError::NotSafe {
            path: path.to_owned(),
            why: "is not a regular file",
        });
    }
    is_safe(path, &found, false)?;
    let text = text(&opened).map_err(unreadable)?;
    if text.len() > SOURCE_BYTES_MAX {
        return Err(FloorError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(Source { file, text })
}

fn text(file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.take(SOURCE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Whether nobody but root (or whoever runs the agent) can have put it there. In a directory like `/tmp`, which may be `above` it,
/// nobody renames what is somebody else's.
fn is_safe(path: &Path, found: &Metadata, above: bool) -> Result<(), FloorError> {
    let mode = Mode::from_bits_truncate(found.mode());
    let others_write = mode.intersects(Mode::S_IWGRP | Mode::S_IWOTH);
    let sticky = above && mode.contains(Mode::S_ISVTX);
    let why = if found.uid() != 0 && found.uid() != geteuid().as_raw() {
        "belongs to somebody else: give it to root"
    } else if others_write && !sticky {
        "can be written by others: take that away with `chmod go-w`"
    } else {
        return Ok(());
    };
    Err(FloorError::NotSafe {
        path: path.to_owned(),
        why,
    })
}
