//! The two threads: one reads questions and answers what it can at once, the other one reads files.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use stayhand_agent_ebpf::abi::fact::{WAIT_LONG_NS, WAIT_NS};

use super::{
    answer::{Outcome, about_file, answer},
    files,
    hashing::{Hashes, Queue},
};
use crate::{
    clock::Now,
    exit::chain,
    kernel::{
        identity::{IdentityError, Labeller, ObjectId},
        image::Published,
        mounts::Mounts,
        questions::{Asked, FactAnswers, Questions, Said},
        settings::Secret,
    },
    seldom::Seldom,
};

/// How often the ring is looked at without being told to: bounds the harm of a lost wake-up.
const LOOK: Duration = Duration::from_millis(250);
/// How soon a question is looked at again whose image is not known yet.
const AGAIN: Duration = Duration::from_millis(20);
/// Questions that wait for their image to be known; more than the ring has, and all of one moment after a start.
const EARLY_MAX: usize = 1_024;

/// What both threads share.
struct Shared {
    answers: Mutex<FactAnswers>,
    images: Arc<Published>,
    hashes: Hashes,
    queue: Queue,
    labeller: Arc<Labeller>,
    secret: Secret,
    /// Warnings about programs that somebody changes, and about those that cannot be read
    changed: Seldom,
    unread: Seldom,
}

/// Starts both; they run until the process ends. Yields what the first one counts up each time it comes round: the other
/// one may hang with a disk, and nothing but hashes hangs with it.
pub fn start(
    questions: Questions,
    answers: FactAnswers,
    images: Arc<Published>,
    labeller: Arc<Labeller>,
    secret: Secret,
) -> io::Result<Arc<AtomicU64>> {
    let shared = Arc::new(Shared {
        answers: Mutex::new(answers),
        images,
        hashes: Hashes::default(),
        queue: Queue::default(),
        labeller,
        secret,
        changed: Seldom::default(),
        unread: Seldom::default(),
    });
    let reading = Arc::clone(&shared);
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    thread("files").spawn(move || {
        loop {
            let asked = reading.queue.take();
            reading.read(&asked);
        }
    })?;
    let alive: Arc<AtomicU64> = Arc::default();
    let beat = Arc::clone(&alive);
    thread("facts").spawn(move || shared.run(questions, &beat))?;
    Ok(alive)
}

impl Shared {
    fn run(&self, mut questions: Questions, alive: &AtomicU64) {
        let mut early: Vec<Asked> = Vec::new();
        loop {
            alive.fetch_add(1, Ordering::Relaxed);
            while let Some(asked) = questions.take() {
                early.extend(self.take(asked));
            }
            let now_ns = Now::read().boot_ns;
            early.truncate(EARLY_MAX);
            early = early
                .into_iter()
                .filter(|asked| now_ns.saturating_sub(asked.since_boot_ns) < WAIT_NS)
                .filter_map(|asked| self.take(asked))
                .collect();
            questions.wait(if early.is_empty() { LOOK } else { AGAIN });
        }
    }

    /// Answers a question, or gives it back if its image is not known yet.
    fn take(&self, asked: Asked) -> Option<Asked> {
        let Some(image) = self.images.of(asked.active) else {
            return Some(asked);
        };
        let hash = self.hashes.of(&asked);
        match answer(&asked, &image, self.secret.key(), hash) {
            Outcome::Said(said) => self.say(&asked, said),
            Outcome::Read(said) => {
                // First, so that what is said of the file comes behind it.
                self.say(&asked, said);
                if !self.queue.put(asked.clone()) {
                    self.say(&asked, about_file(&asked, &image, None));
                }
            }
            Outcome::Changed => {
                if let Some(left_out) = self.changed.may(Instant::now()) {
                    tracing::warn!(
                        auid = asked.auid,
                        left_out,
                        "the arguments of a program were changed while they were judged; nothing is told about them"
                    );
                }
            }
        }
        None
    }

    fn read(&self, asked: &Asked) {
        let identity =
            |path: &Path| -> Result<Option<ObjectId>, IdentityError> { self.labeller.object(path) };
        let hash = match Mounts::read() {
            Ok(mounts) => files::hash(asked, &mounts, &identity).map_err(|error| chain(&error)),
            Err(error) => Err(chain(&error)),
        };
        match &hash {
            Ok(hash) => self.hashes.keep(asked, *hash),
            Err(why) => {
                let path = asked.path.as_deref().unwrap_or_default();
                if let Some(left_out) = self.unread.may(Instant::now()) {
                    tracing::warn!(
                        path = %stayhand_guardrail::text::Safe(path),
                        why,
                        left_out,
                        "nobody can say what a program hashes to; conditions on it count as perhaps met"
                    );
                }
            }
        }
        if let Some(image) = self.images.of(asked.active) {
            self.say(asked, about_file(asked, &image, hash.ok()));
        }
    }

    fn say(&self, asked: &Asked, said: Said) {
        let lasts_ns = if said.working { WAIT_LONG_NS } else { WAIT_NS };
        let until_ns = Now::read().boot_ns.saturating_add(lasts_ns);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = answers.say(asked.key, said, until_ns) {
            tracing::error!(
                error = chain(&error),
                "a question about facts stays unanswered"
            );
        }
    }
}
