//! Tells the one who is stopped, at once, on the own terminal.
//!
//! Best effort by design: never blocks, waits a tenth of a second at most, never tells anybody else. Who has no terminal asks
//! `stayhand why`.

mod rate;
mod tty;

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use rate::Rate;
pub use tty::{Session, TtyError};

use crate::{clock::Now, port::Pins};

/// Attempts on a terminal that is busy, and the time in between: a tenth of a second for a terminal that nobody
/// reads, and then the next message.
const ATTEMPTS_MAX: u32 = 20;
const AGAIN_AFTER: Duration = Duration::from_millis(5);
/// Messages that wait: one burst of a script in a loop.
const WAITING_MAX: usize = 256;

/// A message for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whose it is
    pub session: Session,
    /// What to say; made safe by whoever made it
    pub text: String,
}

/// Where messages go. Dropping the last one ends the thread.
#[derive(Clone)]
pub struct Teller {
    messages: Option<SyncSender<Told>>,
}

impl Teller {
    /// Starts the thread.
    pub fn start(pins: std::sync::Arc<dyn Pins>) -> std::io::Result<Self> {
        let (messages, waiting) = sync_channel(WAITING_MAX);
        let run = move || tell_all(&waiting, pins.as_ref());
        std::thread::Builder::new().name("tell".into()).spawn(run)?;
        Ok(Self {
            messages: Some(messages),
        })
    }

    /// Tells nobody anything.
    pub fn silent() -> Self {
        Self { messages: None }
    }

    /// Tells, or drops the message if too many wait: the terminal is a courtesy, the record is elsewhere.
    pub fn tell(&self, told: Told) {
        if let Some(messages) = &self.messages {
            let _full_or_gone = messages.try_send(told);
        }
    }
}

fn tell_all(waiting: &Receiver<Told>, pins: &dyn Pins) {
    let mut rate = Rate::default();
    while let Ok(Told { session, text }) = waiting.recv() {
        let Some(name) = &session.tty else { continue };
        // A terminal's name is used again by the next session, which shall not pay for the last one.
        let whose = [
            name.as_slice(),
            &session.session.unwrap_or_default().to_ne_bytes(),
        ]
        .concat();
        let Some(left_out) = rate.admit(&whose, Now::read().boot_ns) else {
            continue;
        };
        match tty::open(&session, pins) {
            Ok(mut terminal) => {
                if let Err(error) = write(&mut terminal, said(&text, left_out).as_bytes()) {
                    tracing::debug!(%error, "not told whole");
                }
            }
            Err(error) => tracing::debug!(%error, "nobody was told"),
        }
    }
}

/// Writes as far as the terminal takes it. Another program that writes at the same moment makes one attempt fail
/// (`EAGAIN` from the terminal's own lock), a reader who does not read makes all of them fail.
fn write(terminal: &mut impl io::Write, mut text: &[u8]) -> io::Result<()> {
    let mut left = ATTEMPTS_MAX;
    while !text.is_empty() {
        match terminal.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => text = text.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && left > 0 => {
                left -= 1;
                std::thread::sleep(AGAIN_AFTER);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn said(text: &str, left_out: u32) -> String {
    if left_out == 0 {
        return text.to_owned();
    }
    format!("\r\nstayhand: {left_out} messages were left out; see `stayhand why --last`{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal whose lock another writer has every second time, and that takes three bytes at once.
    struct Busy {
        shown: Vec<u8>,
        calls: u32,
    }

    impl io::Write for Busy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            if self.calls % 2 == 1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(3);
            self.shown.extend(bytes.iter().take(taken));
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_that_is_busy_for_a_moment_is_told_whole() {
        let mut terminal = Busy {
            shown: Vec::new(),
            calls: 0,
        };
        write(&mut terminal, b"denied: exec").unwrap();
        assert_eq!(terminal.shown, b"denied: exec");
    }

    #[test]
    fn a_terminal_that_nobody_reads_is_given_up() {
        struct Full;
        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::WouldBlock.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let given_up = write(&mut Full, b"x").unwrap_err();
        assert_eq!(given_up.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_was_left_out_is_said() {
        assert_eq!(said("x", 0), "x");
        assert!(said("\r\nx\r\n", 3).starts_with("\r\nstayhand: 3 messages were left out"));
    }
}
