//! A disk that is not a file: what a simulation brings, with its own crashes and its own lack of room.

use std::{fmt::Debug, io};

use redb::{Database, StorageBackend};

use super::store::CACHE_BYTES;

/// What the spool needs of a disk. Nothing that was written is safe before [`Self::sync`] returns.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Bytes that it has.
    fn size(&self) -> io::Result<u64>;
    /// Makes it larger with zeroes, or smaller.
    fn resize(&self, size: u64) -> io::Result<()>;
    /// Reads exactly so many bytes.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of them.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes what was written last.
    fn sync(&self) -> io::Result<()>;
}

/// Gives the disk to a database that is opened, again after each failed write.
pub type OpenDisk = Box<dyn Fn() -> Box<dyn Disk> + Send>;

#[derive(Debug)]
struct Backend(Box<dyn Disk>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.resize(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

pub(super) fn open(disk: Box<dyn Disk>) -> Result<Database, redb::Error> {
    Ok(Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(Backend(disk))?)
}
