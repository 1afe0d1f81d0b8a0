//! The thread of the hold manager: one inbox, one clock, nothing shared.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use stayhand_guardrail::{host::HoldAnswer, reason::Reason};
use uuid::Uuid;

use super::{Board, Journal, Manager, Row, step::Seen, world::RealWorld};
use crate::{
    clock::Now,
    holds::process,
    kernel::{holds::Pending, pidfd::PidFd},
    port::SharedHolds,
    spool::{Spool, SpoolError},
    tell::Teller,
};

/// A round at least: who waits for rounds takes the thread for wedged after some of these.
const ROUND_NS: u64 = 10_000_000_000;
/// Between two comparisons of the counts of pending holds with the holds.
const RECOUNT_NS: u64 = 60_000_000_000;

/// Makes a row of a kernel entry whose record was lost.
pub type Unknown = Box<dyn Fn(&Pending) -> Option<Row> + Send>;

/// Something for the manager.
pub enum Message {
    /// A hold was opened, its record is stored; what to tell the one who waits
    Opened(Box<Row>, Option<crate::tell::Told>),
    /// The kernel said what became of a hold
    Outcome(u64, Reason),
    /// The answers of the desired state
    Answers(Vec<HoldAnswer>),
    /// A process was stopped and no hold could be published: process id and cookie
    Continue(u32, u64),
    /// Everything that was in the rings at the start has been read
    Recover(Unknown),
    /// End the thread; pending holds stay stopped
    Stop,
}

/// Where messages go.
pub type Inbox = Sender<Message>;

/// Wake-ups of a process that was stopped without a hold: over some seconds.
const CONTINUES_MAX: u32 = 10;

/// Starts the thread with what the journal has: its inbox, and what it counts its rounds in.
pub fn start(
    maps: SharedHolds,
    spool: Arc<Spool>,
    board: Arc<Board>,
    teller: Teller,
    boot_id: Uuid,
) -> Result<(Inbox, Arc<AtomicU64>), SpoolError> {
    let journal = Journal::new(spool, board);
    let rows = journal.load()?;
    let (inbox, messages) = channel();
    let world = RealWorld::new(Arc::clone(&maps), journal);
    let alive: Arc<AtomicU64> = Arc::default();
    let thread = Thread {
        boot_id,
        alive: Arc::clone(&alive),
        maps,
        teller,
        continues: vec![],
        recount_at_ns: 0,
    };
    let builder = std::thread::Builder::new().name("holds".into());
    let started = builder.spawn(move || thread.run(world, rows, &messages));
    let directory = std::path::PathBuf::from("a thread");
    started.map_err(|source| SpoolError::Directory {
        path: directory,
        source,
    })?;
    Ok((inbox, alive))
}

struct Thread {
    boot_id: Uuid,
    alive: Arc<AtomicU64>,
    maps: SharedHolds,
    teller: Teller,
    continues: Vec<Continue>,
    recount_at_ns: u64,
}

struct Continue {
    process: PidFd,
    again_at_ns: u64,
    times: u32,
}

impl Thread {
    fn run(mut self, world: RealWorld, rows: Vec<Row>, messages: &Receiver<Message>) {
        let noter = world.noter();
        let mut manager = Manager::new(world, rows, self.boot_id, &Now::read());
        loop {
            self.alive.fetch_add(1, Ordering::Relaxed);
            let now = Now::read();
            let next_ns = manager
                .tick(&now)
                .min(self.continue_again(&now))
                .min(self.recount(&now))
                .min(now.boot_ns.saturating_add(ROUND_NS));
            let wait = Duration::from_nanos(next_ns.saturating_sub(now.boot_ns));
            let message = match messages.recv_timeout(wait) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let now = Now::read();
            match message {
                Message::Opened(mut row, told) => {
                    row.others = noter(&row);
                    tracing::debug!(hold = %row.hold.id, others = ?row.others, "held");
                    manager.opened(*row, &now);
                    if let Some(told) = told {
                        self.teller.tell(told);
                    }
                }
                Message::Outcome(id, reason) => manager.outcome(id, reason, &now),
                Message::Answers(answers) => manager.answers(answers, &now),
                Message::Continue(tgid, cookie) => self.continue_soon(tgid, cookie, &now),
                Message::Recover(unknown) => match self.maps.list() {
                    Ok(pending) => manager.recover(pending, unknown, &now),
                    Err(error) => tracing::error!(%error, "cannot read pending holds"),
                },
                Message::Stop => return,
            }
        }
    }

    /// The kernel's and the agent's changes of a count are not one step: what they lose is mended here.
    fn recount(&mut self, now: &Now) -> u64 {
        if self.recount_at_ns <= now.boot_ns {
            self.recount_at_ns = now.boot_ns.saturating_add(RECOUNT_NS);
            if let Err(error) = self.maps.recount() {
                tracing::warn!(%error, "pending holds cannot be counted");
            }
        }
        self.recount_at_ns
    }

    fn continue_soon(&mut self, tgid: u32, cookie: u64, now: &Now) {
        let Ok(Some(process)) = PidFd::open(tgid) else {
            return;
        };
        let pinned = self.maps.pinned(&process).ok().flatten();
        if pinned.is_some_and(|pinned| pinned.process_cookie == cookie) {
            self.continues.push(Continue {
                process,
                again_at_ns: now.boot_ns,
                times: 0,
            });
        }
    }

    /// The stop signal may still be on its way when the first `SIGCONT` comes, so it is sent until the process runs.
    fn continue_again(&mut self, now: &Now) -> u64 {
        self.continues.retain_mut(|one| {
            if one.again_at_ns > now.boot_ns {
                return true;
            }
            let (seen, _) = process::look(&one.process, one.process.pid());
            if one.times == 0 || seen == Seen::Stopped {
                let _gone_meanwhile = one.process.resume();
            }
            one.times += 1;
            one.again_at_ns = now.boot_ns.saturating_add(2_000_000 << one.times);
            one.times < CONTINUES_MAX && seen != Seen::Gone
        });
        self.continues
            .iter()
            .map(|one| one.again_at_ns)
            .min()
            .unwrap_or(u64::MAX)
    }
}
