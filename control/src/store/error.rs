//! Why the store could not do it.

use stayhand_proto::convert::Invalid;

/// A failure of the store. Nothing of a failed transaction is kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: on the disk, or within `database_mib_max`.
    #[error(
        "the control plane's store is full; free space on its disk, then repeat the command: nothing was lost"
    )]
    Full,
    /// No room but what is kept for people's changes, see `room.rs`.
    #[error(
        "the control plane's store is nearly full, and the rest is kept for what people change: free space on its disk; nothing was lost"
    )]
    Reserved,
    /// A row that this build cannot read.
    #[error("the stored {what} cannot be read: {problem}")]
    Corrupt {
        /// What it should be
        what: &'static str,
        /// Why it is not
        problem: String,
    },
    /// Written by a newer version.
    #[error(
        "the store was written by a newer stayhand-control ({0}); start that version, or restore a store of this one"
    )]
    Newer(String),
    /// A number beyond what the database can hold.
    #[error("{0} is larger than anything that can be stored")]
    TooLarge(u64),
    /// The state directory cannot be used.
    #[error("cannot use state directory `{path}`: {problem}")]
    Directory {
        /// The directory
        path: String,
        /// Why
        problem: std::io::Error,
    },
    /// Somebody else uses the state directory.
    #[error("another stayhand-control runs with state directory `{path}`; stop it first")]
    AlreadyRunning {
        /// The directory
        path: String,
    },
    /// It was not said whether it was kept.
    #[error("the store broke off its work; look at the control plane's log")]
    BrokeOff,
    /// The database failed.
    #[error("the store failed: {0}")]
    Sql(sqlx::Error),
}

/// Primary result code for a full disk (sqlite3.h).
const SQLITE_FULL: u32 = 13;
/// `SQLITE_IOERR_WRITE` and `SQLITE_IOERR_FSYNC`, what a full disk can look like under copy-on-write.
const SQLITE_IOERR_WRITES: [u32; 2] = [778, 1034];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        let code: Option<u32> = code.and_then(|code| code.parse().ok());
        match code {
            Some(code) if code & 0xff == SQLITE_FULL || SQLITE_IOERR_WRITES.contains(&code) => {
                Self::Full
            }
            _ => Self::Sql(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::VersionMissing(version) => {
                Self::Newer(format!("schema {version}"))
            }
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            other => Self::Sql(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}

impl StoreError {
    /// A row that cannot be read.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "problems come by value from `map_err`"
    )]
    pub(super) fn corrupt(what: &'static str, problem: impl ToString) -> Self {
        Self::Corrupt {
            what,
            problem: problem.to_string(),
        }
    }
}

impl From<Invalid> for StoreError {
    fn from(invalid: Invalid) -> Self {
        Self::corrupt("row", invalid)
    }
}
