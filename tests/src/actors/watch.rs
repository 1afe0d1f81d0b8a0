//! Somebody who opens the same few names again and again, while others change what they lead to, and says what was
//! reached that must not have been.
//!
//! Judges by the board ([`super::board`]) and by the object itself, never by how long something took.

use std::{ffi::CString, os::fd::AsRawFd as _};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    board::{Board, Sure},
    sys::{self, Ret, c},
};

/// Length of files that are restricted under whatever name: the object itself tells what it is.
pub const SECRET_BYTES: usize = 4_242;
/// After a denial: each is a record, and it is not their number that is to be shown.
const PAUSE_MS: u64 = 1;
/// How a target is opened: by its path; below a directory that was opened before; made if it is missing.
const WAYS: [&str; 3] = ["path", "below", "make"];

/// One name.
struct Target {
    /// Its word on the board
    word: usize,
    way: &'static str,
    path: CString,
    /// Of `below`: the directory, wherever it is now
    directory: i32,
}

/// What came of all attempts.
#[derive(Default)]
struct Tally {
    opened: u64,
    denied: u64,
    other: u64,
    /// While nothing was sure
    unsure: u64,
    reached: Vec<String>,
    refused: Vec<String>,
}

/// `watch BOARD SEED TARGET…`, each target `WORD:WAY:PATH`: until the board says stop. The number of attempts that
/// reached what was restricted; the text has that of those that were denied what was free, and examples.
pub fn watch(board: &str, seed: u64, targets: &[&str]) -> (Ret, String) {
    let Ok(board) = Board::open(board) else {
        return (-Ret::from(libc::ENOENT), "no board".into());
    };
    let Some(targets): Option<Vec<Target>> = targets.iter().map(|text| target(text)).collect()
    else {
        return (-Ret::from(libc::EINVAL), "no target".into());
    };
    let mut random = StdRng::seed_from_u64(seed);
    let mut tally = Tally::default();
    while !board.stopped() {
        let Some(one) = targets.get(random.random_range(0..targets.len())) else {
            break;
        };
        let flags = [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR][random.random_range(0..3)];
        attempt(&board, one, flags, &mut tally);
    }
    let text = format!(
        "opened={} denied={} other={} unsure={} refused={} reached: {} refused: {}",
        tally.opened,
        tally.denied,
        tally.other,
        tally.unsure,
        tally.refused.len(),
        examples(&tally.reached),
        examples(&tally.refused)
    );
    (tally.reached.len() as Ret, text)
}

fn examples(all: &[String]) -> String {
    all.get(..all.len().min(3)).unwrap_or_default().join(", ")
}

fn target(text: &str) -> Option<Target> {
    let mut parts = text.splitn(3, ':');
    let word = parts.next()?.parse().ok()?;
    let named = parts.next()?;
    let way = WAYS.into_iter().find(|way| *way == named)?;
    let path = parts.next()?;
    if way != "below" {
        return Some(Target {
            word,
            way,
            path: c(path),
            directory: libc::AT_FDCWD,
        });
    }
    let (directory, name) = path.rsplit_once('/')?;
    let opened = sys::owned(sys::open(
        &c(directory),
        libc::O_PATH | libc::O_DIRECTORY,
        0,
    ))?;
    // Open until this process ends.
    let directory = std::os::fd::IntoRawFd::into_raw_fd(opened);
    Some(Target {
        word,
        way,
        path: c(name),
        directory,
    })
}

fn attempt(board: &Board, target: &Target, flags: i32, tally: &mut Tally) {
    let flags = match target.way {
        "make" => flags | libc::O_CREAT,
        _ => flags,
    };
    let before = board.read(target.word);
    let result = sys::open_below(target.directory, &target.path, flags, 0o666);
    let after = board.read(target.word);
    let sure = if before == after {
        Board::sure(before)
    } else {
        None
    };
    let shown = || format!("{} {:?} at {before}", target.way, target.path);
    tally.unsure += u64::from(sure.is_none());
    let Some(fd) = sys::owned(result) else {
        match result {
            sys::EPERM => {
                tally.denied += 1;
                if sure == Some(Sure::Free) {
                    tally.refused.push(shown());
                }
                sys::nap_ms(PAUSE_MS);
            }
            _ => tally.other += 1,
        }
        return;
    };
    tally.opened += 1;
    let is_secret =
        nix::sys::stat::fstat(&fd).is_ok_and(|stat| stat.st_size == SECRET_BYTES as i64);
    if is_secret || sure == Some(Sure::Restricted) {
        tally.reached.push(format!(
            "{} (secret: {is_secret}, fd {})",
            shown(),
            fd.as_raw_fd()
        ));
    }
}

/// `view-storm BOARD SOURCE VIEW OTHER`: shows SOURCE at VIEW, moves that mount to OTHER, takes it away; until the board
/// says stop. How often, or the first error.
pub fn view_storm(board: &str, places: [&str; 3]) -> Ret {
    let Ok(board) = Board::open(board) else {
        return -Ret::from(libc::ENOENT);
    };
    let [source, view, other] = places.map(c);
    let mut times = 0;
    while !board.stopped() {
        let steps = [
            sys::mount(&source, &view, c"none", libc::MS_BIND),
            sys::nap_ms(PAUSE_MS),
            sys::mount(&view, &other, c"none", libc::MS_MOVE),
            sys::nap_ms(PAUSE_MS),
            sys::umount(&other),
        ];
        if let Some(error) = steps.into_iter().find(|result| *result < 0) {
            return error;
        }
        times += 1;
    }
    times
}
