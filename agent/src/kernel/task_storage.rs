//! The `TASKS` map: who a process is, as the kernel pinned it. Reads and writes through bpf(2), because aya has no
//! wrapper for task storage.
//!
//! The key is a pidfd, never a number that may belong to somebody else by now. Only the first bytes of the value
//! are user space's business; the rest is the hooks'.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper for task storage")]

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use aya::maps::{MapData, MapType};
use stayhand_agent_ebpf::abi::task::{TaskState, pin};

use super::{pidfd::PidFd, pins::Pins, settings::random_u64, table::TableError};

// include/uapi/linux/bpf.h
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_ANY: u64 = 0;
const BPF_NOEXIST: u64 = 1;

/// Words of a value.
const WORDS: usize = size_of::<TaskState>() / 8;
/// Bytes that user space reads: pin, login uid, session, generation, two cookies.
const HEAD_BYTES: usize = 32;
const NAME: &str = "TASKS";

/// Who a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskPin {
    /// See `abi::task::pin`
    pub pin: u32,
    /// Pinned login uid
    pub auid: u32,
    /// Pinned audit session
    pub session: u32,
    /// Unique per thread on this boot
    pub task_cookie: u64,
    /// Unique per thread group on this boot
    pub process_cookie: u64,
}

impl TaskPin {
    /// Whether it stands for a person.
    pub fn is_person(&self) -> bool {
        self.pin == pin::LOGIN
    }

    fn decode(words: &[u64; WORDS]) -> Self {
        let mut bytes = [0u8; HEAD_BYTES];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        let half = |at: usize| {
            let taken = bytes
                .get(at..at + 4)
                .and_then(|taken| taken.try_into().ok());
            taken.map_or(0, u32::from_ne_bytes)
        };
        let [_, _, task_cookie, process_cookie] = [words[0], words[1], words[2], words[3]];
        Self {
            pin: half(0),
            auid: half(4),
            session: half(8),
            task_cookie,
            process_cookie,
        }
    }

    fn encode(&self) -> Box<[u64; WORDS]> {
        let mut words = Box::new([0u64; WORDS]);
        let pair = |first: u32, second: u32| {
            let mut bytes = [0u8; 8];
            bytes[..4].copy_from_slice(&first.to_ne_bytes());
            bytes[4..].copy_from_slice(&second.to_ne_bytes());
            u64::from_ne_bytes(bytes)
        };
        words[0] = pair(self.pin, self.auid);
        words[1] = pair(self.session, 0);
        words[2] = self.task_cookie;
        words[3] = self.process_cookie;
        words
    }
}

// The places that `decode` and `encode` know.
const _: () = assert!(std::mem::offset_of!(TaskState, pin) == 0);
const _: () = assert!(std::mem::offset_of!(TaskState, auid) == 4);
const _: () = assert!(std::mem::offset_of!(TaskState, session) == 8);
const _: () = assert!(std::mem::offset_of!(TaskState, task_cookie) == 16);
const _: () = assert!(std::mem::offset_of!(TaskState, process_cookie) == 24);
const _: () = assert!(size_of::<TaskState>() == WORDS * 8 && WORDS * 8 >= HEAD_BYTES);

/// Why task storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TasksError {
    /// The map cannot be opened.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The map is not what this build knows.
    #[error("pinned map `{NAME}` is no task storage of {} bytes; see exit code 79", size_of::<TaskState>())]
    OtherLayout,
    /// The kernel refused.
    #[error("cannot {doing} the pin of process {pid}")]
    Refused {
        /// What was tried
        doing: &'static str,
        /// Of which process
        pid: u32,
        /// Why
        source: io::Error,
    },
    /// There is no randomness for a cookie.
    #[error("the kernel gives no random bytes: {0}")]
    Random(String),
}

/// The map.
#[derive(Debug)]
pub struct Tasks {
    map: MapData,
}

/// What pinning a process came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// It has the pin now
    New,
    /// It had one
    Already,
    /// It has ended
    Gone,
}

impl Tasks {
    /// Opens the pinned map. Its value size is checked, because the kernel writes that many bytes.
    pub fn open(pins: &Pins) -> Result<Self, TasksError> {
        let opened =
            MapData::from_pin(pins.map(NAME)).and_then(|map| map.info().map(|info| (map, info)));
        let (map, info) = opened.map_err(|source| TableError::Open {
            map: NAME,
            source: Box::new(source),
        })?;
        let storage = info
            .map_type()
            .is_ok_and(|kind| kind == MapType::TaskStorage);
        if !storage || info.key_size() != 4 || info.value_size() as usize != size_of::<TaskState>()
        {
            return Err(TasksError::OtherLayout);
        }
        Ok(Self { map })
    }

    /// Who a process is; `None` if it has no pin or has ended.
    pub fn get(&self, process: &PidFd) -> Result<Option<TaskPin>, TasksError> {
        let mut words = Box::new([0u64; WORDS]);
        match self.call(BPF_MAP_LOOKUP_ELEM, process.as_fd(), &mut words, 0) {
            Ok(()) => Ok(Some(TaskPin::decode(&words))),
            Err(error) if ended(&error) => Ok(None),
            Err(source) => Err(TasksError::Refused {
                doing: "read",
                pid: process.pid(),
                source,
            }),
        }
    }

    /// Pins a process that the kernel has not pinned by itself.
    pub fn pin_person(
        &self,
        process: &PidFd,
        auid: u32,
        session: u32,
    ) -> Result<Pinned, TasksError> {
        let cookie = cookie()?;
        let made = TaskPin {
            pin: pin::LOGIN,
            auid,
            session,
            task_cookie: cookie,
            process_cookie: cookie,
        };
        self.set(process, made, BPF_NOEXIST)
    }

    /// Marks this process as the agent: its opens are reported and never judged. Threads that have a pin of their
    /// own keep it, so call this before any is started.
    pub fn mark_agent(&self) -> Result<(), TasksError> {
        let pid = std::process::id();
        let refused = |source| TasksError::Refused {
            doing: "set",
            pid,
            source,
        };
        let process = PidFd::open(pid).map_err(refused)?;
        let process = process.ok_or_else(|| refused(io::ErrorKind::NotFound.into()))?;
        let cookie = cookie()?;
        let made = TaskPin {
            pin: pin::AGENT,
            auid: 0,
            session: 0,
            task_cookie: cookie,
            process_cookie: cookie,
        };
        self.set(&process, made, BPF_ANY).map(|_| ())
    }

    fn set(&self, process: &PidFd, made: TaskPin, flags: u64) -> Result<Pinned, TasksError> {
        match self.call(
            BPF_MAP_UPDATE_ELEM,
            process.as_fd(),
            &mut made.encode(),
            flags,
        ) {
            Ok(()) => Ok(Pinned::New),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(Pinned::Already),
            Err(error) if ended(&error) => Ok(Pinned::Gone),
            Err(source) => Err(TasksError::Refused {
                doing: "set",
                pid: process.pid(),
                source,
            }),
        }
    }

    fn call(
        &self,
        command: libc::c_long,
        process: BorrowedFd<'_>,
        words: &mut [u64; WORDS],
        flags: u64,
    ) -> io::Result<()> {
        let key = process.as_raw_fd();
        let attr = ElementAttr {
            map_fd: self.map.fd().as_fd().as_raw_fd(),
            pad: 0,
            key: (&raw const key) as u64,
            value: words.as_mut_ptr() as u64,
            flags,
        };
        // SAFETY: `attr` has the layout that both commands read and outlives the call; `key` is the descriptor
        // number that a task storage map takes; `words` has exactly the map's value size, checked at `open`.
        let done = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                &raw const attr,
                size_of::<ElementAttr>(),
            )
        };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// The part of `union bpf_attr` for commands on elements.
#[repr(C)]
struct ElementAttr {
    map_fd: i32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

fn ended(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

fn cookie() -> Result<u64, TasksError> {
    random_u64()
        .map(|random| random.max(1))
        .map_err(|error| TasksError::Random(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_reads_back_and_zeroed_storage_is_no_person() {
        let made = TaskPin {
            pin: pin::LOGIN,
            auid: 1001,
            session: 3,
            task_cookie: u64::MAX,
            process_cookie: 5,
        };
        let words = made.encode();
        assert_eq!(TaskPin::decode(&words), made);
        assert!(words[4..].iter().all(|word| *word == 0));
        assert!(made.is_person());
        assert!(!TaskPin::decode(&[0; WORDS]).is_person());
    }
}
