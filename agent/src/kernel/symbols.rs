//! Addresses of kernel data that no type information has, from `/proc/kallsyms`.
//!
//! Never guesses: a name that is missing, hidden or there twice has no address.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

/// The counter of renames (fs/dcache.c): with it, directories need not be walked again while nothing was renamed.
pub(super) const RENAME_LOCK: &str = "rename_lock";

/// Address of a symbol of the kernel itself; `None` if it has none or the kernel does not tell.
pub(super) fn address(kallsyms: &Path, symbol: &str) -> io::Result<Option<u64>> {
    find(BufReader::new(File::open(kallsyms)?), symbol)
}

/// Lines are `address type name`, and a module's name in brackets behind that. There are some hundred thousand, and the kernel's own come
/// first (`update_iter` in kernel/kallsyms.c): behind them nothing is looked at.
fn find(mut lines: impl BufRead, symbol: &str) -> io::Result<Option<u64>> {
    let (mut found, mut line) = (None, Vec::new());
    loop {
        line.clear();
        lines.read_until(b'\n', &mut line)?;
        let text = line.trim_ascii_end();
        if text.is_empty() || text.ends_with(b"]") {
            break;
        }
        if !text.ends_with(symbol.as_bytes()) {
            continue;
        }
        let text = String::from_utf8_lossy(text);
        let mut words = text.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        if name != symbol {
            continue;
        }
        if found.is_some() {
            return Ok(None);
        }
        found = u64::from_str_radix(address, 16).ok();
    }
    Ok(found.filter(|address| *address != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_twice_there_or_of_a_module_has_no_address() {
        let of = |text: &str| find(text.as_bytes(), RENAME_LOCK).unwrap();
        assert_eq!(of("0000000000000000 D rename_lock\n"), None);
        assert_eq!(
            of("ffffffff82a00000 D rename_lock\nffffffff82a00040 d rename_lock\n"),
            None
        );
        assert_eq!(of("ffffffffc0000000 d rename_lock\t[other]\n"), None);
        assert_eq!(of("ffffffff82a00000 D rename_lock_of\n"), None);
        assert_eq!(of("ffffffff82a00000 D no_rename_lock\n"), None);
        assert_eq!(
            of("ffffffffc0000000 t f\t[other]\nffffffff82a00000 D rename_lock\n"),
            None,
            "not the kernel's own, which come first"
        );
    }

    #[test]
    fn a_symbol_of_the_kernel_has_its_address() {
        let text =
            "ffffffff81000000 T _text\nffffffff82a00000 D rename_lock\nffffffff82a00040 D other\n";
        assert_eq!(
            find(text.as_bytes(), RENAME_LOCK).unwrap(),
            Some(0xffff_ffff_82a0_0000)
        );
    }
}
