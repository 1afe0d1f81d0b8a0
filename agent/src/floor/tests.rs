//! A floor that is not as it should be is never no floor.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use super::*;
use crate::testing::spool;

const GOOD: &str = "apiVersion: stayhand/v1
kind: Policy
metadata: { name: floor.base }
spec:
  subjects: { groups: [dev] }
  rules:
    - { id: no-nc, effect: deny, exec: { path: /usr/bin/nc } }
  tests:
    - { as: alice, groups: [dev], exec: [/usr/bin/nc], expect: deny, rule: no-nc }
";

fn directory() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn floor(place: &Path) -> Result<Floor, String> {
    sources(place)
        .and_then(Floor::parse)
        .map_err(|error| crate::exit::chain(&error))
}

/// Writes the good file and this one, and says why the floor is refused.
fn refused(file: &str, text: &str) -> String {
    let place = directory();
    fs::write(place.path().join("good.yaml"), GOOD).unwrap();
    fs::write(place.path().join(file), text).unwrap();
    floor(place.path()).unwrap_err()
}

#[test]
fn what_would_not_be_enforced_is_refused_with_its_place_and_never_passed_over() {
    let second = GOOD.replace("floor.base", "floor.second");
    for (file, text, words) in [
        ("x.yml", second.clone(), "is no `.yaml` file"),
        ("x.yaml~", second.clone(), "is no `.yaml` file"),
        (
            "x.yaml",
            second.replace("effect: deny", "effect: denied"),
            "x.yaml:7:",
        ),
        (
            "x.yaml",
            second.replace("effect: deny", "effect: hold"),
            "no `hold` in the floor",
        ),
        (
            "x.yaml",
            second.replace("floor.second", "second"),
            "such as `floor.second`",
        ),
        (
            "x.yaml",
            second.replace("expect: deny", "expect: allow"),
            "x.yaml:9:",
        ),
        ("x.yaml", GOOD.to_owned(), "floor.base"),
        (
            "x.yaml",
            " ".repeat((1 << 20) + 1),
            "has more than 1048576 bytes",
        ),
    ] {
        let found = refused(file, &text);
        assert!(
            found.contains(words),
            "{file}: wanted `{words}`, got {found}"
        );
    }
    let place = directory();
    for index in 0..=DOCUMENTS_MAX {
        let text = GOOD.replace("floor.base", &format!("floor.{index}"));
        fs::write(place.path().join(format!("{index}.yaml")), text).unwrap();
    }
    assert!(
        floor(place.path())
            .unwrap_err()
            .contains("more than 16 policies")
    );
}

#[test]
fn what_somebody_else_can_write_or_replace_is_refused() {
    let place = directory();
    let file = place.path().join("a.yaml");
    fs::write(&file, GOOD).unwrap();
    assert!(floor(place.path()).is_ok());
    for mode in [0o664, 0o646] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            floor(place.path())
                .unwrap_err()
                .contains("can be written by others")
        );
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o775)).unwrap();
    assert!(
        floor(place.path())
            .unwrap_err()
            .contains("can be written by others")
    );
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(floor(place.path()).is_err(), "anybody can put a file there");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let below = place.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(
        floor(&below)
            .unwrap_err()
            .contains("can be written by others"),
        "it can be renamed"
    );
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_dir(&below).unwrap();
    let elsewhere = directory();
    symlink(place.path(), elsewhere.path().join("link")).unwrap();
    assert!(floor(&elsewhere.path().join("link")).is_ok());
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(
        floor(&elsewhere.path().join("link")).is_err(),
        "the link can be replaced"
    );
    symlink(&file, place.path().join("b.yaml")).unwrap();
    assert!(
        floor(place.path()).unwrap_err().contains("b.yaml"),
        "a link"
    );
    fs::remove_file(place.path().join("b.yaml")).unwrap();
    nix::unistd::mkfifo(&place.path().join("b.yaml"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(
        floor(place.path())
            .unwrap_err()
            .contains("is not a regular file")
    );
}

#[test]
fn a_directory_that_was_asked_for_has_to_be_there() {
    let missing = directory().path().join("floor");
    assert!(sources_if_there(&missing).unwrap().is_none());
    assert!(floor(&missing).unwrap_err().contains("cannot read"));
}

#[test]
fn a_floor_says_which_documents_it_has_and_not_what_editors_leave() {
    let place = directory();
    fs::write(place.path().join("a.yaml"), GOOD).unwrap();
    fs::write(place.path().join(".a.yaml.swp"), "x").unwrap();
    let found = floor(place.path()).unwrap();
    let [shown] = found.shown().try_into().unwrap();
    assert!(
        shown.starts_with("floor.base sha256:") && shown.len() == 34,
        "{shown}"
    );
    fs::write(place.path().join("a.yaml"), format!("{GOOD}\n")).unwrap();
    assert_ne!(floor(place.path()).unwrap().shown(), [shown]);
}

#[test]
fn a_wrong_floor_leaves_the_last_good_one_and_without_one_there_is_no_start() {
    let place = tempfile::tempdir().unwrap();
    let spool = spool(place.path());
    let wrong = || Err(FloorError::Wrong(vec!["a.yaml:1:1: no".into()]));
    assert_eq!(settle(Ok(None), &spool).unwrap(), Default::default());
    let never = settle(wrong(), &spool).unwrap_err();
    assert_eq!(never.code(), crate::exit::Code::Config);
    let source = Source {
        file: "a.yaml".into(),
        text: GOOD.into(),
    };
    let good = Floor::parse(vec![source]).unwrap();
    assert_eq!(
        settle(Ok(Some(good.clone())), &spool).unwrap(),
        (good.clone(), None)
    );
    let (kept, said) = settle(wrong(), &spool).unwrap();
    assert_eq!(kept, good);
    assert!(said.unwrap().contains("a.yaml:1:1: no"));
    let (kept, said) = settle(Ok(None), &spool).unwrap();
    assert_eq!(kept, good, "a directory that is gone takes nothing away");
    assert!(said.unwrap().contains("leave an empty one"));
    let none = settle(Ok(Some(Floor::default())), &spool).unwrap();
    assert_eq!(none, (Floor::default(), None), "taken away by its owner");
    assert_eq!(settle(Ok(None), &spool).unwrap(), (Floor::default(), None));
}

/// Its first floor is wrong: what the control plane said last is better than nothing.
#[test]
fn a_wrong_floor_keeps_no_state_from_being_enforced() {
    let place = tempfile::tempdir().unwrap();
    let spool = spool(place.path());
    spool
        .put_documents(&[(crate::spool::Key::State, b"{}".to_vec())])
        .unwrap();
    let wrong = Err(FloorError::Wrong(vec!["a.yaml:1:1: no".into()]));
    let (floor, said) = settle(wrong, &spool).unwrap();
    assert!(floor.is_empty() && said.unwrap().contains("NOT ENFORCED"));
}
