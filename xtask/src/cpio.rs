//! Writes cpio archives in the `newc` format, the one that Linux unpacks as its initial RAM disk.
//!
//! Archives can be concatenated: each ends padded to 512 bytes. Times are 0, so equal content gives equal bytes.
//! Never writes hard links (every file has one name) and never reads the file system.

use std::io::{self, Write};

/// `S_IFDIR` and friends, as in the format's mode field.
const DIR: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHAR: u32 = 0o020_000;
/// Length of an entry's header: a magic of six bytes and thirteen fields of eight.
const HEADER: usize = 6 + 13 * 8;
/// The kernel's reader and other tools agree on this block size between archives.
const BLOCK: usize = 512;

/// Owner, group and permission bits of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Meta {
    /// Owned by root.
    pub const fn root(mode: u32) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
        }
    }
}

/// An archive being written.
pub struct Cpio<W: Write> {
    out: W,
    written: usize,
    inode: u32,
}

impl<W: Write> Cpio<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            inode: 0,
        }
    }

    /// Adds a directory (parents are not created).
    pub fn dir(&mut self, path: &str, meta: Meta) -> io::Result<()> {
        self.entry(path, DIR, meta, (0, 0), &[])
    }

    /// Adds a regular file.
    pub fn file(&mut self, path: &str, meta: Meta, data: &[u8]) -> io::Result<()> {
        self.entry(path, FILE, meta, (0, 0), data)
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, LINK, Meta::root(0o777), (0, 0), target.as_bytes())
    }

    /// Adds a character device.
    pub fn char_device(&mut self, path: &str, meta: Meta, device: (u32, u32)) -> io::Result<()> {
        self.entry(path, CHAR, meta, device, &[])
    }

    /// Writes the trailer and the padding; returns the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, Meta::root(0), (0, 0), &[])?;
        self.pad(BLOCK)?;
        Ok(self.out)
    }

    fn entry(
        &mut self,
        path: &str,
        kind: u32,
        meta: Meta,
        device: (u32, u32),
        data: &[u8],
    ) -> io::Result<()> {
        let too_long = |_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{path}` is too large for newc"),
            )
        };
        let size = u32::try_from(data.len()).map_err(too_long)?;
        let name = u32::try_from(path.len() + 1).map_err(too_long)?;
        self.inode += 1;
        let fields = [
            self.inode,
            kind | meta.mode,
            meta.uid,
            meta.gid,
            1,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            name,
            0,
        ];
        let header = fields.iter().fold(String::from("070701"), |all, field| {
            all + &format!("{field:08x}")
        });
        self.put(header.as_bytes())?;
        self.put(path.as_bytes())?;
        self.put(&[0])?;
        self.pad(4)?;
        self.put(data)?;
        self.pad(4)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len();
        self.out.write_all(bytes)
    }

    fn pad(&mut self, to: usize) -> io::Result<()> {
        let missing = self.written.next_multiple_of(to) - self.written;
        self.put(&[0; BLOCK][..missing])
    }
}

/// The names in an archive that [`Cpio`] wrote; a damaged one ends early.
pub fn names(archive: &[u8]) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((name, next)) = entry_at(archive, at) {
        found.push(name);
        at = next;
    }
    found
}

/// The name of the entry at this place, and where the next one starts.
fn entry_at(archive: &[u8], at: usize) -> Option<(&str, usize)> {
    let header = std::str::from_utf8(archive.get(at..at + HEADER)?).ok()?;
    let field = |n: usize| usize::from_str_radix(header.get(6 + 8 * n..14 + 8 * n)?, 16).ok();
    let (size, length) = (field(6)?, field(11)?);
    let name = archive.get(at + HEADER..at + HEADER + length.checked_sub(1)?)?;
    let data = (at + HEADER + length).next_multiple_of(4);
    Some((
        std::str::from_utf8(name).ok()?,
        (data + size).next_multiple_of(4),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_damage_is_no_name() {
        let bytes = sample();
        assert_eq!(names(&bytes), ["etc", "etc/odd", "bin", "TRAILER!!!"]);
        assert_eq!(names(&bytes[..150]), ["etc"]);
        assert!(names(b"no archive").is_empty());
    }

    fn sample() -> Vec<u8> {
        let mut cpio = Cpio::new(Vec::new());
        cpio.dir("etc", Meta::root(0o755)).unwrap();
        cpio.file(
            "etc/odd",
            Meta {
                mode: 0o4755,
                uid: 1,
                gid: 2,
            },
            b"abc",
        )
        .unwrap();
        cpio.link("bin", "usr/bin").unwrap();
        cpio.finish().unwrap()
    }

    #[test]
    fn headers_names_and_data_are_aligned() {
        let bytes = sample();
        assert_eq!(bytes.len() % BLOCK, 0);
        let starts: Vec<_> = bytes
            .windows(6)
            .enumerate()
            .filter(|(_, w)| w == b"070701")
            .map(|(i, _)| i)
            .collect();
        assert_eq!(starts.len(), 4);
        assert!(starts.iter().all(|s| s % 4 == 0), "{starts:?}");
    }

    #[test]
    fn set_id_bits_and_owners_are_kept() {
        let bytes = sample();
        let at = bytes.windows(7).position(|w| w == b"etc/odd").unwrap() - 110;
        let field =
            |n: usize| std::str::from_utf8(&bytes[at + 6 + 8 * n..at + 14 + 8 * n]).unwrap();
        assert_eq!(
            (field(1), field(2), field(3), field(6)),
            ("000089ed", "00000001", "00000002", "00000003")
        );
    }
}
