//! Sockets in the file system: made aside with their mode and then moved into place, so that nobody can connect
//! before the mode counts, and a client finds either the old socket or the new one.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Mode of the directory that is made for a socket where it is missing: everybody may look for the socket.
const DIRECTORY_MODE: u32 = 0o755;

/// A listening socket that is taken away again at the end.
#[derive(Debug)]
pub(super) struct Socket {
    /// Where clients connect
    pub(super) listener: UnixListener,
    /// Takes it away
    pub(super) file: SocketFile,
}

/// The file of a socket.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody else answers there.
    #[error("another process serves `{0}`; stop it, or configure another path")]
    InUse(String),
    /// Something else is there, and it is not ours to remove.
    #[error("`{0}` is there and is no socket; move it away, or configure another path")]
    NotASocket(String),
    /// The file system refuses.
    #[error("cannot make socket `{path}`: {problem}")]
    Failed {
        /// The path
        path: String,
        /// Why
        problem: io::Error,
    },
}

/// Listens at `path`; a socket that a killed predecessor left is replaced.
pub(super) fn listen(path: &Path, mode: u32) -> Result<Socket, SocketError> {
    let shown = || path.display().to_string();
    let failed = |problem| SocketError::Failed {
        path: shown(),
        problem,
    };
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(failed)?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket(shown()));
        }
        // Whether somebody is behind it only a connection tells.
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(SocketError::InUse(shown()));
        }
        Ok(_) => {}
        Err(problem) if problem.kind() == ErrorKind::NotFound => {}
        Err(problem) => return Err(failed(problem)),
    }
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    match fs::remove_file(&aside) {
        Ok(()) => {}
        Err(problem) if problem.kind() == ErrorKind::NotFound => {}
        Err(problem) => return Err(failed(problem)),
    }
    let listener = UnixListener::bind(&aside).map_err(failed)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(mode)).map_err(failed)?;
    fs::rename(&aside, path).map_err(failed)?;
    Ok(Socket {
        listener,
        file: SocketFile(path.to_owned()),
    })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(problem) = fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %problem, "socket was gone already");
        }
    }
}
