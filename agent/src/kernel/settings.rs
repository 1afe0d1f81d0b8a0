//! The `SETTINGS` map: the boot's secret, made once, and the two bounds of holds.
//!
//! The secret never changes while a boot lasts: names and digests that are already in the kernel are hashed
//! with it. It never leaves this process.

use std::fmt;

use rand::{TryRng as _, rngs::SysRng};
use stayhand_agent_ebpf::abi::image::Settings;

use super::table::{Table, TableError};

/// What the configuration decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldLimits {
    /// Holds that may be pending for one subject
    pub holds_per_subject: u32,
    /// Stops of one pending call before it is denied
    pub restops_max: u32,
}

impl Default for HoldLimits {
    /// 16 is more than a person works on at once; 1,000 outlasts every job-control habit.
    fn default() -> Self {
        Self {
            holds_per_subject: 16,
            restops_max: 1_000,
        }
    }
}

/// The boot's secret. Never shown: whoever knows it can make two names have one hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u64; 2]);

impl Secret {
    /// As hashing takes it.
    pub(crate) fn key(self) -> [u64; 2] {
        self.0
    }

    #[cfg(test)]
    pub(crate) fn known(key: [u64; 2]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why settings could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The map cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// There is no randomness.
    #[error("the kernel gives no random bytes: {0}; nothing can be loaded without a secret")]
    Random(String),
}

/// Makes the secret if there is none, writes the limits, and yields the secret.
pub fn write(
    table: &mut impl Table<u32, Settings>,
    limits: HoldLimits,
) -> Result<Secret, SettingsError> {
    let old = table.get(&0)?.unwrap_or_default();
    let secret = if old.secret == [0; 2] {
        new_secret()?
    } else {
        old.secret
    };
    let HoldLimits {
        holds_per_subject,
        restops_max,
    } = limits;
    let new = Settings {
        secret,
        holds_per_subject,
        restops_max,
    };
    if new != old {
        table.put(&0, &new)?;
    }
    Ok(Secret(secret))
}

fn new_secret() -> Result<[u64; 2], SettingsError> {
    loop {
        let secret = [random_u64()?, random_u64()?];
        if secret != [0; 2] {
            return Ok(secret);
        }
    }
}

/// Sixty-four random bits from the kernel.
pub(crate) fn random_u64() -> Result<u64, SettingsError> {
    SysRng
        .try_next_u64()
        .map_err(|error| SettingsError::Random(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{super::table::fake::Fake, *};

    #[test]
    fn the_secret_is_made_once_and_kept_when_limits_change() {
        let mut table = Fake::new("SETTINGS", 1);
        let secret = write(&mut table, HoldLimits::default()).unwrap();
        assert_ne!(secret.key(), [0; 2]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        let limits = HoldLimits {
            holds_per_subject: 3,
            restops_max: 4,
        };
        assert_eq!(write(&mut table, limits).unwrap(), secret);
        assert_eq!(
            table.rows[&0],
            Settings {
                secret: secret.key(),
                holds_per_subject: 3,
                restops_max: 4
            }
        );
    }

    #[test]
    fn nothing_is_written_when_nothing_changes() {
        let mut table = Fake::new("SETTINGS", 1);
        write(&mut table, HoldLimits::default()).unwrap();
        let writes = table.writes;
        write(&mut table, HoldLimits::default()).unwrap();
        assert_eq!(table.writes, writes);
    }

    #[test]
    fn two_boots_have_two_secrets() {
        let secret = |()| write(&mut Fake::new("SETTINGS", 1), HoldLimits::default()).unwrap();
        assert_ne!(secret(()), secret(()));
    }
}
