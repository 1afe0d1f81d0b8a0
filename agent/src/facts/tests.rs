//! Answers, turns and files, without a kernel.

use std::{
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use stayhand_agent_ebpf::{
    abi::fact::{FactBits, FactKey},
    strings,
};
use stayhand_guardrail::{
    id::Revision,
    image::Image,
    policy::{Versioned, args::Sha256, compile, parse},
};

use super::{
    answer::{Outcome, about_file, answer},
    files::{self, FILE_BYTES_MAX, Unread},
    hashing::{Hashes, Queue, WAITING_MAX},
};
use crate::kernel::{
    identity::ObjectId,
    image::Published,
    mounts::{Mount, Mounts},
    questions::{Asked, Content, Said},
};

const SECRET: [u64; 2] = [3, 4];
const FILE: ObjectId = ObjectId {
    ino: 1,
    dev: 2,
    igen: 3,
};

/// Fact 0 is a regular expression, 1 is one over the line, 2 is a hash of 32 bytes of 1.
fn image() -> Image {
    let hash = "01".repeat(32);
    let source = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: p }}\nspec:\n  subjects: {{ users: [alice] }}\n  \
         rules:\n    - {{ id: a, effect: deny, exec: {{ path: /a, regex: \"^dr[ou]p$\", lineRegex: \"^x drop\" }} }}\n    \
         - {{ id: b, effect: deny, exec: {{ path: /a, sha256: \"{hash}\" }} }}\n"
    );
    let policy = parse(&source).unwrap();
    let revision = Revision(1);
    compile(&[Versioned { revision, policy }]).unwrap()
}

fn asked(arguments: &[&str]) -> Asked {
    let arguments: Vec<Vec<u8>> = arguments
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .collect();
    let hash = strings::hash(SECRET, arguments.iter().skip(1).map(Vec::as_slice));
    let mut wanted = FactBits::default();
    (0..3).for_each(|number| wanted.set(number));
    Asked {
        key: FactKey { digest: [1, 2] },
        active: 2,
        since_boot_ns: 0,
        wanted,
        object: FILE,
        content: Content {
            size: 5,
            ctime_s: 0,
            ctime_ns: 0,
            version: 0,
        },
        written: false,
        path: Some(b"/a".to_vec()),
        judged: (arguments.len() as u64, hash),
        arguments: Some(arguments),
        auid: 1000,
    }
}

/// Numbers that are so, that are not, and that nobody knows.
fn told(said: &Said) -> [Vec<u32>; 3] {
    let of = |is: &dyn Fn(u32) -> bool| (0..3).filter(|number| is(*number)).collect();
    [
        of(&|number| said.so.has(number)),
        of(&|number| said.known.has(number) && !said.so.has(number)),
        of(&|number| said.unknown.has(number)),
    ]
}

#[test]
fn arguments_that_were_changed_after_they_were_judged_are_answered_nothing() {
    let mut raced = asked(&["a", "harmless"]);
    raced.judged = asked(&["a", "drop"]).judged;
    assert_eq!(answer(&raced, &image(), SECRET, None), Outcome::Changed);
    let more = Asked {
        judged: (3, asked(&["a", "drop"]).judged.1),
        ..asked(&["a", "drop"])
    };
    assert_eq!(answer(&more, &image(), SECRET, None), Outcome::Changed);
}

#[test]
fn what_did_not_fit_is_unknown_and_a_known_file_needs_no_reading() {
    let mut cut = asked(&["a", "drop"]);
    cut.arguments = None;
    let hash = Some(Sha256([1; 32]));
    let Outcome::Said(said) = answer(&cut, &image(), SECRET, hash) else {
        panic!("nothing is to be read");
    };
    assert_eq!(told(&said), [vec![2], vec![], vec![0, 1]]);
}

#[test]
fn expressions_are_told_at_once_and_the_hash_once_the_file_was_read() {
    let asked = asked(&["a", "x", "drop"]);
    let Outcome::Read(said) = answer(&asked, &image(), SECRET, None) else {
        panic!("the file is to be read");
    };
    assert!(said.working);
    assert_eq!(told(&said), [vec![0, 1], vec![], vec![]]);
    let file = |hash| told(&about_file(&asked, &image(), hash));
    assert_eq!(file(Some(Sha256([1; 32]))), [vec![2], vec![], vec![]]);
    assert_eq!(file(Some(Sha256([2; 32]))), [vec![], vec![2], vec![]]);
    assert_eq!(file(None), [vec![], vec![], vec![2]]);
}

#[test]
fn a_file_that_is_being_written_or_has_no_path_hashes_to_nothing() {
    let written = Asked {
        written: true,
        ..asked(&["a"])
    };
    let nameless = Asked {
        path: None,
        ..asked(&["a"])
    };
    for (asked, hash) in [(written, Some(Sha256([1; 32]))), (nameless, None)] {
        let Outcome::Said(said) = answer(&asked, &image(), SECRET, hash) else {
            panic!("nothing is to be read");
        };
        assert_eq!(told(&said), [vec![], vec![0, 1], vec![2]]);
    }
}

#[test]
fn questions_are_about_the_image_that_judged_and_no_other() {
    let images = Published::default();
    let (first, second) = (Arc::new(image()), Arc::new(compile(&[]).unwrap()));
    images.publish(2, &first);
    images.publish(5, &second);
    assert_eq!(images.of(2), Some(Arc::clone(&first)));
    assert_eq!(images.of(5), Some(second));
    assert_eq!((images.of(3), images.of(4)), (None, None));
    images.publish(6, &first);
    assert_eq!(images.of(2), None);
}

#[test]
fn one_subject_fills_its_own_places_and_everybody_has_a_turn() {
    let queue = Queue::default();
    let of = |auid| Asked {
        auid,
        ..asked(&["a"])
    };
    for _ in 0..WAITING_MAX {
        assert!(queue.put(of(7)));
    }
    assert!(!queue.put(of(7)));
    assert!(queue.put(of(3)) && queue.put(of(9)) && queue.put(of(3)));
    let order: Vec<u32> = (0..6).map(|_| queue.try_take().unwrap().auid).collect();
    assert_eq!(order, [3, 7, 9, 3, 7, 7]);
    let left = std::iter::from_fn(|| queue.try_take());
    assert!(left.map(|asked| asked.auid).eq([7; 5]));
}

#[test]
fn another_content_of_a_file_has_no_hash_yet() {
    let hashes = Hashes::default();
    let mut asked = asked(&["a"]);
    hashes.keep(&asked, Sha256([1; 32]));
    assert_eq!(hashes.of(&asked), Some(Sha256([1; 32])));
    asked.content.ctime_ns += 1;
    assert_eq!(hashes.of(&asked), None);
}

/// A file, what is asked about it, and mounts on which it is.
struct Written {
    file: tempfile::NamedTempFile,
    asked: Asked,
    mounts: Mounts,
}

fn written(bytes: &[u8], kind: &str) -> Written {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let path = file.path().to_str().unwrap().as_bytes().to_vec();
    let metadata = file.as_file().metadata().unwrap();
    let asked = Asked {
        path: Some(path),
        content: Content {
            size: metadata.size(),
            ctime_s: metadata.ctime(),
            ctime_ns: u32::try_from(metadata.ctime_nsec()).unwrap(),
            version: 0,
        },
        ..asked(&["a"])
    };
    let mount = Mount {
        id: 1,
        dev: FILE.dev,
        root: b"/".to_vec(),
        point: b"/".to_vec(),
        kind: kind.as_bytes().to_vec(),
    };
    let mounts = Mounts(vec![mount]);
    Written {
        file,
        asked,
        mounts,
    }
}

fn hash(written: &Written, found: Option<ObjectId>) -> Result<Sha256, Unread> {
    files::hash(&written.asked, &written.mounts, &|_: &Path| Ok(found))
}

#[test]
fn a_file_is_hashed_once_its_change_time_can_tell_the_next_change() {
    let empty = written(b"", "ext4");
    let hash = hash(&empty, Some(FILE)).unwrap();
    let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(hash.to_string(), expected);
    let age = SystemTime::now()
        .duration_since(empty.file.as_file().metadata().unwrap().modified().unwrap())
        .unwrap();
    assert!(age >= Duration::from_millis(20), "{age:?}");
}

#[test]
fn another_file_another_content_and_another_file_system_hash_to_nothing() {
    let file = written(b"hello", "ext4");
    assert!(matches!(hash(&file, None), Err(Unread::Other)));
    let other = ObjectId { igen: 4, ..FILE };
    assert!(matches!(hash(&file, Some(other)), Err(Unread::Other)));
    for kind in ["fuse", "nfs4", "proc"] {
        let strange = written(b"hello", kind);
        assert!(matches!(
            hash(&strange, Some(FILE)),
            Err(Unread::FileSystem)
        ));
    }
    let changes: [fn(&mut Content); 4] = [
        |content| content.size += 1,
        |content| content.ctime_ns ^= 1,
        |content| content.size = FILE_BYTES_MAX + 1,
        |content| content.ctime_s += 3_600,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut file = written(b"hello", "tmpfs");
        change(&mut file.asked.content);
        let found = hash(&file, Some(FILE));
        let right = match index {
            0 | 1 => matches!(found, Err(Unread::Other)),
            2 => matches!(found, Err(Unread::TooLarge)),
            _ => matches!(found, Err(Unread::Future)),
        };
        assert!(right, "{index}: {found:?}");
    }
    let mut gone = written(b"hello", "ext4");
    gone.asked.path = Some(b"/nonexistent/file".to_vec());
    assert!(matches!(hash(&gone, Some(FILE)), Err(Unread::Io(_))));
    gone.asked.path = Some(b"/tmp".to_vec());
    assert!(matches!(hash(&gone, Some(FILE)), Err(Unread::Other)));
}
