//! A board that several processes see at once: what is restricted now, and whether to go on.
//!
//! One number per matter, which changes before a change and after it, and tells what is sure in between. Whoever reads
//! the same number before and after an attempt knows what had to come of it, whatever the machine did meanwhile. It says
//! nothing about time.
#![expect(unsafe_code, reason = "a page that processes share")]

use std::{
    fs::File,
    num::NonZeroUsize,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

/// Words of one board; a page's worth.
const WORDS: usize = 512;
/// Numbers, modulo four, of what is sure.
const FREE: u64 = 0;
const UNSURE: u64 = 1;
const RESTRICTED: u64 = 2;
const BYTES: usize = WORDS * size_of::<u64>();
/// The last word: not 0 once everybody is to stop.
const STOP: usize = WORDS - 1;
/// A word that nobody changes: for what is restricted from the beginning to the end, and is never taken out of what makes
/// it so (an open is judged where its object is by then, not where it was found).
pub const ALWAYS: usize = WORDS - 2;
/// A word that nobody changes: for names that lead to this and that, where only the object that was reached counts.
pub const EITHER: usize = WORDS - 3;

/// What a number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sure {
    /// No rule restricts it
    Free,
    /// Some rule restricts it
    Restricted,
}

/// The board.
pub struct Board(&'static [AtomicU64; WORDS]);

impl Board {
    /// A new one, for everybody.
    pub fn create(path: &str) -> Result<Self> {
        // Another one, not the same emptied: earlier readers keep theirs.
        drop(std::fs::remove_file(path));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(BYTES as u64)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        let board = Self::map(&file)?;
        // Until somebody says so, nothing is.
        board
            .0
            .iter()
            .for_each(|word| word.store(UNSURE, Ordering::SeqCst));
        board.word(STOP).store(0, Ordering::SeqCst);
        board.word(ALWAYS).store(RESTRICTED, Ordering::SeqCst);
        Ok(board)
    }

    /// The one that is there.
    pub fn open(path: &str) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path);
        Self::map(&file.with_context(|| format!("no board at {path}"))?)
    }

    fn map(file: &File) -> Result<Self> {
        let bytes = NonZeroUsize::new(BYTES).context("no words")?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a mapping of its own at an address that the kernel chooses.
        let page = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, file, 0) }?;
        // SAFETY: as long as the array, aligned to a page, and never unmapped; atomics are what processes may share.
        Ok(Self(unsafe { page.cast::<[AtomicU64; WORDS]>().as_ref() }))
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        // The last words are constants; a scenario has a handful of matters.
        self.0.get(index).unwrap_or(&self.0[STOP])
    }

    /// The number of a matter.
    pub fn read(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::SeqCst)
    }

    /// What is sure about a matter while it has this number.
    pub fn sure(number: u64) -> Option<Sure> {
        match number % 4 {
            FREE => Some(Sure::Free),
            RESTRICTED => Some(Sure::Restricted),
            _ => None,
        }
    }

    /// From now on this is sure; nothing is while something changes. Only one may say so about one matter.
    pub fn say(&self, index: usize, sure: Option<Sure>) {
        let to = match sure {
            Some(Sure::Free) => FREE,
            Some(Sure::Restricted) => RESTRICTED,
            None => UNSURE,
        };
        // Upwards, so that no number comes twice.
        let number = self.read(index) | 3;
        self.word(index).store(number + 1 + to, Ordering::SeqCst);
    }

    /// Tells everybody to stop.
    pub fn stop(&self) {
        self.word(STOP).store(1, Ordering::SeqCst);
    }

    /// Whether to stop.
    pub fn stopped(&self) -> bool {
        self.read(STOP) != 0
    }
}
