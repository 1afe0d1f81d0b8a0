//! io_uring by its raw system calls: opens that run inside the ring's own call, in its workers, or as work on
//! the exit of another call.
#![expect(unsafe_code, reason = "rings are shared memory")]

use std::{
    ffi::CStr,
    num::NonZeroUsize,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use super::sys::{Ret, call, owned};

const SETUP: libc::c_long = 425;
const ENTER: libc::c_long = 426;

// linux/io_uring.h
const OP_NOP: u8 = 0;
const OP_POLL_ADD: u8 = 6;
const OP_OPENAT: u8 = 18;
const OP_OPENAT2: u8 = 28;
const SQE_IO_LINK: u8 = 1 << 2;
const SQE_ASYNC: u8 = 1 << 4;
const ENTER_GETEVENTS: u32 = 1;
const ENTER_SQ_WAKEUP: u32 = 2;
const SETUP_SQPOLL: u32 = 1 << 1;
const OFF_SQES: i64 = 0x1000_0000;
/// Entries of the ring: a request and the one linked to it, and some to spare.
const ENTRIES: u32 = 4;
/// How long a completion may take under emulation.
const PATIENCE: Duration = Duration::from_secs(20);
/// Marks the completion of the open.
const OPEN_TAG: u64 = 7;

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    resv: [u32; 3],
    /// head, tail, ring_mask, ring_entries, flags, dropped, array, resv1, user_addr
    sq_off: [u32; 10],
    /// head, tail, ring_mask, ring_entries, overflow, cqes, flags, resv1, user_addr
    cq_off: [u32; 10],
}

/// `struct io_uring_sqe`, as far as opens and polls need it.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Sqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    offset: u64,
    address: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

/// How the open reaches the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On its own, inside `io_uring_enter`
    Plain,
    /// The same with `openat2`
    Plain2,
    /// Forced into a worker
    Worker,
    /// By the ring's polling thread
    Poller,
    /// Linked behind a request that ends at once
    Linked,
    /// Linked behind a poll that becomes ready during a `connect`: it runs on the exit of that call, under its
    /// number, which is on the list of calls that can be held
    OnConnect,
    /// The same during a `sendto`
    OnSendto,
}

impl Kind {
    /// By name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "plain" => Self::Plain,
            "plain2" => Self::Plain2,
            "worker" => Self::Worker,
            "poller" => Self::Poller,
            "linked" => Self::Linked,
            "on-connect" => Self::OnConnect,
            "on-sendto" => Self::OnSendto,
            _ => return None,
        })
    }
}

/// Opens through a ring. The completion's own result, exactly as the kernel wrote it.
pub fn open(kind: Kind, path: &CStr, flags: i32, mode: u32) -> Ret {
    let setup = if kind == Kind::Poller {
        SETUP_SQPOLL
    } else {
        0
    };
    let mut ring = match Ring::new(setup) {
        Ok(ring) => ring,
        Err(error) => return error,
    };
    let how = super::sys::open_how(flags, mode);
    let mut sqe = Sqe {
        opcode: OP_OPENAT,
        fd: libc::AT_FDCWD,
        address: path.as_ptr() as u64,
        len: mode,
        op_flags: flags.cast_unsigned(),
        user_data: OPEN_TAG,
        ..Sqe::default()
    };
    if kind == Kind::Plain2 {
        sqe = Sqe {
            opcode: OP_OPENAT2,
            offset: how.as_ptr() as u64,
            len: 24,
            op_flags: 0,
            ..sqe
        };
    }
    if kind == Kind::Worker {
        sqe.flags |= SQE_ASYNC;
    }
    match kind {
        Kind::Linked => ring.push(Sqe {
            opcode: OP_NOP,
            flags: SQE_IO_LINK,
            ..Sqe::default()
        }),
        Kind::OnConnect | Kind::OnSendto => return behind_poll(&mut ring, kind, sqe),
        _ => {}
    }
    ring.push(sqe);
    let entered = ring.enter(kind == Kind::Poller);
    if entered < 0 {
        return entered;
    }
    ring.completion()
}

/// Submits poll and open, then makes the poll ready by a call of this same thread.
fn behind_poll(ring: &mut Ring, kind: Kind, open: Sqe) -> Ret {
    let io = |error: std::io::Error| -Ret::from(error.raw_os_error().unwrap_or(libc::EIO));
    let listener = match std::net::TcpListener::bind("127.0.0.1:0") {
        Ok(listener) => listener,
        Err(error) => return io(error),
    };
    let receiver = match std::net::UdpSocket::bind("127.0.0.1:0") {
        Ok(receiver) => receiver,
        Err(error) => return io(error),
    };
    let polled = if kind == Kind::OnConnect {
        listener.as_raw_fd()
    } else {
        receiver.as_raw_fd()
    };
    let poll = libc::POLLIN as u32;
    ring.push(Sqe {
        opcode: OP_POLL_ADD,
        flags: SQE_IO_LINK,
        fd: polled,
        op_flags: poll,
        ..Sqe::default()
    });
    ring.push(open);
    let entered = ring.enter(false);
    if entered < 0 {
        return entered;
    }
    let done = if kind == Kind::OnConnect {
        listener
            .local_addr()
            .and_then(std::net::TcpStream::connect)
            .map(drop)
    } else {
        let to = receiver.local_addr();
        to.and_then(|to| receiver.send_to(b"x", to)).map(drop)
    };
    if let Err(error) = done {
        return io(error);
    }
    ring.completion()
}

struct Ring {
    fd: OwnedFd,
    params: Params,
    sq: *mut u8,
    cq: *mut u8,
    sqes: *mut Sqe,
    pushed: u32,
}

impl Ring {
    fn new(flags: u32) -> Result<Self, Ret> {
        let mut params = Params {
            flags,
            sq_thread_idle: 1_000,
            ..Params::default()
        };
        let made = call!(SETUP, ENTRIES, &raw mut params);
        let Some(fd) = owned(made) else {
            return Err(made);
        };
        let sq = map(&fd, params.sq_off[6] + params.sq_entries * 4, 0)?;
        let cq = map(&fd, params.cq_off[5] + params.cq_entries * 16, 0x800_0000)?;
        let sqes = map(&fd, params.sq_entries * 64, OFF_SQES)?.cast();
        Ok(Self {
            fd,
            params,
            sq,
            cq,
            sqes,
            pushed: 0,
        })
    }

    fn word(&self, base: *mut u8, offset: u32) -> &AtomicU32 {
        // SAFETY: an offset that the kernel gave for this very mapping, which lives until the process ends.
        unsafe { &*base.add(offset as usize).cast::<AtomicU32>() }
    }

    fn push(&mut self, sqe: Sqe) {
        let tail = self.word(self.sq, self.params.sq_off[1]);
        let at = tail.load(Ordering::Relaxed);
        let index = at & (self.params.sq_entries - 1);
        // SAFETY: the index is below the number of entries of this mapping.
        unsafe { self.sqes.add(index as usize).write_volatile(sqe) };
        self.word(self.sq, self.params.sq_off[6] + index * 4)
            .store(index, Ordering::Relaxed);
        tail.store(at.wrapping_add(1), Ordering::Release);
        self.pushed += 1;
    }

    fn enter(&self, wake: bool) -> Ret {
        let flags = if wake { ENTER_SQ_WAKEUP } else { 0 };
        call!(ENTER, self.fd.as_raw_fd(), self.pushed, 0, flags, 0, 0)
    }

    /// Result of the open.
    fn completion(&self) -> Ret {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let (head, tail) = (
                self.word(self.cq, self.params.cq_off[0]),
                self.word(self.cq, self.params.cq_off[1]),
            );
            let at = head.load(Ordering::Relaxed);
            if at == tail.load(Ordering::Acquire) {
                // Without waiting: a hold would stop this very call, and the test must see that it does not.
                call!(ENTER, self.fd.as_raw_fd(), 0, 0, ENTER_GETEVENTS, 0, 0);
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let index = at & (self.params.cq_entries - 1);
            // SAFETY: `struct io_uring_cqe` of 16 bytes inside the mapping; the tail says that it was written.
            let (tag, result) = unsafe {
                let cqe = self.cq.add((self.params.cq_off[5] + index * 16) as usize);
                (
                    cqe.cast::<u64>().read_volatile(),
                    cqe.add(8).cast::<i32>().read_volatile(),
                )
            };
            head.store(at.wrapping_add(1), Ordering::Release);
            if tag == OPEN_TAG {
                return Ret::from(result);
            }
        }
        -Ret::from(libc::ETIMEDOUT)
    }
}

/// One of the ring's mappings. Never unmapped: the process is short-lived.
fn map(fd: &OwnedFd, bytes: u32, offset: i64) -> Result<*mut u8, Ret> {
    let size = NonZeroUsize::new(bytes as usize).unwrap_or(NonZeroUsize::MIN);
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new shared mapping of the ring, not fixed.
    let mapped = unsafe {
        mmap(
            None,
            size,
            protection,
            MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE,
            fd,
            offset,
        )
    };
    mapped
        .map(|at| at.as_ptr().cast())
        .map_err(|error| -Ret::from(error as i32))
}
