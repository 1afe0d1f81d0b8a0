//! 32-bit system calls from a 64-bit program: `int 0x80` with memory below 4 GiB. The same number means another
//! call there.
#![expect(unsafe_code, reason = "32-bit calls have no library function")]

use std::{ffi::CStr, num::NonZeroUsize};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

use super::sys::Ret;

/// `open` in the 32-bit table; `fstat` in the 64-bit one.
pub const OPEN: u32 = 5;
/// `creat` in the 32-bit table.
pub const CREAT: u32 = 8;
/// `execve` in the 32-bit table.
pub const EXECVE: u32 = 11;
/// `openat` in the 32-bit table.
pub const OPENAT: u32 = 295;
/// `openat2`, the same number in both tables.
pub const OPENAT2: u32 = 437;

/// A page for arguments where 32 bits reach.
const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// One `int 0x80`.
pub fn int80(number: u32, a: u32, b: u32, c: u32, d: u32) -> Ret {
    let result: i32;
    // SAFETY: `rbx` belongs to the compiler and is put back; the kernel may change r8 to r11 and checks memory.
    unsafe {
        core::arch::asm!(
            "xchg rbx, {a:r}",
            "int 0x80",
            "xchg rbx, {a:r}",
            a = inout(reg) u64::from(a) => _,
            inlateout("eax") number => result,
            in("ecx") b,
            in("edx") c,
            in("esi") d,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    Ret::from(result)
}

/// A call whose path argument is the first, or the second after a directory.
pub fn with_path(number: u32, path: &CStr, flags: i32, mode: u32) -> Ret {
    let Some(address) = low_copy(path) else {
        return -Ret::from(libc::ENOMEM);
    };
    let flags = flags.cast_unsigned();
    match number {
        OPENAT => int80(number, libc::AT_FDCWD.cast_unsigned(), address, flags, mode),
        CREAT => int80(number, address, mode, 0, 0),
        OPENAT2 => {
            // `struct open_how` in the second half of the page.
            let how = super::sys::open_how(flags.cast_signed(), mode);
            let at = address + 2048;
            // SAFETY: half of the page is ours and far larger than three words.
            unsafe { (at as usize as *mut [u64; 3]).write_unaligned(how) };
            int80(number, libc::AT_FDCWD.cast_unsigned(), address, at, 24)
        }
        EXECVE => {
            // One argument, no environment: `argv` and `envp` as 32-bit pointers.
            let at = address + 2048;
            // SAFETY: as above.
            unsafe { (at as usize as *mut [u32; 3]).write_unaligned([address, 0, 0]) };
            int80(number, address, at, at + 8, 0)
        }
        _ => int80(number, address, flags, mode, 0),
    }
}

/// `fstat` by its 64-bit number, which is `open`'s in the 32-bit table.
pub fn fstat64(fd: Ret) -> Ret {
    // `struct stat` has 144 bytes (asm/stat.h).
    let mut stat = [0u64; 18];
    super::sys::call!(libc::c_long::from(OPEN), fd, stat.as_mut_ptr())
}

/// The text on a fresh page below 4 GiB. Never unmapped: a puppet makes a handful of them.
pub fn low_copy(text: &CStr) -> Option<u32> {
    let bytes = text.to_bytes_with_nul();
    if bytes.len() > 2048 {
        return None;
    }
    // SAFETY: a new anonymous mapping, not fixed.
    let page = unsafe {
        mmap_anonymous(
            None,
            PAGE,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_PRIVATE | MapFlags::MAP_32BIT,
        )
    }
    .ok()?;
    // SAFETY: the page is ours and large enough.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), page.as_ptr().cast(), bytes.len()) };
    u32::try_from(page.as_ptr() as usize).ok()
}
