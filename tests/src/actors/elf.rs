//! Tiny static programs, made when they are needed: no compiler and no library in the guest.
//!
//! Machine code by hand, so that a program's cost is the kernel's and nothing else's.

/// Where programs are mapped; below 4 GiB, so that both classes can use it.
const BASE: u32 = 0x40_0000;

/// A 64-bit program that ends at once with this code.
pub fn exit64(code: u8) -> Vec<u8> {
    program64(&[
        0xbf, code, 0, 0, 0, // mov edi, code
        0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
        0x0f, 0x05, // syscall
    ])
}

/// A 64-bit program that ends at once with the first byte of its first argument.
pub fn first_byte64() -> Vec<u8> {
    program64(&[
        0x48, 0x8b, 0x44, 0x24, 0x10, // mov rax, [rsp + 16] (argv[1])
        0x0f, 0xb6, 0x38, // movzx edi, byte [rax]
        0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
        0x0f, 0x05, // syscall
    ])
}

/// A 64-bit program that executes its first argument with those that follow in its own place, and ends with the error
/// number if it could not.
pub fn execute64() -> Vec<u8> {
    program64(&[
        0x48, 0x8b, 0x7c, 0x24, 0x10, // mov rdi, [rsp + 16] (argv[1])
        0x48, 0x8d, 0x74, 0x24, 0x10, // lea rsi, [rsp + 16]
        0x31, 0xd2, // xor edx, edx
        0xb8, 59, 0, 0, 0, // mov eax, 59 (execve)
        0x0f, 0x05, // syscall
        0x89, 0xc7, // mov edi, eax
        0xf7, 0xdf, // neg edi
        0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
        0x0f, 0x05, // syscall
    ])
}

fn program64(text: &[u8]) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let header = 64 + 56;
    half(&mut file, &[2, 62]); // ET_EXEC, EM_X86_64
    word(&mut file, 1);
    long(&mut file, u64::from(BASE) + header); // entry
    long(&mut file, 64); // program headers
    long(&mut file, 0);
    word(&mut file, 0);
    half(&mut file, &[64, 56, 1, 0, 0, 0]);
    word(&mut file, 1); // PT_LOAD
    word(&mut file, 5); // r-x
    long(&mut file, 0);
    long(&mut file, u64::from(BASE));
    long(&mut file, u64::from(BASE));
    let size = header + text.len() as u64;
    long(&mut file, size);
    long(&mut file, size);
    long(&mut file, 4096);
    file.extend_from_slice(text);
    file
}

/// A 32-bit program that opens `path` with `flags` and ends with 0, or with `errno` if it could not.
pub fn open32(path: &str, flags: u8) -> Vec<u8> {
    let header: u32 = 52 + 32;
    let mut text = vec![
        0xb8, 5, 0, 0, 0, // mov eax, 5 (open)
        0xbb, 0, 0, 0, 0, // mov ebx, path (filled in below)
        0xb9, flags, 0, 0, 0, // mov ecx, flags
        0x31, 0xd2, // xor edx, edx
        0xcd, 0x80, // int 0x80
        0x31, 0xdb, // xor ebx, ebx
        0x85, 0xc0, // test eax, eax
        0x79, 0x04, // jns +4
        0xf7, 0xd8, // neg eax
        0x89, 0xc3, // mov ebx, eax
        0xb8, 1, 0, 0, 0, // mov eax, 1 (exit)
        0xcd, 0x80, // int 0x80
    ];
    let at = BASE + header + text.len() as u32;
    text[6..10].copy_from_slice(&at.to_le_bytes());
    text.extend_from_slice(path.as_bytes());
    text.push(0);
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    half(&mut file, &[2, 3]); // ET_EXEC, EM_386
    for value in [1, BASE + header, 52, 0, 0] {
        word(&mut file, value); // version, entry, program headers, sections, flags
    }
    half(&mut file, &[52, 32, 1, 0, 0, 0]);
    let size = header + text.len() as u32;
    for value in [1, 0, BASE, BASE, size, size, 5, 4096] {
        word(&mut file, value);
    }
    file.extend_from_slice(&text);
    file
}

fn half(file: &mut Vec<u8>, values: &[u16]) {
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn word(file: &mut Vec<u8>, value: u32) {
    file.extend_from_slice(&value.to_le_bytes());
}

fn long(file: &mut Vec<u8>, value: u64) {
    file.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _, process::Command};

    /// One at a time: a child that another thread forks meanwhile has the file open for writing, and then nobody can
    /// execute it (`ETXTBSY`).
    static RUNNING: std::sync::Mutex<()> = std::sync::Mutex::new(());

    fn run(program: &[u8], name: &str) -> Option<i32> {
        let _alone = RUNNING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let file = std::env::temp_dir().join(format!("stayhand-{name}-{}", std::process::id()));
        let mut out = std::fs::File::create(&file).unwrap();
        out.write_all(program).unwrap();
        out.set_permissions(std::fs::Permissions::from_mode(0o755))
            .unwrap();
        drop(out);
        let status = Command::new(&file).status().map(|status| status.code());
        std::fs::remove_file(&file).unwrap();
        status.ok().flatten()
    }

    #[test]
    fn the_64_bit_program_runs_and_ends_with_its_code() {
        assert_eq!(run(&exit64(42), "exit64"), Some(42));
    }

    #[test]
    fn the_program_that_executes_another_ends_with_its_error() {
        // Without an argument there is nothing to execute.
        assert_eq!(run(&execute64(), "execute64"), Some(libc::EFAULT));
    }

    #[test]
    fn the_32_bit_program_reports_its_error_or_success() {
        // A kernel without 32-bit programs cannot run it at all; then there is nothing to see here.
        let Some(missing) = run(&open32("/no/such/file", 0), "open32-missing") else {
            return;
        };
        assert_eq!(missing, libc::ENOENT);
        assert_eq!(run(&open32("/dev/null", 1), "open32-null"), Some(0));
    }
}
