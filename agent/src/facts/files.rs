//! What a file hashes to, if it is the one that the kernel asked about and stays it while it is read.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::Digest as _;
use stayhand_guardrail::policy::args::Sha256;

use crate::kernel::{
    identity::{IdentityError, ObjectId, link},
    mounts::Mounts,
    questions::{Asked, Content},
};

/// Largest file that is read: with some hundred MiB a second it takes as long as a call waits at most.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;
/// Age of a content from which another one has another change time: two ticks of the slowest kernel clock (100 Hz).
const SETTLED: Duration = Duration::from_millis(20);
/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// File systems whose change times this kernel makes, and which no other machine and no program can hold up or answer
/// for.
const LOCAL: [&[u8]; 12] = [
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"f2fs",
    b"tmpfs",
    b"rootfs",
    b"ramfs",
    b"overlay",
    b"squashfs",
    b"erofs",
];

/// Why nobody can say what a file hashes to.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// Its file system is not mounted here, or none whose files can be relied on.
    #[error("its file system is not one that is read")]
    FileSystem,
    /// It cannot be opened or read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It is larger than the bound.
    #[error("it has more than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// At its path is another file by now, or its content is another one.
    #[error("it is not there any more as it was executed")]
    Other,
    /// Its change time lies ahead.
    #[error("it was changed later than it is now: the clock was set back")]
    Future,
    /// The kernel's hook does not say which object it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Which object is open at a path, as the kernel's hook says.
pub(super) type Identity<'a> = &'a dyn Fn(&Path) -> Result<Option<ObjectId>, IdentityError>;

/// Reads the file.
pub(super) fn hash(
    asked: &Asked,
    mounts: &Mounts,
    identity: Identity<'_>,
) -> Result<Sha256, Unread> {
    let path = place(asked, mounts).ok_or(Unread::FileSystem)?;
    if asked.content.size > FILE_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    wait_until_settled(&asked.content)?;
    let named = File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW)
        .open(path)?;
    let kind = named.metadata()?.file_type();
    if !kind.is_file() {
        return Err(Unread::Other);
    }
    // A regular file, whose opening has no effects, whatever its path names by now.
    let link = link(&named);
    if identity(&link)? != Some(asked.object) {
        return Err(Unread::Other);
    }
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(link)?;
    same(&file, &asked.content)?;
    let hash = read(&mut file)?;
    same(&file, &asked.content)?;
    Ok(hash)
}

fn place(asked: &Asked, mounts: &Mounts) -> Option<PathBuf> {
    let dev = asked.object.dev;
    let local = |kind: &[u8]| LOCAL.contains(&kind);
    let mut of_it = mounts.0.iter().filter(|mount| mount.dev == dev);
    if !of_it.next().is_some_and(|mount| local(&mount.kind)) {
        return None;
    }
    let path = mounts.absolute(dev, asked.path.as_ref()?);
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&path)))
}

/// A content can be followed by another one of the same change time as long as the kernel's clock shows that time.
fn wait_until_settled(content: &Content) -> Result<(), Unread> {
    let seconds = u64::try_from(content.ctime_s).map_err(|_| Unread::Future)?;
    let settled = UNIX_EPOCH + Duration::new(seconds, content.ctime_ns) + SETTLED;
    match settled.duration_since(SystemTime::now()) {
        Ok(left) if left > 2 * SETTLED => Err(Unread::Future),
        Ok(left) => {
            std::thread::sleep(left);
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

fn same(file: &File, content: &Content) -> Result<(), Unread> {
    let now = file.metadata()?;
    let same = now.size() == content.size
        && now.ctime() == content.ctime_s
        && now.ctime_nsec() == i64::from(content.ctime_ns);
    if same { Ok(()) } else { Err(Unread::Other) }
}

fn read(file: &mut File) -> Result<Sha256, Unread> {
    let mut hasher = sha2::Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut total = 0u64;
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok(Sha256(hasher.finalize().into()));
        }
        total += count as u64;
        if total > FILE_BYTES_MAX {
            return Err(Unread::TooLarge);
        }
        hasher.update(chunk.get(..count).unwrap_or_default());
    }
}
