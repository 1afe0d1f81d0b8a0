//! The labelling thread, and what happens when a file system does not answer it: it is left behind with its question
//! and another takes its place.
//!
//! A hung file system (FUSE whose server is silent, a dead NFS server, a suspended disk) holds up whoever opens
//! anything on it, for ever and beyond any signal. So nobody who installs images opens anything.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError},
    },
    time::Duration,
};

use stayhand_agent_ebpf::abi::task::Identity;

use super::{
    super::{pins::Pins, table::Slots},
    Identified, Identify, IdentityError, ObjectId,
    ends::Ends,
    open::{identify, names, object},
};

/// How long one object is waited for: far longer than any disk that works takes, and short beside the time in which
/// a revocation is expected to hold.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long after one that was waited for in vain, until the next look: file systems that hang often hang together
/// (one server, one network), and a look at all of them must end soon.
const IMPATIENT: Duration = Duration::from_millis(300);
/// Threads that may be left behind at one time: bounds memory, and with [`DEADLINE`] and [`IMPATIENT`] to six seconds how
/// long hung file systems can hold up one look at everything. With more of them nothing is asked: every label stays
/// as it is.
pub(super) const STUCK_MAX: usize = 8;

/// What is asked of a path.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    Object,
    Identity,
    Names,
}

/// What is answered.
pub(super) enum Told {
    Object(Identified),
    Identity(Option<ObjectId>),
    Names(Vec<Vec<u8>>),
}

type Answer = Result<Told, IdentityError>;
pub(super) type Question = (PathBuf, Asked, SyncSender<Answer>);
/// Starts a thread that answers questions.
pub(super) type Start = Box<dyn Fn() -> Result<SyncSender<Question>, IdentityError> + Send + Sync>;

/// The labelling thread. One question at a time.
pub struct Labeller {
    start: Start,
    deadline: Duration,
    threads: Mutex<Threads>,
    ends: Arc<Ends>,
}

struct Threads {
    questions: SyncSender<Question>,
    stuck: Vec<Stuck>,
    patience: Duration,
}

/// A thread that was left behind.
struct Stuck {
    path: PathBuf,
    answered: Receiver<Answer>,
}

impl Labeller {
    /// Starts the thread. Call it from a thread that was started after `Tasks::mark_agent`, or from the main
    /// thread after it: a thread inherits the pin of the one that starts it. So do those that take its place.
    pub fn start(pins: &Pins) -> Result<Self, IdentityError> {
        let ends = Arc::new(Ends::new());
        let (pins, watched) = (pins.clone(), Arc::clone(&ends));
        let start = move || {
            let mut table = Slots::<Identity>::open(&pins, "IDENTITY")?;
            let ends = Arc::clone(&watched);
            answering(move |path, asked| match asked {
                Asked::Object => identify(&mut table, &ends, path).map(Told::Object),
                Asked::Identity => object(&mut table, path).map(Told::Identity),
                Asked::Names => names(path).map(Told::Names),
            })
        };
        Self::with(Box::new(start), DEADLINE, ends)
    }

    pub(super) fn with(
        start: Start,
        deadline: Duration,
        ends: Arc<Ends>,
    ) -> Result<Self, IdentityError> {
        let questions = start()?;
        Ok(Self {
            start,
            deadline,
            threads: Mutex::new(Threads {
                questions,
                stuck: Vec::new(),
                patience: deadline,
            }),
            ends,
        })
    }

    #[cfg(test)]
    pub(super) fn stuck(&self) -> usize {
        self.threads.lock().unwrap().stuck.len()
    }
}

/// A thread that answers with `answer` until nobody can ask it any more.
pub(super) fn answering(
    mut answer: impl FnMut(&Path, Asked) -> Answer + Send + 'static,
) -> Result<SyncSender<Question>, IdentityError> {
    let (questions, asked) = mpsc::sync_channel::<Question>(1);
    let run = move || {
        while let Ok((path, what, to)) = asked.recv() {
            // Whoever asked may have given up.
            drop(to.send(answer(&path, what)));
        }
    };
    let started = std::thread::Builder::new().name("labels".into()).spawn(run);
    started.map_err(|source| IdentityError::Open {
        path: "/".into(),
        source,
    })?;
    Ok(questions)
}

impl Labeller {
    fn ask(&self, path: &Path, asked: Asked) -> Answer {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads
            .stuck
            .retain(|stuck| matches!(stuck.answered.try_recv(), Err(TryRecvError::Empty)));
        let silent = || IdentityError::Silent {
            path: path.to_owned(),
        };
        let behind = |stuck: &Stuck| path.starts_with(&stuck.path);
        if threads.stuck.len() >= STUCK_MAX || threads.stuck.iter().any(behind) {
            return Err(silent());
        }
        let (answer, answered) = mpsc::sync_channel(1);
        threads
            .questions
            .send((path.to_owned(), asked, answer))
            .map_err(|_| IdentityError::Ended)?;
        match answered.recv_timeout(threads.patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => Err(IdentityError::Ended),
            Err(RecvTimeoutError::Timeout) => {
                // The thread that is left behind ends with its question: its channel closes here.
                threads.questions = (self.start)()?;
                threads.patience = self.deadline.min(IMPATIENT);
                threads.stuck.push(Stuck {
                    path: path.to_owned(),
                    answered,
                });
                Err(silent())
            }
        }
    }

    /// Which object is at `path`, without taking it for one that is labelled: nobody waits for its end. None for what
    /// has no identity that lasts, or for nothing.
    pub fn object(&self, path: &Path) -> Result<Option<ObjectId>, IdentityError> {
        match self.ask(path, Asked::Identity)? {
            Told::Identity(found) => Ok(found),
            Told::Object(_) | Told::Names(_) => Err(IdentityError::Ended),
        }
    }
}

impl Identify for Arc<Labeller> {
    fn identify(&self, path: &Path) -> Result<Identified, IdentityError> {
        Labeller::identify(self, path)
    }

    fn names(&self, path: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
        Labeller::names(self, path)
    }

    fn ended(&self) -> Vec<ObjectId> {
        Labeller::ended(self)
    }

    fn unwatched(&self) -> usize {
        Labeller::unwatched(self)
    }
}

impl Identify for Labeller {
    fn identify(&self, path: &Path) -> Result<Identified, IdentityError> {
        match self.ask(path, Asked::Object)? {
            Told::Object(found) => Ok(found),
            Told::Identity(_) | Told::Names(_) => Err(IdentityError::Ended),
        }
    }

    fn names(&self, path: &Path) -> Result<Vec<Vec<u8>>, IdentityError> {
        match self.ask(path, Asked::Names)? {
            Told::Names(names) => Ok(names),
            Told::Object(_) | Told::Identity(_) => Err(IdentityError::Ended),
        }
    }

    fn ended(&self) -> Vec<ObjectId> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.patience = self.deadline;
        drop(threads);
        self.ends.ended()
    }

    fn unwatched(&self) -> usize {
        self.ends.unwatched()
    }
}
