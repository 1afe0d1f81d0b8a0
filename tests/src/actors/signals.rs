//! Signal handlers of a puppet: count, leave the interrupted call for good, or act themselves.
#![expect(unsafe_code, reason = "signal handlers change the interrupted context")]

use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, Ordering};

use super::sys::{Ret, open, result};

static CAUGHT: AtomicU32 = AtomicU32::new(0);
static RESULT: AtomicI64 = AtomicI64::new(i64::MIN);
static PATH: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());

/// The `syscall` instruction.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Installs a handler: `count`, `skip` (the interrupted call never restarts, as after `siglongjmp`), or `open`
/// (opens `path` for writing inside the handler).
pub fn install(signal: i32, mode: &str, path: &str) -> Ret {
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = match mode {
        "skip" => skip,
        "open" => act,
        _ => count,
    };
    if mode == "open" {
        PATH.store(super::sys::c(path).into_raw(), Ordering::SeqCst);
    }
    // SAFETY: zeroed is a valid `sigaction`; the handlers only touch atomics and the context they are given.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        result(libc::sigaction(signal, &raw const action, std::ptr::null_mut()).into())
    }
}

/// How many signals were caught.
pub fn caught() -> Ret {
    CAUGHT.load(Ordering::SeqCst).into()
}

/// Result of the handler's own open; none before it ran.
pub fn handler_result() -> Ret {
    RESULT.load(Ordering::SeqCst)
}

extern "C" fn count(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn act(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
    let path = PATH.load(Ordering::SeqCst);
    if path.is_null() {
        return;
    }
    // SAFETY: a leaked C string.
    let path = unsafe { std::ffi::CStr::from_ptr(path) };
    let opened = open(path, libc::O_WRONLY, 0);
    if opened >= 0 {
        super::sys::close(opened);
    }
    RESULT.store(opened.min(0), Ordering::SeqCst);
}

/// Steps over the system call that the kernel is about to issue again and makes it look interrupted.
extern "C" fn skip(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    CAUGHT.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel hands a `ucontext_t` to a handler with `SA_SIGINFO`.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize] as usize as *const [u8; 2];
    // SAFETY: the instruction that is about to run is mapped.
    if unsafe { at.read_unaligned() } != SYSCALL {
        return;
    }
    registers[libc::REG_RIP as usize] += SYSCALL.len() as i64;
    registers[libc::REG_RAX as usize] = -i64::from(libc::EINTR);
}
