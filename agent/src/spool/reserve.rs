//! Room on the disk that is given back when the disk is full, so that the spool can be drained: handing out and
//! acknowledging are writes, too.

use std::path::{Path, PathBuf};

/// Enough for some hundred transactions without a freed page.
const RESERVE_BYTES: usize = 2 << 20;

/// Free room from which the reserve is taken again: enough that the next rows do not meet a full disk at once.
const FREE_BYTES_MIN: u64 = 4 * RESERVE_BYTES as u64;

/// A file of no use but its size.
pub(super) struct Reserve {
    path: PathBuf,
    there: bool,
}

impl Reserve {
    pub(super) fn at(directory: &Path) -> Self {
        let path = directory.join("reserve");
        let there = std::fs::metadata(&path).is_ok_and(|file| file.len() == RESERVE_BYTES as u64);
        Self { path, there }
    }

    /// Gives the room back.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.there) {
            tracing::warn!("the disk is full: giving the reserve to the spool");
        }
        let _may_be_gone_already = std::fs::remove_file(&self.path);
    }

    /// Takes it again as soon as there is room; real bytes, because a sparse file reserves nothing.
    pub(super) fn refill(&mut self) {
        if !self.there && self.has_room() {
            self.there = std::fs::write(&self.path, vec![0x5a; RESERVE_BYTES]).is_ok();
            if !self.there {
                let _partly_written = std::fs::remove_file(&self.path);
            }
        }
    }

    fn has_room(&self) -> bool {
        let directory = self.path.parent().unwrap_or(&self.path);
        let Ok(found) = nix::sys::statvfs::statvfs(directory) else {
            return false;
        };
        found
            .blocks_available()
            .saturating_mul(found.fragment_size())
            >= FREE_BYTES_MIN
    }
}
