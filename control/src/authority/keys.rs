//! Files of private keys: named by their pins, readable for their owner only, written once and never over another.

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt as _, path::PathBuf};

use stayhand_transport::{
    Key, Pin,
    private_file::{self, PrivateFileError},
};

/// Only the owner.
const DIRECTORY_MODE: u32 = 0o700;

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The directory.
    #[error("cannot make directory `{}`: {problem}", path.display())]
    Directory {
        /// Which
        path: PathBuf,
        /// Why not
        problem: io::Error,
    },
    /// The file.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The key of an authority that is stored.
    #[error(
        "the key of a stored authority is not there (`{}`): restore that file; without it the control plane does not start",
        .0.display()
    )]
    Missing(PathBuf),
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
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(&self.0)
            .map_err(|problem| KeyFileError::Directory {
                path: self.0.clone(),
                problem,
            })?;
        Ok(private_file::write(&self.file(pin), &key.pem())?)
    }

    /// Reads the key that has this pin.
    pub(super) fn read(&self, pin: Pin) -> Result<Key, KeyFileError> {
        let path = self.file(pin);
        let Some(text) = private_file::read(&path)? else {
            return Err(KeyFileError::Missing(path));
        };
        match Key::from_pem(&text) {
            Ok(key) if Pin::of(&key.public()) == pin => Ok(key),
            _ => Err(KeyFileError::Wrong(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
        path::Path,
    };

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
        assert!(matches!(
            keys.read(pin),
            Err(KeyFileError::File(PrivateFileError::Open(_)))
        ));
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
