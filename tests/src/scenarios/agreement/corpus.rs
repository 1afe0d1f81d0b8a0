//! The corpus (`fixtures/agreement/`): its cases, and what both evaluators make of them.

use std::{collections::BTreeMap, net::SocketAddr, sync::LazyLock};

use anyhow::{Context as _, Result, bail, ensure};
use stayhand_agent_ebpf::{
    abi::{code::op, net::NET_INTERNET, rate::Rate},
    decide::{Attempt, Decision, Now},
};
use stayhand_guardrail::{
    action::{Class, Object, Operation},
    id::{GrantId, GroupName, PolicyName, Revision, RuleId, UserName},
    image::{
        Image, RuleInfo,
        eval::{Beside, Level, judge_address, judge_name, judge_paths, judge_system},
        leases::rows,
        schedules::Wall,
    },
    policy::{
        HostLabels, Protocol, Versioned,
        args::{Arguments, Call, Programs},
        compile_with,
        explain::{End, Explanation, Known, Question, TimedLease, explain},
        net::mapped_octets,
        parse,
    },
    reason::{Reason, Verdict},
    time::UnixMs,
};

const POLICIES: [&str; 8] = [
    include_str!("../../../fixtures/agreement/base.yaml"),
    include_str!("../../../fixtures/agreement/monitor.yaml"),
    include_str!("../../../fixtures/agreement/second.yaml"),
    include_str!("../../../fixtures/agreement/system.yaml"),
    include_str!("../../../fixtures/agreement/when.yaml"),
    include_str!("../../../fixtures/agreement/default.yaml"),
    include_str!("../../../fixtures/agreement/rate.yaml"),
    include_str!("../../../fixtures/agreement/words.yaml"),
];
const CASES: &str = include_str!("../../../fixtures/agreement/cases.txt");
/// Who is granted what.
pub const GRANTED: [(&str, &[&str]); 2] = [("alice", &OF_ALICE), ("erin", &OF_ERIN)];
const OF_ERIN: [&str; 3] = [
    "agree-default/shelf",
    "agree-default/tray",
    "agree-default/drill",
];
const OF_ALICE: [&str; 11] = [
    "agree-base/ledger",
    "agree-base/tools",
    "agree-base/store",
    "agree-base/library",
    "agree-base/half",
    "agree-base/sites",
    "agree-base/jobs",
    "agree-base/chores",
    "agree-when/clocked",
    "agree-rate/counted",
    "agree-words/reading",
];
/// The flag that is set.
pub const FLAG: &str = "agree-busy";
/// Any time at which the leases of the evaluators are live.
const NOW_NS: u64 = 1_000;
/// In a guest it is some other time of this century: the windows of the corpus have all of it, or nothing.
const NOW: UnixMs = UnixMs(1_795_953_540_000);

/// What starts every program of the corpus: the puppets' own, where the guest has it (xtask/src/rootfs/project.rs).
static STARTED_BY: LazyLock<[String; 1]> =
    LazyLock::new(|| ["/usr/lib/stayhand/stayhand-guest".to_owned()]);

/// The policies' texts, of which one file may have several.
pub fn sources() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().flat_map(|file| file.split("---\n"))
}

/// One line of the fixture.
#[derive(Debug)]
pub struct Case {
    /// As it is written
    pub line: &'static str,
    /// Who
    pub user: UserName,
    /// Names the attempt, which may comprise others
    pub operation: Operation,
    /// On what
    pub object: &'static str,
    /// Of an execution, behind the program's name
    pub arguments: Vec<Vec<u8>>,
    /// What becomes of it
    pub verdict: Verdict,
    /// The rule of a recorded decision
    pub rule: Option<&'static str>,
    /// Whether its rate is used up
    pub used_up: bool,
}

/// What a case is about.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A destination, or a local address
    Address(SocketAddr),
    /// A file, or the file of a socket
    Path(&'static str),
    /// The name of a socket that has no file
    Name(&'static str),
    /// The kernel itself, or a process: nothing that a rule could name
    Nothing,
    /// Both ends of a rename or a link
    Ends {
        /// What is there
        from: &'static str,
        /// What it will be
        to: &'static str,
        /// Whether something is there already
        replaces: bool,
    },
}

/// Every case.
pub fn cases() -> Result<Vec<Case>> {
    let lines = CASES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| case(line).with_context(|| format!("fixture line `{line}`")))
        .collect()
}

fn case(line: &'static str) -> Result<Case> {
    let words: Vec<&'static str> = line.split(' ').collect();
    let (user, operation, object, verdict, rule, used_up) = match *words {
        [user, operation, object, verdict, rule] => (user, operation, object, verdict, rule, false),
        [user, operation, object, verdict, rule, "used-up"] => {
            (user, operation, object, verdict, rule, true)
        }
        _ => bail!("neither five words nor `used-up` behind them"),
    };
    let operation = Operation::ALL
        .into_iter()
        .find(|known| known.as_str() == operation);
    let operation = operation.context("no such operation")?;
    let (object, arguments) = match operation {
        Operation::Exec => {
            let mut words = object.split('+');
            let path = words.next().unwrap_or_default();
            (path, words.map(|word| word.as_bytes().to_vec()).collect())
        }
        _ => (object, vec![]),
    };
    let verdicts = [Verdict::Allowed, Verdict::Denied, Verdict::Held];
    let verdict = verdicts.into_iter().find(|known| known.as_str() == verdict);
    let case = Case {
        line,
        user: user.parse()?,
        operation,
        object,
        arguments,
        verdict: verdict.context("no such verdict")?,
        rule: Some(rule).filter(|rule| *rule != "-"),
        used_up,
    };
    case.what()?;
    Ok(case)
}

impl Case {
    /// What it is about.
    pub fn what(&self) -> Result<What> {
        if self.operation.class() == Class::Net && !is_about_nothing(self.operation) {
            if let Some(name) = self.object.strip_prefix('@') {
                return Ok(What::Name(name));
            }
            return Ok(if self.object.starts_with('/') {
                What::Path(self.object)
            } else {
                What::Address(self.object.parse()?)
            });
        }
        if is_about_nothing(self.operation) {
            ensure!(self.object == "-", "an object where there is none");
            return Ok(What::Nothing);
        }
        if !matches!(self.operation, Operation::Rename | Operation::Link) {
            return Ok(What::Path(self.object));
        }
        let new = self.object.split_once("->").map(|ends| (ends, false));
        let old = || self.object.split_once("=>").map(|ends| (ends, true));
        let ((from, to), replaces) = new.or_else(old).context("no two ends")?;
        Ok(What::Ends { from, to, replaces })
    }

    /// What the attempt comprises at each of its ends, and where they are: the new place first, as the kernel does.
    fn ends(&self) -> Result<Vec<(u32, &'static str)>> {
        let bits = |operations: &[Operation]| operations.iter().fold(0, |all, one| all | one.bit());
        let one = self.operation;
        Ok(match self.what()? {
            What::Address(_) | What::Name(_) | What::Nothing => vec![(one.bit(), self.object)],
            // A creation comprises its own open.
            What::Path(path) if one == Operation::Create => {
                vec![(bits(&[one, Operation::Write]), path)]
            }
            What::Path(path) => vec![(one.bit(), path)],
            What::Ends { from, to, replaces } => {
                let mut there = bits(&[one, Operation::Create]);
                if replaces {
                    there |= bits(&[Operation::Write, Operation::Delete]);
                }
                let mut here = one.bit();
                if one == Operation::Rename {
                    here |= Operation::Delete.bit();
                }
                vec![(there, to), (here, from)]
            }
        })
    }

    /// What the kernel knows of it beside its object: puppets have no terminal.
    fn call(&self) -> Call<'_> {
        if self.operation != Operation::Exec {
            return Call::UNKNOWN;
        }
        let started_by = Programs {
            paths: STARTED_BY.as_slice(),
            all: true,
        };
        Call {
            arguments: Arguments::Known(&self.arguments),
            sha256: None,
            terminal: Some(false),
            parents: started_by,
            ancestors: started_by,
        }
    }

    fn groups(&self) -> Result<Vec<GroupName>> {
        let groups: &[&str] = match self.user.as_str() {
            "alice" => &["alice", "dev"],
            "bob" => &["bob"],
            _ => &[],
        };
        groups.iter().map(|group| Ok(group.parse()?)).collect()
    }

    /// Whether what was found is what the fixture says: the verdict, and the rule of a recorded decision.
    pub fn expects(&self, who: &str, verdict: Verdict, rule: Option<&str>) -> Result<()> {
        ensure!(
            verdict == self.verdict && rule == self.rule,
            "`{}`: {who} says {verdict} by {}",
            self.line,
            rule.unwrap_or("-")
        );
        Ok(())
    }
}

/// Whether no rule can name what an operation is done to.
pub fn is_about_nothing(operation: Operation) -> bool {
    operation.bit() & op::SYSTEM != 0
}

/// Of the sockets by which the corpus tries an operation on an address.
fn protocol(operation: Operation) -> u16 {
    if operation == Operation::Listen {
        Protocol::TCP.0
    } else {
        Protocol::UDP.0
    }
}

/// The policies that are meant for the guest, which has no labels.
fn policies() -> Result<Vec<Versioned>> {
    let mut all = every_policy()?;
    all.retain(|one| one.policy.hosts.selects(&HostLabels::default()));
    Ok(all)
}

fn every_policy() -> Result<Vec<Versioned>> {
    let parsed = sources().map(|text| {
        let policy = parse(text).map_err(|findings| anyhow::anyhow!("{findings:?}"))?;
        Ok(Versioned {
            revision: Revision(1),
            policy,
        })
    });
    parsed.collect()
}

/// The compiled policies.
pub fn image() -> Result<Image> {
    let flags = [(FLAG.parse()?, UnixMs(u64::MAX))].into_iter().collect();
    compile_with(&policies()?, &flags).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

fn leases() -> Result<Vec<TimedLease>> {
    let lease = |(number, (user, names)): (u64, &(&str, &[&str]))| {
        let permissions = names.iter().map(|name| Ok(name.parse()?));
        Ok(TimedLease {
            grant: GrantId::from_halves([1, number]).context("no id")?,
            user: user.parse()?,
            permissions: permissions.collect::<Result<_>>()?,
            boot_deadline_ns: u64::MAX,
            tai_deadline_ns: u64::MAX,
        })
    };
    (1u64..).zip(&GRANTED).map(lease).collect()
}

fn reference(case: &Case, policies: &[Versioned], leases: &[TimedLease]) -> Result<Explanation> {
    let known = |place: &str| -> Result<[Known; 1]> {
        Ok([Known::from(match case.what()? {
            What::Address(address) => Object::Address {
                ip: address.ip(),
                port: address.port(),
                protocol: Some(protocol(case.operation)),
            },
            What::Name(name) => Object::Name {
                bytes: name.as_bytes().to_vec(),
            },
            What::Nothing => Object::Request {
                words: String::new(),
            },
            _ => Object::Path {
                bytes: place.as_bytes().to_vec(),
            },
        })])
    };
    let ends = case.ends()?;
    let ends: Vec<(u32, [Known; 1])> = ends
        .into_iter()
        .map(|(operations, place)| Ok((operations, known(place)?)))
        .collect::<Result<_>>()?;
    let ends: Vec<End<'_>> = ends
        .iter()
        .map(|(operations, objects)| End {
            operations: *operations,
            objects,
            call: case.call(),
        })
        .collect();
    let used_up: Vec<(PolicyName, RuleId)> = match case.rule.and_then(|rule| rule.split_once('/')) {
        Some((policy, rule)) if case.used_up => vec![(policy.parse()?, rule.parse()?)],
        _ => vec![],
    };
    Ok(explain(&Question {
        policies,
        leases,
        user: &case.user,
        groups: &case.groups()?,
        ends: &ends,
        boot_ns: NOW_NS,
        tai_ns: NOW_NS,
        unix: Some([NOW; 2]),
        used_up: &used_up,
        flags: Some(&[FLAG.parse()?]),
    }))
}

/// The rate that is used up, as a bit.
fn used_up(case: &Case, image: &Image) -> u64 {
    let is_meant = |row: &Rate| {
        let rule = image.rule(row.rule).map(RuleInfo::shown);
        case.used_up && rule.as_deref() == case.rule
    };
    let place = image.rates.iter().position(is_meant);
    place.map_or(0, |place| 1 << place)
}

fn compiled(case: &Case, image: &Image, leases: &[TimedLease]) -> Result<Decision> {
    let mine = rows(leases)
        .into_iter()
        .filter(|((user, _), _)| *user == case.user);
    let tables = Beside {
        leases: mine
            .map(|((_, permission), row)| (permission.get(), row))
            .collect::<BTreeMap<_, _>>(),
        schedules: Wall::of(NOW, NOW_NS, NOW_NS).rows(&image.schedules),
        used_up: used_up(case, image),
    };
    let subjects = image.subject_sets_of(&case.user, &case.groups()?);
    let attempt = |ops, port| Attempt {
        ops,
        port,
        protocol: if case.operation.class() == Class::Net {
            protocol(case.operation)
        } else {
            0
        },
        subjects,
    };
    let now = Now {
        boot_ns: NOW_NS,
        tai_ns: NOW_NS,
    };
    if let What::Address(address) = case.what()? {
        let attempt = attempt(case.operation.bit(), address.port());
        let octets = (NET_INTERNET, mapped_octets(address.ip()));
        return Ok(judge_address(image, octets, &attempt, now, &tables));
    }
    if let What::Name(name) = case.what()? {
        let attempt = attempt(case.operation.bit(), 0);
        return Ok(judge_name(image, name.as_bytes(), &attempt, now, &tables));
    }
    if let What::Nothing = case.what()? {
        let attempt = attempt(case.operation.bit(), 0);
        return Ok(judge_system(image, &attempt, now, &tables));
    }
    let ends: Vec<(Vec<Level>, Attempt)> = case
        .ends()?
        .into_iter()
        .map(|(ops, path)| (levels(path, image), attempt(ops, 0)))
        .collect();
    Ok(judge_paths(image, &ends, case.call(), now, &tables))
}

/// The way down to a path of which nothing but the root existed when the image was made: names decide.
fn levels(path: &str, image: &Image) -> Vec<Level> {
    let root = image
        .labels()
        .find(|(path, _)| path == b"/")
        .map_or(0, |(_, node)| node);
    let mut levels = vec![Level {
        name: vec![],
        label: root,
    }];
    let names = path.split('/').filter(|name| !name.is_empty());
    levels.extend(names.map(|name| Level {
        name: name.as_bytes().to_vec(),
        label: 0,
    }));
    levels
}

/// Both evaluators against the fixture, without a kernel.
pub fn evaluators_agree() -> Result<usize> {
    let (policies, leases) = (policies()?, leases()?);
    let image = image()?;
    let cases = cases()?;
    for case in &cases {
        let said = reference(case, &policies, &leases)?;
        let rule = said
            .rule
            .as_ref()
            .filter(|_| said.recorded)
            .map(|rule| format!("{}/{}", rule.policy, rule.rule));
        case.expects("the reference", said.verdict, rule.as_deref())?;
        let decision = compiled(case, &image, &leases)?;
        let rule = image
            .rule(decision.by.rule)
            .filter(|_| decision.recorded == 1)
            .map(RuleInfo::shown);
        let rule = rule.filter(|_| Reason::from_code(decision.reason) != Reason::Default);
        case.expects(
            "the image",
            Verdict::from_code(decision.verdict),
            rule.as_deref(),
        )?;
    }
    Ok(cases.len())
}

#[cfg(test)]
mod tests {
    use stayhand_guardrail::{policy::check::NEVER_HELD, reason::Effect};

    use super::*;

    #[test]
    fn reference_and_image_agree_with_the_corpus_and_half_of_it_restricts_nothing() {
        let count = evaluators_agree().unwrap();
        assert!(count >= 500, "{count} cases");
        let cases = cases().unwrap();
        let free = cases
            .iter()
            .filter(|case| case.verdict == Verdict::Allowed)
            .count();
        let share = free * 100 / count;
        assert!(
            (40..=60).contains(&share),
            "{share} % of the cases are allowed"
        );
        for operation in Operation::ALL {
            for verdict in [Verdict::Allowed, Verdict::Denied, Verdict::Held] {
                // What the evaluators hold and no call can wait for, the kernel denies.
                let never = NEVER_HELD.contains(&operation) && verdict == Verdict::Held;
                assert_ne!(
                    never,
                    cases
                        .iter()
                        .any(|case| case.operation == operation && case.verdict == verdict),
                    "`{operation}` {verdict}"
                );
            }
        }
    }

    #[test]
    fn every_effect_decides_a_case_and_every_condition_that_the_kernel_judges_alone_is_there() {
        let policies = policies().unwrap();
        let of = |case: &Case| {
            let (policy, rule) = case.rule?.split_once('/')?;
            let one = policies
                .iter()
                .find(|one| one.policy.name.as_str() == policy)?;
            let mut rules = one.policy.rules.iter();
            Some(rules.find(|one| one.id.as_str() == rule)?.effect)
        };
        let cases = cases().unwrap();
        for effect in Effect::ALL {
            assert!(
                cases.iter().any(|case| of(case) == Some(effect)),
                "no case of `{effect}`"
            );
        }
        let conditions = [
            "anyArg:",
            "args:",
            "subcommand:",
            "option:",
            "terminal:",
            "parent:",
            "ancestor:",
            "windows:",
            "outside:",
            "flags:",
            "hosts:",
            "ports:",
            "protocol:",
            "rate:",
            "default:",
        ];
        for condition in conditions {
            assert!(
                sources().any(|text| text.contains(condition)),
                "{condition}"
            );
        }
    }
}
