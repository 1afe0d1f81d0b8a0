//! The identity of a file or directory as the kernel's own hook sees it, never as `stat` says (btrfs, overlayfs and
//! others differ).
//!
//! One thread names itself in the `IDENTITY` map and opens an object for reading; the hook, which knows this process
//! by its pin, writes what it saw beside that name. Opens nothing but regular files and directories: opening a
//! device or a pipe can have effects. Symbolic links of a rule's path are followed as `execve` and `open` follow
//! them, so that the rule covers what its path names when it is labelled.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, mpsc},
};

use nix::{
    sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs},
    unistd::gettid,
};
use stayhand_agent_ebpf::abi::{image::LabelKey, task::Identity};

use super::{
    pins::Pins,
    table::{Slots, Table, TableError},
};

/// Opens of one object until two in a row agree undisturbed. Other threads of the agent open files, too.
const ATTEMPTS: usize = 32;

/// The identity of an object, on whichever image slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// `inode.i_ino`
    pub ino: u64,
    /// `super_block.s_dev`, kernel encoding
    pub dev: u32,
    /// `inode.i_generation`
    pub igen: u32,
}

impl ObjectId {
    /// As the key of a label in one slot.
    pub fn label_key(self, slot: u32) -> LabelKey {
        LabelKey {
            ino: self.ino,
            dev: self.dev,
            igen: self.igen,
            slot,
            pad: 0,
        }
    }
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identified {
    /// A regular file or directory
    Object(ObjectId),
    /// Nothing (any more): a part of the path is missing, or is no directory
    Missing,
    /// A device, pipe, socket, or an object of procfs or sysfs: matched by its name only
    ByName,
}

/// Why the identity of an object is not known.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be opened.
    #[error("cannot open `{}` to label it", stayhand_guardrail::text::Safe(path.as_os_str().as_encoded_bytes()))]
    Open {
        /// The path
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// The hook did not report the open.
    #[error(
        "the file_open hook reports nothing to this process; start the agent from init and not from a login session, \
         and see that the hook is attached"
    )]
    NotReported,
    /// The hook reported more than one object, again and again.
    #[error(
        "opening `{}` shows more than one object; its file system cannot be labelled (see docs/filesystems.md)",
        stayhand_guardrail::text::Safe(path.as_os_str().as_encoded_bytes())
    )]
    Ambiguous {
        /// The path
        path: PathBuf,
    },
    /// The map cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The thread ended.
    #[error("the labelling thread has ended; restart the agent")]
    Ended,
}

type Question = (PathBuf, mpsc::SyncSender<Result<Identified, IdentityError>>);

/// Whatever can name objects; the kernel's hook, or a table in tests.
pub trait Identify {
    /// What `path` names.
    fn identify(&self, path: &Path) -> Result<Identified, IdentityError>;

    /// The path without symbolic links; `None` if it names nothing.
    fn canonical(&self, path: &Path) -> Option<PathBuf>;
}

/// The labelling thread. One question at a time.
#[derive(Debug)]
pub struct Labeller {
    questions: Mutex<mpsc::SyncSender<Question>>,
}

impl Labeller {
    /// Starts the thread. Call it from the main thread, after `Tasks::mark_agent`: a thread inherits the pin of
    /// the one that starts it.
    pub fn start(pins: &Pins) -> Result<Self, IdentityError> {
        let table = Slots::<Identity>::open(pins, "IDENTITY")?;
        let (questions, asked) = mpsc::sync_channel::<Question>(1);
        let run = move || {
            let mut table = table;
            while let Ok((path, answer)) = asked.recv() {
                // Whoever asked may have given up.
                drop(answer.send(identify(&mut table, &path)));
            }
        };
        let started = std::thread::Builder::new().name("labels".into()).spawn(run);
        started.map_err(|source| IdentityError::Open {
            path: "/".into(),
            source,
        })?;
        Ok(Self {
            questions: Mutex::new(questions),
        })
    }
}

impl Identify for Labeller {
    fn identify(&self, path: &Path) -> Result<Identified, IdentityError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let questions = self
            .questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        questions
            .send((path.to_owned(), answer))
            .map_err(|_| IdentityError::Ended)?;
        answered.recv().map_err(|_| IdentityError::Ended)?
    }

    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        std::fs::canonicalize(path).ok()
    }
}

fn identify(
    table: &mut impl Table<u32, Identity>,
    path: &Path,
) -> Result<Identified, IdentityError> {
    let failed = |source| IdentityError::Open {
        path: path.to_owned(),
        source,
    };
    let Some(named) = name(path).map_err(failed)? else {
        return Ok(Identified::Missing);
    };
    if !labelled(&named).map_err(failed)? {
        return Ok(Identified::ByName);
    }
    // The descriptor's own link: exactly the object that was looked at, whatever the path names by now.
    let again = PathBuf::from(format!("/proc/self/fd/{}", named.as_raw_fd()));
    let armed = Identity {
        tid: u32::try_from(gettid().as_raw()).unwrap_or(0),
        ..Identity::default()
    };
    let (mut last, mut reported) = (None, false);
    for _ in 0..ATTEMPTS {
        table.put(&0, &armed)?;
        drop(reading().open(&again).map_err(failed)?);
        let seen = table.get(&0)?.unwrap_or_default();
        reported |= seen.count != 0;
        let clean = undisturbed(&armed, &seen);
        if let Some(found) = clean
            && clean == last
        {
            return Ok(Identified::Object(found));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports opens as the hook would: so many per open, with such an inode number, by thread `tid`.
    struct Hook {
        opens: u32,
        tid: Option<u32>,
        reports: fn(u32) -> u32,
        ino: fn(u32) -> u64,
        row: Identity,
    }

    impl Hook {
        fn new(reports: fn(u32) -> u32, ino: fn(u32) -> u64) -> Self {
            Self {
                opens: 0,
                tid: None,
                reports,
                ino,
                row: Identity::default(),
            }
        }
    }

    impl Table<u32, Identity> for Hook {
        fn name(&self) -> &'static str {
            "IDENTITY"
        }
        fn get(&self, _: &u32) -> Result<Option<Identity>, TableError> {
            Ok(Some(self.row))
        }
        fn put(&mut self, _: &u32, armed: &Identity) -> Result<(), TableError> {
            let count = (self.reports)(self.opens);
            let tid = if count == 0 {
                armed.tid
            } else {
                self.tid.unwrap_or(armed.tid)
            };
            self.row = Identity {
                ino: (self.ino)(self.opens),
                dev: 1,
                igen: 2,
                tid,
                count,
            };
            self.opens += 1;
            Ok(())
        }
        fn remove(&mut self, _: &u32) -> Result<bool, TableError> {
            Ok(false)
        }
        fn keys(&self) -> Result<Vec<u32>, TableError> {
            Ok(vec![])
        }
    }

    fn ask(hook: &mut Hook) -> Result<Identified, IdentityError> {
        identify(hook, Path::new("/etc"))
    }

    #[test]
    fn no_report_is_an_error_and_not_an_identity() {
        assert!(matches!(
            ask(&mut Hook::new(|_| 0, |_| 5)),
            Err(IdentityError::NotReported)
        ));
    }

    #[test]
    fn another_threads_report_is_not_taken() {
        let mut hook = Hook {
            tid: Some(1),
            ..Hook::new(|_| 1, |_| 5)
        };
        assert!(matches!(
            ask(&mut hook),
            Err(IdentityError::Ambiguous { .. })
        ));
    }

    #[test]
    fn two_objects_in_one_open_are_ambiguous() {
        assert!(matches!(
            ask(&mut Hook::new(|_| 2, |_| 5)),
            Err(IdentityError::Ambiguous { .. })
        ));
    }

    #[test]
    fn a_torn_report_is_outvoted_by_two_that_agree() {
        let mut hook = Hook::new(
            |open| if open == 1 { 3 } else { 1 },
            |open| if open == 2 { 99 } else { 5 },
        );
        let Identified::Object(found) = ask(&mut hook).unwrap() else {
            panic!("no object")
        };
        assert_eq!(
            found,
            ObjectId {
                ino: 5,
                dev: 1,
                igen: 2
            }
        );
        assert_eq!(hook.opens, 5, "first, disturbed, torn, and two that agree");
    }

    #[test]
    fn only_regular_files_and_directories_are_opened() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut hook = Hook::new(|_| 1, |_| 5);
        for path in [
            pipe.as_path(),
            Path::new("/dev/null"),
            Path::new("/proc/self/status"),
        ] {
            assert_eq!(
                identify(&mut hook, path).unwrap(),
                Identified::ByName,
                "{}",
                path.display()
            );
        }
        for path in ["/nonexistent/x", "/dev/null/x"] {
            assert_eq!(
                identify(&mut hook, Path::new(path)).unwrap(),
                Identified::Missing,
                "{path}"
            );
        }
        assert_eq!(hook.opens, 0, "nothing was opened");
    }
}
