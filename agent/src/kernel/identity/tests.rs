//! Tests of labelling, with a hook in memory.

use super::{super::table::Table, *};

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
    identify(hook, Path::new("/etc"))
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
    let Identified::Object(found) = ask(&mut hook).unwrap() else {
        panic!("no object")
    };
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
        assert_eq!(
            identify(&mut hook, path).unwrap(),
            Identified::ByName,
            "{}",
            path.display()
        );
    }
    for path in ["/nonexistent/x", "/dev/null/x"] {
        assert_eq!(
            identify(&mut hook, Path::new(path)).unwrap(),
            Identified::Missing,
            "{path}"
        );
    }
    assert_eq!(hook.opens, 0, "nothing was opened");
}
