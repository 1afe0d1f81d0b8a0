//! Files of private keys: for their owner only, and replaced as a whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Only the owner.
const MODE: u32 = 0o600;
/// Bits of a mode that let others in.
const OTHERS: u32 = 0o077;
/// Bytes that are read of one: more than any of ours has.
const BYTES_MAX: u64 = 64 << 10;

/// Why such a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The file system.
    #[error("cannot {what} `{}`: {problem}", path.display())]
    Io {
        /// What was tried
        what: &'static str,
        /// On what
        path: PathBuf,
        /// Why not
        problem: io::Error,
    },
    /// Others can read it.
    #[error(
        "`{}` holds private keys and can be read by others than its owner: run chmod 600 on it, and think about who has read it",
        .0.display()
    )]
    Open(PathBuf),
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> PrivateFileError {
    move |problem| PrivateFileError::Io {
        what,
        path: path.to_owned(),
        problem,
    }
}

/// Reads one; none where there is none.
pub fn read(path: &Path) -> Result<Option<Zeroizing<String>>, PrivateFileError> {
    let failed = failed("read", path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(problem) => return Err(failed(problem)),
    };
    if file.metadata().map_err(&failed)?.mode() & OTHERS != 0 {
        return Err(PrivateFileError::Open(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(failed)?;
    Ok(Some(text))
}

/// Writes one, in the place of what was there. It is on disk when this returns, and before that the earlier one is.
pub fn write(path: &Path, text: &str) -> Result<(), PrivateFileError> {
    replace(path, text.as_bytes()).map_err(failed("write", path))
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    match fs::remove_file(&aside) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(problem),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&aside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    // The new name is only there after a power failure when its directory is.
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
