//! `/proc/self/mountinfo`: where mounts are, and the path of an object from its file system's root.
//!
//! Every byte in it may be chosen by a hostile user (mount points of user namespaces, fuse): paths are bytes.

use std::{fs, io};

/// Bytes of the file that are read: some hundred thousand mounts.
const BYTES_MAX: usize = 64 << 20;

/// Why mounts are not known.
#[derive(Debug, thiserror::Error)]
pub enum MountsError {
    /// The file cannot be read.
    #[error("cannot read `/proc/self/mountinfo`; mount /proc")]
    Io(#[from] io::Error),
    /// It has too many mounts.
    #[error("`/proc/self/mountinfo` has more than {BYTES_MAX} bytes; unmount something")]
    TooLong,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// As `mnt_id` in `/proc/PID/fdinfo` names it
    pub id: u64,
    /// `super_block.s_dev`, kernel encoding
    pub dev: u32,
    /// What of the file system is mounted
    pub root: Vec<u8>,
    /// Where
    pub point: Vec<u8>,
    /// Type of the file system
    pub kind: Vec<u8>,
}

/// Every mount, in the kernel's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts(pub Vec<Mount>);

impl Mounts {
    /// Reads this process's.
    pub fn read() -> Result<Self, MountsError> {
        let bytes = fs::read("/proc/self/mountinfo")?;
        if bytes.len() > BYTES_MAX {
            return Err(MountsError::TooLong);
        }
        Ok(Self::parse(&bytes))
    }

    /// Reads the file's bytes; lines that are not mounts are passed over.
    pub fn parse(bytes: &[u8]) -> Self {
        Self(
            bytes
                .split(|byte| *byte == b'\n')
                .filter_map(line)
                .collect(),
        )
    }

    /// The absolute path of an object, given its path from its file system's root. The whole file system's mount
    /// is preferred, then the one that shows most of the path; the path itself if it is mounted nowhere here.
    pub fn absolute(&self, dev: u32, path: &[u8]) -> Vec<u8> {
        let fits = self
            .0
            .iter()
            .filter(|mount| mount.dev == dev)
            .filter_map(|mount| Some((mount, inside(path, &mount.root)?)));
        let best = fits.max_by_key(|(mount, _)| (mount.root == b"/", mount.root.len()));
        let Some((mount, rest)) = best else {
            return path.to_vec();
        };
        join(&mount.point, rest)
    }

    /// Whether mount `id` is the first that shows what is at `path`. A mount that shows something of a file system
    /// after another one did (a bind mount, a second mount, whether of the same place, of what is above it or of
    /// what is below it) gives it a further name; which names came first is the kernel's order of mounts, and
    /// nobody changes it without unmounting the first.
    pub fn shows_first(&self, id: u64, path: &[u8]) -> bool {
        let own = self.0.iter().position(|mount| mount.id == id);
        let Some((earlier, mount)) = own.and_then(|at| Some((self.0.get(..at)?, self.0.get(at)?)))
        else {
            return false;
        };
        let point = if mount.point == b"/" {
            b""
        } else {
            mount.point.as_slice()
        };
        let below = path.strip_prefix(point);
        let Some(rest) = below.filter(|rest| rest.is_empty() || rest.starts_with(b"/")) else {
            return false;
        };
        let shown = join(&mount.root, rest);
        let overlaps = |other: &Mount| {
            inside(&shown, &other.root).is_some() || inside(&other.root, &shown).is_some()
        };
        !earlier
            .iter()
            .any(|other| other.dev == mount.dev && overlaps(other))
    }
}

/// The part of `path` below `root`, with its slash; empty for `root` itself.
fn inside<'p>(path: &'p [u8], root: &[u8]) -> Option<&'p [u8]> {
    if root == b"/" {
        return Some(if path == b"/" { b"" } else { path });
    }
    path.strip_prefix(root)
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn join(point: &[u8], rest: &[u8]) -> Vec<u8> {
    let point = point.strip_suffix(b"/").unwrap_or(point);
    let whole = [point, rest].concat();
    if whole.is_empty() {
        b"/".to_vec()
    } else {
        whole
    }
}

/// `36 35 98:0 /root /point options [tags] - type source options` (Documentation/filesystems/proc.rst)
fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = std::str::from_utf8(fields.nth(1)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    if !root.starts_with(b"/") || !point.starts_with(b"/") {
        return None; // namespaces show as `net:[4026531992]`
    }
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?.to_vec();
    Some(Mount {
        id,
        dev: (major << 20) | (minor & 0xf_ffff),
        root,
        point,
        kind,
    })
}

/// Undoes the octal escapes of space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = first == &b'\\';
        if let (true, [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) =
            (escaped, tail)
        {
            bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        23 22 0:21 / /proc rw - proc proc rw\n\
        40 22 8:17 / /srv rw shared:2 master:3 - xfs /dev/sdb1 rw\n\
        41 22 8:17 /vol/one /home/alice rw - xfs /dev/sdb1 rw\n\
        42 22 8:33 /sub /only\\040part rw - btrfs /dev/sdc1 rw\n\
        43 22 0:4 net:[4026531992] /run/netns/x rw - nsfs nsfs rw\n\
        damaged line\n44 22 x:1 / /bad rw - a b rw\n45 22 8:1\n";

    fn dev(major: u32, minor: u32) -> u32 {
        (major << 20) | minor
    }

    fn absolute(dev: u32, path: &str) -> String {
        String::from_utf8(Mounts::parse(TEXT).absolute(dev, path.as_bytes())).unwrap()
    }

    #[test]
    fn damaged_and_foreign_lines_are_passed_over() {
        let points: Vec<_> = Mounts::parse(TEXT)
            .0
            .into_iter()
            .map(|mount| mount.point)
            .collect();
        assert_eq!(
            points,
            [
                b"/".to_vec(),
                b"/proc".to_vec(),
                b"/srv".to_vec(),
                b"/home/alice".to_vec(),
                b"/only part".to_vec()
            ]
        );
        assert_eq!(Mounts::parse(b"\xff\xfe - \n\n"), Mounts::default());
    }

    #[test]
    fn objects_are_named_by_their_mount() {
        assert_eq!(absolute(dev(8, 1), "/etc/passwd"), "/etc/passwd");
        assert_eq!(
            absolute(dev(8, 17), "/vol/one/x"),
            "/srv/vol/one/x",
            "the whole file system's mount first"
        );
        assert_eq!(absolute(dev(8, 17), "/"), "/srv");
        assert_eq!(absolute(dev(8, 33), "/sub/a"), "/only part/a");
        assert_eq!(absolute(dev(8, 33), "/sub"), "/only part");
        assert_eq!(
            absolute(dev(8, 33), "/subway"),
            "/subway",
            "not below what is mounted"
        );
        assert_eq!(absolute(9, "/x"), "/x", "mounted nowhere here");
        assert_eq!(absolute(dev(8, 1), "/"), "/");
    }

    #[test]
    fn what_was_shown_before_is_not_shown_first() {
        let mounts = Mounts::parse(
            b"1 0 8:1 / / rw - ext4 a rw\n\
            2 1 8:1 /etc/nginx /srv/vault/x rw - ext4 a rw\n\
            3 1 8:17 /@home /home rw - btrfs b rw\n\
            4 1 8:17 / /srv/vault/all rw - btrfs b rw\n\
            5 1 8:17 /@other /other rw - btrfs b rw\n",
        );
        for (id, path, first) in [
            (1, "/etc/nginx", true),
            (1, "/", true),
            (2, "/srv/vault/x", false),
            (2, "/srv/vault/x/y", false),
            (3, "/home/alice", true),
            (4, "/srv/vault/all", false), // above what /home shows
            (4, "/srv/vault/all/@home/alice", false),
            (5, "/other", false),
            (2, "/elsewhere", false),
            (9, "/", false),
        ] {
            assert_eq!(
                mounts.shows_first(id, path.as_bytes()),
                first,
                "mount {id}, {path}"
            );
        }
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_kept() {
        assert_eq!(unescape(b"a\\040b\\011\\012\\134"), b"a b\t\n\\");
        assert_eq!(unescape(b"\\04 \\9zz\\"), b"\\04 \\9zz\\");
    }

    #[test]
    fn this_process_has_a_root() {
        assert!(
            Mounts::read()
                .unwrap()
                .0
                .iter()
                .any(|mount| mount.point == b"/")
        );
    }
}
