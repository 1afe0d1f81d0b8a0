//! What the compiler refuses, and what the image says about itself.

use std::fmt::Write as _;

use stayhand_agent_ebpf::{
    abi::{
        code::{op, reason, verdict},
        image::ENTRIES_PER_ATTEMPT_MAX,
    },
    decide::{Attempt, Now},
};

use crate::{
    id::{GrantId, Revision},
    image::{
        Image,
        eval::{Beside, Level, judge_paths},
        leases::rows,
    },
    policy::args::Call,
    policy::{Versioned, compile, compile::CompileError, explain::TimedLease, parse},
};

fn policy(name: &str, rules: &str) -> Versioned {
    let source = format!(
        "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  subjects: {{ users: [alice] }}\n  rules:\n{rules}"
    );
    Versioned {
        revision: Revision(1),
        policy: parse(&source).unwrap(),
    }
}

fn denials(path: impl Fn(u32) -> String, count: u32) -> String {
    let mut rules = String::new();
    for index in 0..count {
        writeln!(
            rules,
            "    - {{ id: r{index}, effect: deny, exec: {{ path: {} }} }}",
            path(index)
        )
        .unwrap();
    }
    rules
}

fn image(policies: &[Versioned]) -> Image {
    compile(policies).unwrap()
}

#[test]
fn more_entries_on_one_way_down_than_the_kernel_judges_are_refused_with_their_rules() {
    let fits = policy(
        "p",
        &denials(|_| "/srv/**".to_owned(), ENTRIES_PER_ATTEMPT_MAX),
    );
    assert!(compile(std::slice::from_ref(&fits)).is_ok());
    let one_more = policy("q", &denials(|_| "/srv/deep/file".to_owned(), 1));
    let errors = compile(&[fits, one_more]).unwrap_err();
    let text = errors[0].to_string();
    assert!(
        matches!(
            errors.as_slice(),
            [CompileError::TooMuchAtOnce { count: 65, .. }]
        ),
        "{errors:?}"
    );
    assert!(
        text.contains("/srv/deep/file") && text.contains("q/r0"),
        "{text}"
    );
}

#[test]
fn more_kinds_of_open_names_in_one_directory_than_the_kernel_tries_are_refused_with_their_rules() {
    let kinds = |index: u32| format!("/d/{}*/deep/f", "a".repeat(index as usize));
    assert!(compile(&[policy("p", &denials(kinds, 8))]).is_ok());
    let text = compile(&[policy("p", &denials(kinds, 9))]).unwrap_err()[0].to_string();
    assert!(
        text.contains("/d meets 9 kinds") && text.contains("p/r0"),
        "{text}"
    );
    // Of one kind there may be more.
    let alike = |index: u32| format!("/d/{index:02}*");
    assert!(compile(&[policy("p", &denials(alike, 32))]).is_ok());
    let text = compile(&[policy("p", &denials(alike, 33))]).unwrap_err()[0].to_string();
    assert!(
        text.contains("/d meets 33 names") && text.contains("p/r0"),
        "{text}"
    );
}

#[test]
fn more_directories_with_rules_above_one_object_than_the_kernel_keeps_are_refused() {
    let nested = |depth: u32| format!("{}/**", "/d".repeat(depth as usize + 1));
    assert!(compile(&[policy("p", &denials(nested, 16))]).is_ok());
    let errors = compile(&[policy("p", &denials(nested, 17))]).unwrap_err();
    assert!(
        errors[0].to_string().contains("directories with rules"),
        "{errors:?}"
    );
}

#[test]
fn more_entries_on_one_address_than_the_kernel_judges_are_refused() {
    let mut rules = String::new();
    for index in 0..=ENTRIES_PER_ATTEMPT_MAX {
        let bits = index % 9 + 8;
        writeln!(rules, "    - {{ id: r{index}, effect: deny, net: {{ ops: [connect], cidr: 10.0.0.0/{bits}, ports: [{}] }} }}", index + 1).unwrap();
    }
    let errors = compile(&[policy("p", &rules)]).unwrap_err();
    assert!(
        matches!(&errors[0], CompileError::TooMuchAtOnce { place, .. } if place == "10.0.0.0/16"),
        "{errors:?}"
    );
}

#[test]
fn the_same_policy_twice_and_too_many_policies_are_refused() {
    let one = policy("p", &denials(|_| "/a".to_owned(), 1));
    assert!(matches!(
        compile(&[one.clone(), one.clone()]).unwrap_err().as_slice(),
        [CompileError::Duplicate(_), ..]
    ));
    let many: Vec<Versioned> = (0..65)
        .map(|index| policy(&format!("p{index}"), &denials(|_| "/a".to_owned(), 1)))
        .collect();
    assert_eq!(
        compile(&many).unwrap_err(),
        [CompileError::TooManyPolicies(65)]
    );
}

#[test]
fn labels_are_every_path_of_a_rule_and_every_directory_above_it() {
    let image = image(&[policy(
        "p",
        &denials(|index| format!("/opt/demo/x{index}"), 2),
    )]);
    let paths: Vec<String> = image
        .labels()
        .map(|(path, _)| String::from_utf8(path).unwrap())
        .collect();
    assert_eq!(
        paths,
        ["/", "/opt", "/opt/demo", "/opt/demo/x0", "/opt/demo/x1"]
    );
    let nodes: Vec<u32> = image.labels().map(|(_, node)| node).collect();
    assert_eq!(nodes, [1, 2, 3, 4, 5]);
}

#[test]
fn a_thousand_rules_compile_and_leave_one_entry_per_object() {
    let image = image(&[policy(
        "p",
        &denials(|index| format!("/opt/demo/x{index}"), 1_000),
    )]);
    assert_eq!((image.nodes.len(), image.entries.len()), (1_004, 1_000));
}

#[test]
fn an_empty_set_of_policies_compiles_to_an_image_that_allows() {
    let image = image(&[]);
    let attempt = Attempt {
        ops: op::EXEC,
        port: 0,
        protocol: 0,
        subjects: u64::MAX,
    };
    let levels = [
        Level {
            name: vec![],
            label: 1,
        },
        Level {
            name: b"x".to_vec(),
            label: 0,
        },
    ];
    let decision = judge_paths(
        &image,
        &[(levels.to_vec(), attempt)],
        Call::UNKNOWN,
        Now {
            boot_ns: 1,
            tai_ns: 1,
        },
        &Beside::default(),
    );
    assert_eq!(
        (decision.verdict, decision.reason),
        (verdict::ALLOWED, reason::DEFAULT)
    );
}

#[test]
fn a_path_deeper_than_the_walk_is_restricted() {
    let image = image(&[]);
    let levels = vec![
        Level {
            name: b"d".to_vec(),
            label: 0
        };
        65
    ];
    let attempt = Attempt {
        ops: op::WRITE,
        port: 0,
        protocol: 0,
        subjects: 1,
    };
    let decision = judge_paths(
        &image,
        &[(levels, attempt)],
        Call::UNKNOWN,
        Now {
            boot_ns: 1,
            tai_ns: 1,
        },
        &Beside::default(),
    );
    assert_eq!(
        (decision.verdict, decision.reason),
        (verdict::DENIED, reason::WALK_FAILED)
    );
}

#[test]
fn of_more_leases_than_a_row_holds_those_that_end_last_are_kept() {
    let lease = |grant: u64| TimedLease {
        grant: GrantId::from_halves([0, grant]).unwrap(),
        user: "alice".parse().unwrap(),
        permissions: vec!["p/vault".parse().unwrap()],
        // Whichever clock is first ends it: the sixth has the latest boot deadline and is long over.
        boot_deadline_ns: if grant == 6 { u64::MAX } else { grant * 10 },
        tai_deadline_ns: if grant == 6 { 1 } else { 1_000 },
    };
    let rows = rows(&[3, 1, 6, 5, 2, 4].map(lease));
    let kept: Vec<u64> = rows
        .values()
        .flat_map(|row| row.leases.map(|lease| lease.grant[1]))
        .collect();
    assert_eq!((rows.len(), kept), (1, vec![5, 4, 3, 2]));
}

#[test]
fn more_rules_without_an_object_than_the_kernel_judges_are_refused() {
    let rules = |count: u32| {
        (0..count).fold(String::new(), |mut text, index| {
            writeln!(
                text,
                "    - {{ id: r{index}, effect: deny, system: {{ ops: [bpf] }} }}"
            )
            .unwrap();
            text
        })
    };
    let most = policy("p", &rules(ENTRIES_PER_ATTEMPT_MAX));
    let system = image(std::slice::from_ref(&most)).system;
    assert_eq!(u32::from(system.len), ENTRIES_PER_ATTEMPT_MAX);
    let errors = compile(&[most, policy("q", &rules(1))]).unwrap_err();
    let text = errors[0].to_string();
    assert!(
        text.contains("system meets 65 entries") && text.contains("r0"),
        "{text}"
    );
}
