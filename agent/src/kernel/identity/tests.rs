//! Tests of labelling, with a hook in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use stayhand_agent_ebpf::abi::task::Identity;

use super::{
    super::table::Table,
    ends::Ends,
    labeller::{STUCK_MAX, Told, answering},
    open::identify,
    *,
};

/// Reports opens as the hook would: so many per open, with such an inode number, by thread `tid`.
struct Hook {
    opens: u32,
    tid: Option<u32>,
    reports: fn(u32) -> u32,
    ino: fn(u32) -> u64,
    row: Identity,
}

impl Hook {
    fn new(reports: fn(u32) -> u32, ino: fn(u32) -> u64) -> Self {
        Self {
            opens: 0,
            tid: None,
            reports,
            ino,
            row: Identity::default(),
        }
    }
}

impl Table<u32, Identity> for Hook {
    fn name(&self) -> &'static str {
        "IDENTITY"
    }
    fn get(&self, _: &u32) -> Result<Option<Identity>, TableError> {
        Ok(Some(self.row))
    }
    fn put(&mut self, _: &u32, armed: &Identity) -> Result<(), TableError> {
        let count = (self.reports)(self.opens);
        let tid = if count == 0 {
            armed.tid
        } else {
            self.tid.unwrap_or(armed.tid)
        };
        self.row = Identity {
            ino: (self.ino)(self.opens),
            dev: 1,
            igen: 2,
            tid,
            count,
        };
        self.opens += 1;
        Ok(())
    }
    fn remove(&mut self, _: &u32) -> Result<bool, TableError> {
        Ok(false)
    }
    fn keys(&self) -> Result<Vec<u32>, TableError> {
        Ok(vec![])
    }
}

fn ask(hook: &mut Hook) -> Result<Identified, IdentityError> {
    identify(hook, &Ends::new(), Path::new("/etc"))
}

#[test]
fn no_report_is_an_error_and_not_an_identity() {
    assert!(matches!(
        ask(&mut Hook::new(|_| 0, |_| 5)),
        Err(IdentityError::NotReported)
    ));
}

#[test]
fn another_threads_report_is_not_taken() {
    let mut hook = Hook {
        tid: Some(1),
        ..Hook::new(|_| 1, |_| 5)
    };
    assert!(matches!(
        ask(&mut hook),
        Err(IdentityError::Ambiguous { .. })
    ));
}

#[test]
fn two_objects_in_one_open_are_ambiguous() {
    assert!(matches!(
        ask(&mut Hook::new(|_| 2, |_| 5)),
        Err(IdentityError::Ambiguous { .. })
    ));
}

#[test]
fn a_torn_report_is_outvoted_by_two_that_agree() {
    let mut hook = Hook::new(
        |open| if open == 1 { 3 } else { 1 },
        |open| if open == 2 { 99 } else { 5 },
    );
    let Identified::Object(found, place) = ask(&mut hook).unwrap() else {
        panic!("no object")
    };
    assert_eq!(place.real, Path::new("/etc"));
    assert!(place.mount.is_some());
    assert_eq!(
        found,
        ObjectId {
            ino: 5,
            dev: 1,
            igen: 2
        }
    );
    assert_eq!(hook.opens, 5, "first, disturbed, torn, and two that agree");
}

#[test]
fn only_regular_files_and_directories_are_opened() {
    let place = tempfile::tempdir().unwrap();
    let pipe = place.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut hook = Hook::new(|_| 1, |_| 5);
    for path in [
        pipe.as_path(),
        Path::new("/dev/null"),
        Path::new("/proc/self/status"),
    ] {
        assert!(
            matches!(
                identify(&mut hook, &Ends::new(), path).unwrap(),
                Identified::ByName(_)
            ),
            "{}",
            path.display()
        );
    }
    for path in ["/nonexistent/x", "/dev/null/x"] {
        assert_eq!(
            identify(&mut hook, &Ends::new(), Path::new(path)).unwrap(),
            Identified::Missing,
            "{path}"
        );
    }
    assert_eq!(hook.opens, 0, "nothing was opened");
}

/// Opens of anything below `/hung` never return; others yield nothing.
fn hung(deadline: Duration) -> (Labeller, Arc<AtomicUsize>) {
    let started = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&started);
    let start = move || {
        count.fetch_add(1, Ordering::SeqCst);
        answering(|path, _| {
            while path.starts_with("/hung") {
                std::thread::park();
            }
            Ok(Told::Object(Identified::Missing))
        })
    };
    let made = Labeller::with(Box::new(start), deadline, Arc::new(Ends::new()));
    (made.unwrap(), started)
}

#[test]
fn a_file_system_that_is_silent_holds_up_nobody_and_is_not_asked_again() {
    let (labeller, started) = hung(Duration::from_millis(50));
    let ask = |path: &str| labeller.identify(Path::new(path));
    let silent = |answer: Result<Identified, IdentityError>| {
        matches!(answer, Err(IdentityError::Silent { .. }))
    };
    let begun = Instant::now();
    assert!(silent(ask("/hung")));
    assert_eq!(ask("/well").unwrap(), Identified::Missing);
    assert!(silent(ask("/hung/below")) && silent(ask("/hung")));
    assert_eq!(
        started.load(Ordering::SeqCst),
        2,
        "one thread was left behind, and what is below it was not asked for"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn threads_that_are_left_behind_are_bounded() {
    let start = || {
        answering(|_, _| {
            loop {
                std::thread::park();
            }
        })
    };
    let deadline = Duration::from_millis(1);
    let labeller = Labeller::with(Box::new(start), deadline, Arc::new(Ends::new())).unwrap();
    for index in 0..STUCK_MAX * 2 {
        let answer = labeller.identify(Path::new(&format!("/hung-{index}")));
        assert!(matches!(answer, Err(IdentityError::Silent { .. })));
    }
    assert_eq!(labeller.stuck(), STUCK_MAX);
}

#[test]
fn an_object_ends_when_nobody_has_it_any_more_and_not_before() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("f");
    std::fs::write(&path, "x").unwrap();
    let (ends, object) = (
        Ends::new(),
        ObjectId {
            ino: 1,
            dev: 2,
            igen: 3,
        },
    );
    ends.watch(object, &path);
    let moved = place.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    assert!(ends.ended().is_empty(), "a name is not an object");
    let open = std::fs::File::open(&moved).unwrap();
    std::fs::remove_file(&moved).unwrap();
    assert!(ends.ended().is_empty(), "it is still open");
    drop(open);
    assert_eq!(ends.ended(), [object]);
    assert!(ends.ended().is_empty(), "said once");
    assert_eq!(ends.unwatched(), 0);
}

#[test]
fn an_object_that_cannot_be_watched_is_counted() {
    let ends = Ends::new();
    let object = ObjectId {
        ino: 1,
        dev: 2,
        igen: 3,
    };
    ends.watch(object, Path::new("/nonexistent"));
    assert_eq!(ends.unwatched(), 1);
}
