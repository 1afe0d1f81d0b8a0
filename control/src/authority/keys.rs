//! Files of private keys: named by their pins, readable for their owner only, written once and never over another.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use stayhand_transport::{Key, Pin};
use zeroize::Zeroizing;

/// Only the owner.
const DIRECTORY_MODE: u32 = 0o700;
/// Only the owner.
const FILE_MODE: u32 = 0o600;
/// Bits of a mode that let others in.
const OTHERS: u32 = 0o077;
/// Bytes of a file: ours have some 250.
const FILE_BYTES_MAX: u64 = 4_096;

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
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
    /// The key of an authority that is stored.
    #[error(
        "the key of the authority that issues is not there (`{}`): restore that file; without it no host can join or renew",
        .0.display()
    )]
    Missing(PathBuf),
    /// Others can read it.
    #[error("`{}` can be read by others than its owner: run chmod 600 on it, and think about who has read it", .0.display())]
    Open(PathBuf),
    /// Something else is in it.
    #[error("`{}` is not the key that its name says; restore it", .0.display())]
    Wrong(PathBuf),
}

/// A directory of keys.
#[derive(Debug)]
pub(super) struct Keys(PathBuf);

impl Keys {
    pub(super) fn in_directory(path: PathBuf) -> Self {
        Self(path)
    }

    fn file(&self, pin: Pin) -> PathBuf {
        self.0.join(format!("{pin}.key"))
    }

    /// Writes a new key; it is on disk when this returns.
    pub(super) fn write(&self, pin: Pin, key: &Key) -> Result<(), KeyFileError> {
        let path = self.file(pin);
        let failed = |problem| KeyFileError::Io {
            what: "write",
            path: path.clone(),
            problem,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(&self.0)
            .map_err(failed)?;
        let aside = path.with_extension("new");
        match fs::remove_file(&aside) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
                return Err(failed(problem));
            }
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&aside)
            .map_err(failed)?;
        file.write_all(key.pem().as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&aside, &path).map_err(failed)?;
        let directory = File::open(&self.0).map_err(failed)?;
        directory.sync_all().map_err(failed)
    }

    /// Reads the key that has this pin.
    pub(super) fn read(&self, pin: Pin) -> Result<Key, KeyFileError> {
        let path = self.file(pin);
        let text = read(&path)?;
        match Key::from_pem(&text) {
            Ok(key) if Pin::of(&key.public()) == pin => Ok(key),
            _ => Err(KeyFileError::Wrong(path)),
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |problem| KeyFileError::Io {
        what: "read",
        path: path.to_owned(),
        problem,
    };
    let file = match File::open(path) {
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing(path.to_owned()));
        }
        opened => opened.map_err(failed)?,
    };
    if file.metadata().map_err(failed)?.mode() & OTHERS != 0 {
        return Err(KeyFileError::Open(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_that_others_can_read_or_that_is_another_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let keys = Keys::in_directory(place.path().join("authority"));
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let (pin, others) = (Pin::of(&key.public()), Pin::of(&other.public()));
        keys.write(pin, &key).unwrap();
        assert_eq!(keys.read(pin).unwrap().public(), key.public());
        assert!(matches!(keys.read(others), Err(KeyFileError::Missing(_))));
        fs::copy(keys.file(pin), keys.file(others)).unwrap();
        assert!(matches!(keys.read(others), Err(KeyFileError::Wrong(_))));
        fs::set_permissions(keys.file(pin), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(keys.read(pin), Err(KeyFileError::Open(_))));
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        let place = tempfile::tempdir().unwrap();
        let keys = Keys::in_directory(place.path().join("authority"));
        let key = Key::generate().unwrap();
        let pin = Pin::of(&key.public());
        keys.write(pin, &key).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&keys.0), 0o700);
        assert_eq!(mode(&keys.file(pin)), 0o600);
    }
}
