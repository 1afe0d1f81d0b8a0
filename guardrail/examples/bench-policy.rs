//! What policies of 10, 1,000 and 10,000 rules cost before a kernel has them: `cargo xtask bench policy` builds and runs it.
//!
//! Prints one line of JSON for each size. Every figure is the median of several runs, and a size is read, compiled and
//! explained by turns, so that whatever else the machine does meets all three.
#![expect(
    clippy::unwrap_used,
    reason = "a measurement of what cannot be made is none"
)]

use std::{fmt::Write as _, hint::black_box, mem::size_of, time::Duration};

use stayhand_agent_ebpf::abi::{
    image::{ArgKey, ArgStep, EdgeKey, Entry, Node, Range},
    net::NetKey,
};
use stayhand_guardrail::{
    action::Operation,
    id::{Revision, UserName},
    image::Image,
    limits::RULES_MAX,
    policy::{Attempt, Versioned, case::Situation, compile, parse},
};

/// Sizes that are printed.
const SIZES: [usize; 3] = [10, 1_000, 10_000];
/// Runs of each size, of which the median counts.
const RUNS: usize = 7;
/// Calls of one run in which a small size takes as long as a large one, so that a clock can tell it.
const RULES_PER_RUN: usize = 50_000;
/// One explanation takes a fiftieth of what parsing takes.
const EXPLANATIONS: usize = 50;

fn main() {
    for rules in SIZES {
        println!("{}", measured(rules));
    }
}

fn measured(rules: usize) -> serde_json::Value {
    let sources = sources(rules);
    let host: Vec<Versioned> = sources.iter().map(|source| read(source)).collect();
    let image = compile(&host).unwrap();
    let user = UserName::new("alice").unwrap();
    let attempt = attempt(rules);
    let situation = Situation {
        policies: &host,
        user: &user,
        groups: &[],
        attempt: &attempt,
        grants: &[],
        used_up: &[],
        flags: None,
        time: None,
    };
    let explanation = situation.account().explanation;
    assert!(explanation.rule.is_some(), "no rule is met");
    let calls = (RULES_PER_RUN / rules).max(1);
    let (mut parsed, mut compiled, mut explained) = (vec![], vec![], vec![]);
    for _ in 0..RUNS {
        parsed.push(timed(calls, || {
            sources
                .iter()
                .map(|source| read(source))
                .collect::<Vec<_>>()
        }));
        compiled.push(timed(calls, || compile(black_box(&host)).unwrap()));
        explained.push(timed(EXPLANATIONS * calls, || {
            black_box(&situation).account()
        }));
    }
    serde_json::json!({
        "rules": rules,
        "policies": sources.len(),
        "document_bytes": sources.iter().map(String::len).sum::<usize>(),
        "parse_us": median(parsed),
        "compile_us": median(compiled),
        "explain_us": median(explained),
        "image_bytes": bytes(&image),
    })
}

fn timed<T>(calls: usize, what: impl Fn() -> T) -> Duration {
    let started = on_a_processor();
    for _ in 0..calls {
        black_box(what());
    }
    on_a_processor().saturating_sub(started) / u32::try_from(calls).unwrap()
}

/// How long we have been on a processor so far: the wall clock would count what others do there, too. The kernel counts at
/// its ticks, some milliseconds; what is timed takes a hundred at least.
fn on_a_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let ns = text.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(ns)
}

/// In microseconds.
fn median(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 2].as_secs_f64() * 1e6
}

fn read(source: &str) -> Versioned {
    Versioned {
        revision: Revision(1),
        policy: parse(source).unwrap(),
    }
}

/// A third each whole directories, address ranges with port ranges, and programs with arguments, over as many policies as
/// the bounds ask for.
fn sources(rules: usize) -> Vec<String> {
    let numbers: Vec<usize> = (0..rules).collect();
    let policies = numbers.chunks(RULES_MAX).enumerate();
    policies
        .map(|(policy, numbers)| {
            let mut source = format!(
                "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: bench-{policy} }}\nspec:\n  \
                 subjects: {{ users: [alice] }}\n  rules:\n"
            );
            for number in numbers {
                writeln!(source, "    - {}", rule(*number)).unwrap();
            }
            source
        })
        .collect()
}

fn rule(number: usize) -> String {
    let (high, low) = (number / 250, number % 250);
    match number % 3 {
        0 => format!(
            "{{ id: r{number}, effect: deny, file: {{ ops: [write, create], path: /srv/a{high}/b{low}/** }} }}"
        ),
        1 => format!(
            "{{ id: r{number}, effect: deny, net: {{ ops: [connect, send], cidr: 10.{high}.{low}.0/24, ports: [443, \"8000-8100\"] }} }}"
        ),
        _ => format!(
            "{{ id: r{number}, effect: hold, exec: {{ path: /usr/bin/p{number}, subcommand: \"apply s{low}\", option: [-f, --force] }} }}"
        ),
    }
}

/// One that the last directory's rule decides.
fn attempt(rules: usize) -> Attempt {
    let last = (0..rules)
        .rfind(|number| number % 3 == 0)
        .unwrap_or_default();
    let path = format!("/srv/a{}/b{}/file", last / 250, last % 250);
    Attempt::One {
        operations: vec![Operation::Write],
        object: stayhand_guardrail::action::Object::Path {
            bytes: path.into_bytes(),
        },
    }
}

/// Rows that the kernel gets for the image, without what its tables add to each (docs/performance.md, *Memory*).
fn bytes(image: &Image) -> usize {
    let patterns = image.arguments.forwards.len() + image.arguments.backwards.len();
    image.entries.len() * size_of::<Entry>()
        + image.nodes.len() * size_of::<Node>()
        + image.edges.len() * (size_of::<EdgeKey>() + size_of::<u32>())
        + image.nets.len() * (size_of::<NetKey>() + size_of::<Range>())
        + image.arguments.steps.len() * size_of::<ArgStep>()
        + patterns * (size_of::<ArgKey>() + size_of::<u32>())
}
