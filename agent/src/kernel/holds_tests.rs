//! Tests of answers, removal and counting, on maps in memory.

use super::{super::table::fake::Fake, *};

type Faked = Holds<Fake<HoldKey, HoldEntry>, Fake<HoldKey, AnswerEntry>, Fake<u32, u32>>;

const KEY: HoldKey = HoldKey {
    task_cookie: 1,
    digest: [2, 3],
};

fn with(holds: &[(HoldKey, u64, u32)]) -> Faked {
    let mut made = Holds {
        pending: Fake::new("HOLDS", 8),
        answers: Fake::new("ANSWERS", 8),
        counts: Fake::new("HOLD_COUNTS", 8),
    };
    for (key, hold, auid) in holds {
        made.pending.rows.insert(
            *key,
            HoldEntry {
                hold: *hold,
                auid: *auid,
                ..HoldEntry::default()
            },
        );
        *made.counts.rows.entry(*auid).or_default() += 1;
    }
    made
}

#[test]
fn an_answer_to_a_hold_that_is_not_pending_leaves_nothing_behind() {
    let mut holds = with(&[(KEY, 7, 1000)]);
    assert!(
        !holds.answer(&KEY, 8, KernelAnswer::Approved).unwrap(),
        "an older hold of the same call"
    );
    let other = HoldKey {
        task_cookie: 9,
        ..KEY
    };
    assert!(!holds.answer(&other, 7, KernelAnswer::Approved).unwrap());
    assert!(holds.answers.rows.is_empty());
}

#[test]
fn an_answer_names_its_hold() {
    let mut holds = with(&[(KEY, 7, 1000)]);
    assert!(holds.answer(&KEY, 7, KernelAnswer::Refused).unwrap());
    assert_eq!(
        holds.answers.rows[&KEY],
        AnswerEntry {
            hold: 7,
            answer: answer::REFUSED,
            pad: 0
        }
    );
}

#[test]
fn removing_takes_it_off_the_count_once() {
    let second = HoldKey {
        task_cookie: 5,
        ..KEY
    };
    let mut holds = with(&[(KEY, 7, 1000), (second, 8, 1000)]);
    holds.answer(&KEY, 7, KernelAnswer::Approved).unwrap();
    let pending = holds.get(&KEY).unwrap().unwrap();
    assert!(holds.remove(&pending).unwrap());
    assert!(!holds.remove(&pending).unwrap());
    assert_eq!((holds.counts.rows[&1000], holds.answers.rows.len()), (1, 0));
}

#[test]
fn a_later_hold_of_the_same_call_is_not_removed_for_an_earlier_one() {
    let mut holds = with(&[(KEY, 7, 1000)]);
    let earlier = holds.get(&KEY).unwrap().unwrap();
    holds.pending.rows.get_mut(&KEY).unwrap().hold = 8;
    holds.answer(&KEY, 8, KernelAnswer::Approved).unwrap();
    assert!(!holds.remove(&earlier).unwrap());
    assert_eq!(
        (
            holds.pending.rows.len(),
            holds.answers.rows.len(),
            holds.counts.rows[&1000]
        ),
        (1, 1, 1)
    );
}

#[test]
fn counts_that_drifted_are_mended() {
    let mut holds = with(&[(KEY, 7, 1000)]);
    holds.counts.rows.insert(1000, u32::MAX);
    holds.counts.rows.insert(1001, 2);
    assert_eq!(holds.recount().unwrap(), [1000, 1001]);
    assert_eq!((holds.counts.rows[&1000], holds.counts.rows[&1001]), (1, 0));
    assert!(holds.recount().unwrap().is_empty());
}
