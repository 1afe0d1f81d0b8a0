//! Three answers to one question: the reference evaluator over the policies' text, the compiled image, and the
//! kernel that really lets an action through, stops it or denies it. The cases are `fixtures/agreement/`.

use std::{
    collections::BTreeMap, fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use stayhand_agent_ebpf::{
    abi::{code::verdict, record::Record},
    decide::{Attempt, Decision, Now},
};
use stayhand_guardrail::{
    action::{Object, Operation},
    id::{GrantId, GroupName, Revision, UserName},
    image::{
        Image,
        eval::{Leases, Level, judge_address, judge_paths},
        leases::rows,
    },
    policy::{
        Versioned,
        args::Arguments,
        compile,
        explain::{End, Explanation, Known, Question, TimedLease, explain},
        net::mapped_octets,
        parse,
    },
    reason::{Reason, Verdict},
};

use crate::{
    actors::{
        client::{ALICE, BOB, Puppet},
        elf,
        rig::write_executable,
        standin::StandIn,
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[Scenario::new(
    "reference_image_and_kernel_agree_on_the_corpus",
    agree_in_the_kernel,
)];

const POLICIES: [&str; 3] = [
    include_str!("../../fixtures/agreement/base.yaml"),
    include_str!("../../fixtures/agreement/monitor.yaml"),
    include_str!("../../fixtures/agreement/second.yaml"),
];
const CASES: &str = include_str!("../../fixtures/agreement/cases.txt");
const ROOT: &str = "/srv/agree";
/// What alice is granted.
const GRANTED: [&str; 2] = ["agree-base/ledger", "agree-base/tools"];
/// Exit code of every program of the corpus.
const CODE: u8 = 7;
/// Any time at which the leases of the evaluators are live.
const NOW_NS: u64 = 1_000;

/// One line of the fixture.
#[derive(Debug)]
struct Case {
    line: &'static str,
    user: UserName,
    operation: Operation,
    object: &'static str,
    verdict: Verdict,
    rule: Option<&'static str>,
}

fn cases() -> Result<Vec<Case>> {
    let lines = CASES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| case(line).with_context(|| format!("fixture line `{line}`")))
        .collect()
}

fn case(line: &'static str) -> Result<Case> {
    let words: Vec<&'static str> = line.split(' ').collect();
    let [user, operation, object, verdict, rule] = *words else {
        bail!("not five words")
    };
    let operation = Operation::ALL
        .into_iter()
        .find(|known| known.as_str() == operation);
    let verdicts = [Verdict::Allowed, Verdict::Denied, Verdict::Held];
    let verdict = verdicts.into_iter().find(|known| known.as_str() == verdict);
    Ok(Case {
        line,
        user: user.parse()?,
        operation: operation.context("no such operation")?,
        object,
        verdict: verdict.context("no such verdict")?,
        rule: Some(rule).filter(|rule| *rule != "-"),
    })
}

impl Case {
    fn address(&self) -> Option<SocketAddr> {
        (self.operation == Operation::Connect).then(|| self.object.parse().ok())?
    }

    /// Bits of the attempt: a creation comprises its own open.
    fn operations(&self) -> u32 {
        let bits = self.operation.bit();
        if self.operation == Operation::Create {
            bits | Operation::Write.bit()
        } else {
            bits
        }
    }

    fn groups(&self) -> Result<Vec<GroupName>> {
        let groups: &[&str] = if self.user.as_str() == "alice" {
            &["alice", "dev"]
        } else {
            &["bob"]
        };
        groups.iter().map(|group| Ok(group.parse()?)).collect()
    }

    /// Whether what was found is what the fixture says: the verdict, and the rule of a recorded decision.
    fn expects(&self, who: &str, verdict: Verdict, rule: Option<&str>) -> Result<()> {
        ensure!(
            verdict == self.verdict && rule == self.rule,
            "`{}`: {who} says {verdict} by {}",
            self.line,
            rule.unwrap_or("-")
        );
        Ok(())
    }
}

fn policies() -> Result<Vec<Versioned>> {
    let parsed = POLICIES.iter().map(|text| {
        let policy = parse(text).map_err(|findings| anyhow::anyhow!("{findings:?}"))?;
        Ok(Versioned {
            revision: Revision(1),
            policy,
        })
    });
    parsed.collect()
}

fn image(policies: &[Versioned]) -> Result<Image> {
    compile(policies).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

fn leases() -> Result<Vec<TimedLease>> {
    let permissions = GRANTED
        .iter()
        .map(|name| Ok(name.parse()?))
        .collect::<Result<_>>()?;
    let grant = GrantId::from_halves([1, 1]).context("no id")?;
    let user = "alice".parse()?;
    Ok(vec![TimedLease {
        grant,
        user,
        permissions,
        boot_deadline_ns: u64::MAX,
        tai_deadline_ns: u64::MAX,
    }])
}

fn reference(case: &Case, policies: &[Versioned], leases: &[TimedLease]) -> Result<Explanation> {
    let object = match case.address() {
        Some(address) => Object::Address {
            ip: address.ip(),
            port: address.port(),
        },
        None => Object::Path {
            bytes: case.object.as_bytes().to_vec(),
        },
    };
    let (groups, objects) = (case.groups()?, [Known::from(object)]);
    Ok(explain(&Question {
        policies,
        leases,
        user: &case.user,
        groups: &groups,
        ends: &[End {
            operations: case.operations(),
            objects: &objects,
            arguments: Arguments::Unknown,
        }],
        boot_ns: NOW_NS,
        tai_ns: NOW_NS,
    }))
}

fn compiled(case: &Case, image: &Image, leases: &[TimedLease]) -> Result<Decision> {
    let mine = rows(leases)
        .into_iter()
        .filter(|((user, _), _)| *user == case.user);
    let tables = Leases(
        mine.map(|((_, permission), row)| (permission.get(), row))
            .collect::<BTreeMap<_, _>>(),
    );
    let attempt = Attempt {
        ops: case.operations(),
        port: case.address().map_or(0, |address| address.port()),
        subjects: image.subject_sets_of(&case.user, &case.groups()?),
    };
    let now = Now {
        boot_ns: NOW_NS,
        tai_ns: NOW_NS,
    };
    Ok(match case.address() {
        Some(address) => judge_address(image, mapped_octets(address.ip()), &attempt, now, &tables),
        None => {
            let ends = [(levels(case.object, image), attempt)];
            judge_paths(image, &ends, Arguments::Unknown, now, &tables)
        }
    })
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
fn evaluators_agree() -> Result<usize> {
    let (policies, leases) = (policies()?, leases()?);
    let image = image(&policies)?;
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
            .map(stayhand_guardrail::image::RuleInfo::shown);
        let rule = rule.filter(|_| Reason::from_code(decision.reason) != Reason::Default);
        case.expects(
            "the image",
            Verdict::from_code(decision.verdict),
            rule.as_deref(),
        )?;
    }
    Ok(cases.len())
}

fn agree_in_the_kernel(ctx: &mut Ctx) -> Result<()> {
    let count = evaluators_agree()?;
    let image = image(&policies()?)?;
    prepare()?;
    let policies = POLICIES.iter().map(|text| (*text).to_owned()).collect();
    let mut host = Host::boot(&Config {
        policies,
        ..Config::default()
    })?;
    for name in GRANTED {
        let words = grant_create("alice", name, "1h", "corpus");
        host.cli(&words)?.ok()?;
    }
    let mut kernel = StandIn::take_over(&mut host)?;
    let mut puppets = [Puppet::start(ALICE)?, Puppet::start(BOB)?];
    for case in cases()? {
        let [alice, bob] = &mut puppets;
        let puppet = if case.user.as_str() == "alice" {
            alice
        } else {
            bob
        };
        drop(kernel.records());
        let verdict = tried(&case, puppet, &kernel).with_context(|| case.line.to_owned())?;
        let records = kernel.records();
        let rule = records
            .first()
            .and_then(|record| image.rule(record.rule))
            .map(stayhand_guardrail::image::RuleInfo::shown);
        case.expects("the kernel", verdict, rule.as_deref())?;
        recorded_once(&case, &records)?;
    }
    ctx.log(format!("{count} cases"));
    Ok(())
}

/// Each decision is recorded once; a hold has its refusal, too.
fn recorded_once(case: &Case, records: &[Record]) -> Result<()> {
    let wanted = match (case.verdict, case.rule) {
        (Verdict::Held, _) => 2,
        (_, Some(_)) => 1,
        (_, None) => 0,
    };
    ensure!(
        records.len() == wanted,
        "`{}`: {} records",
        case.line,
        records.len()
    );
    let said = records
        .first()
        .map(|record| Verdict::from_code(record.verdict));
    ensure!(
        said.is_none_or(|said| said == case.verdict),
        "`{}`: the record says {said:?}",
        case.line
    );
    let odd = records
        .iter()
        .any(|record| !verdict::ALL.contains(&record.verdict));
    ensure!(!odd, "`{}`: a verdict that is none", case.line);
    Ok(())
}

/// Executes a case for real; what is held is refused.
fn tried(case: &Case, puppet: &mut Puppet, kernel: &StandIn) -> Result<Verdict> {
    let path = case.object;
    let (words, success) = match case.operation {
        Operation::Exec => (format!("exec|fork|{path}"), Ret::from(CODE)),
        Operation::Write => (format!("open|open|{path}|{}|0|x", libc::O_WRONLY), 1),
        Operation::Create => {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
            (format!("open|open|{path}|{flags}|420|x"), 1)
        }
        Operation::Connect => {
            let address = case.address().context("no address")?;
            (
                format!("connect|udp|{}|{}", address.ip(), address.port()),
                0,
            )
        }
        other => bail!("no way to try `{other}`"),
    };
    let ticket = puppet.ask(&words)?;
    let mut was_held = false;
    let result = wait::until_ok(wait::SOON, "a verdict", || {
        for hold in kernel.pending() {
            was_held = true;
            kernel.refuse(&hold)?;
        }
        Ok(puppet.answered(&ticket))
    })?;
    if case.operation == Operation::Create && Path::new(path).exists() {
        fs::remove_file(path)?;
    }
    // Most destinations have no route: the kernel says so only after it has let the attempt through.
    let unrouted = case.operation == Operation::Connect && result == -Ret::from(libc::ENETUNREACH);
    match result {
        EPERM => Ok(if was_held {
            Verdict::Held
        } else {
            Verdict::Denied
        }),
        _ if was_held => bail!("refused, and yet {result}"),
        _ if result == success || unrouted => Ok(Verdict::Allowed),
        _ => bail!("`{words}` gives {result}, which is no verdict"),
    }
}

/// Every object of the corpus, owned by nobody in particular and open to everybody.
fn prepare() -> Result<()> {
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777));
    for case in cases()? {
        let path = Path::new(case.object);
        if case.address().is_some() {
            continue;
        }
        let mut directory = path.parent().context("no directory")?;
        fs::create_dir_all(directory)?;
        while directory.starts_with(ROOT) {
            open(directory)?;
            directory = directory.parent().context("no directory")?;
        }
        if case.operation != Operation::Create {
            write_executable(case.object, &elf::exit64(CODE))?;
            open(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_and_image_agree_with_the_corpus_and_half_of_it_restricts_nothing() {
        let count = evaluators_agree().unwrap();
        assert!(count >= 60, "{count} cases");
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
            assert!(
                cases
                    .iter()
                    .any(|case| case.operation == operation && case.verdict != Verdict::Allowed)
            );
        }
    }
}
