//! Three answers to one question: the reference evaluator over the policies' text, the compiled image, and the
//! kernel that really lets an action through, stops it or denies it. The cases are `fixtures/agreement/`.

mod corpus;
mod root;

use std::{
    collections::BTreeMap,
    fs,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt as _, chown},
            net::{UnixDatagram, UnixListener},
        },
    },
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use stayhand_agent_ebpf::abi::{code::verdict, record::Record};
use stayhand_guardrail::{
    action::{Class, Operation},
    reason::Verdict,
};

use self::{
    corpus::{Case, FLAG, GRANTED, What, cases, evaluators_agree, image, sources},
    root::Root,
};
use crate::{
    actors::{
        client::{ALICE, As, BOB, ERIN, FRANK, Puppet},
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

const ROOT: &str = "/srv/agree";
/// Who tries what root need not.
const PEOPLE: [(&str, As); 4] = [
    ("alice", ALICE),
    ("bob", BOB),
    ("erin", ERIN),
    ("frank", FRANK),
];
/// Exit code of every program of the corpus.
const CODE: u8 = 7;

fn agree_in_the_kernel(ctx: &mut Ctx) -> Result<()> {
    let count = evaluators_agree()?;
    let image = image()?;
    let mut root = Root::prepare()?;
    for case in cases()?.iter().filter(|case| !root::is_for_root(case)) {
        directories(case)?;
        files(case)?;
    }
    let _servers = servers()?;
    let policies = sources().map(str::to_owned).collect();
    let mut host = Host::boot(&Config {
        policies,
        ..Config::default()
    })?;
    // Before the grants: these are not reported before the host enforces them, and with them what came before.
    let set = ["flag", "set", FLAG, "--for", "1h", "--reason", "corpus"];
    host.cli(&set)?.ok()?;
    for (user, names) in GRANTED {
        for name in names {
            host.cli(&grant_create(user, name, "1h", "corpus"))?.ok()?;
        }
    }
    let mut kernel = StandIn::take_over(&mut host)?;
    let mut untried = 0;
    let mut puppets: BTreeMap<&str, Puppet> = BTreeMap::new();
    for (name, who) in PEOPLE {
        puppets.insert(name, Puppet::start(who)?);
    }
    for case in cases()? {
        drop(kernel.records());
        let verdict = if root::is_for_root(&case) {
            let Some(tried) = root.attempt(&case)? else {
                untried += 1;
                continue;
            };
            let verdict = came_of(tried, root.puppet(&case)?, &kernel);
            Root::clean_up(&case)?;
            verdict
        } else {
            files(&case)?;
            let puppet = puppets.get_mut(case.user.as_str());
            came_of(attempt(&case)?, puppet.context("no puppet")?, &kernel)
        };
        let verdict = verdict.with_context(|| case.line.to_owned())?;
        let records = kernel.records();
        let rule = records
            .first()
            .and_then(|record| image.rule(record.rule))
            .map(stayhand_guardrail::image::RuleInfo::shown);
        case.expects("the kernel", verdict, rule.as_deref())?;
        recorded_once(&case, &records)?;
    }
    ctx.log(format!(
        "{count} cases, {untried} of them for the evaluators only"
    ));
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

/// How a case is tried, the result of success, and the error of what this machine does not have or has no way to: the
/// kernel says so only after it has let the attempt through.
type Tried = (String, Ret, Option<i32>);

fn attempt(case: &Case) -> Result<Tried> {
    let path = case.object;
    let words = match (case.what()?, case.operation) {
        (What::Address(to), Operation::Connect) => {
            let words = format!("connect|udp|{}|{}", to.ip(), to.port());
            return Ok((words, 0, Some(libc::ENETUNREACH)));
        }
        (What::Path(path), Operation::Connect) => {
            format!("call|connect|sock:1:1:0|unix:{path}|110")
        }
        (What::Path(path), Operation::Send) => {
            let words = format!("call|sendto|sock:1:2:0|=x|1|0|unix:{path}|110");
            return Ok((words, 1, None));
        }
        (What::Name(name), _) => {
            format!("call|bind|sock:1:1:0|abstract:{name}|{}", 3 + name.len())
        }
        (What::Address(to), Operation::Listen) => format!("call|listen|bound:{to}|1"),
        (What::Address(to), operation) => {
            let (socket, len) = if to.is_ipv4() {
                ("udp", 16)
            } else {
                ("udp6", 28)
            };
            return Ok(if operation == Operation::Send {
                let words = format!("call|sendto|{socket}|=x|1|0|at:{to}|{len}");
                (words, 1, Some(libc::ENETUNREACH))
            } else {
                let words = format!("call|bind|{socket}|at:{to}|{len}");
                (words, 0, Some(libc::EADDRNOTAVAIL))
            });
        }
        (What::Ends { from, to, .. }, Operation::Link) => format!("link|{from}|{to}"),
        (What::Ends { from, to, .. }, _) => format!("rename|{from}|{to}"),
        (_, Operation::Exec) => {
            let mut words = vec![format!("exec|fork|{path}")];
            for argument in &case.arguments {
                words.push(String::from_utf8(argument.clone())?);
            }
            return Ok((words.join("|"), CODE.into(), None));
        }
        (_, Operation::Write) => {
            return Ok((format!("open|open|{path}|{}|0|x", libc::O_WRONLY), 1, None));
        }
        (_, Operation::Create) => {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
            return Ok((format!("open|open|{path}|{flags}|420|x"), 1, None));
        }
        (_, Operation::Read) => format!("open|open|{path}|{}|0", libc::O_RDONLY),
        (_, Operation::Delete) => format!("unlink|{path}"),
        (_, Operation::Attr) => format!("call|chmod|{path}|{}", 0o750),
        (_, Operation::MapExec) => format!("call|mmap|0|4096|5|2|fd:{path}|0"),
        (_, other) => bail!("no way to try `{other}`"),
    };
    Ok((words, 0, None))
}

/// Executes a case for real; what is held is refused.
fn came_of(tried: Tried, puppet: &mut Puppet, kernel: &StandIn) -> Result<Verdict> {
    let (words, success, beyond) = tried;
    let ticket = puppet.ask(&words)?;
    let mut was_held = false;
    let result = wait::until_ok(wait::SOON, "a verdict", || {
        for hold in kernel.pending() {
            was_held = true;
            kernel.refuse(&hold)?;
        }
        Ok(puppet.answered(&ticket))
    })?;
    let nowhere = beyond.is_some_and(|error| result == -Ret::from(error));
    match result {
        EPERM => Ok(if was_held {
            Verdict::Held
        } else {
            Verdict::Denied
        }),
        _ if was_held => bail!("refused, and yet {result}"),
        _ if result == success || nowhere => Ok(Verdict::Allowed),
        _ => bail!("`{words}` gives {result}, which is no verdict"),
    }
}

/// Somebody who waits at every socket of the corpus.
fn servers() -> Result<Vec<OwnedFd>> {
    let mut servers: Vec<OwnedFd> = Vec::new();
    for case in cases()? {
        let What::Path(path) = case.what()? else {
            continue;
        };
        if case.operation.class() != Class::Net || Path::new(path).exists() {
            continue;
        }
        servers.push(if case.operation == Operation::Connect {
            UnixListener::bind(path)?.into()
        } else {
            UnixDatagram::bind(path)?.into()
        });
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    }
    Ok(servers)
}

/// The directories of a case, open to everybody.
fn directories(case: &Case) -> Result<()> {
    let paths = match case.what()? {
        What::Address(_) | What::Name(_) | What::Nothing => vec![],
        What::Path(path) => vec![path],
        What::Ends { from, to, .. } => vec![from, to],
    };
    for path in paths {
        let mut directory = Path::new(path).parent().context("no directory")?;
        fs::create_dir_all(directory)?;
        while directory.starts_with(ROOT) {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?;
            directory = directory.parent().context("no directory")?;
        }
    }
    Ok(())
}

/// The files of a case: what is there before it belongs to who acts and is open to everybody, what it makes is not
/// there.
fn files(case: &Case) -> Result<()> {
    let (there, missing) = match case.what()? {
        What::Address(_) | What::Name(_) | What::Nothing => (vec![], vec![]),
        // A server is there, see `servers`.
        What::Path(_) if case.operation.class() == Class::Net => (vec![], vec![]),
        What::Path(path) if case.operation == Operation::Create => (vec![], vec![path]),
        What::Path(path) => (vec![path], vec![]),
        What::Ends {
            from,
            to,
            replaces: true,
        } => (vec![from, to], vec![]),
        What::Ends {
            from,
            to,
            replaces: false,
        } => (vec![from], vec![to]),
    };
    let owner = PEOPLE.iter().find(|(name, _)| *name == case.user.as_str());
    let (_, owner) = owner.context("nobody's case")?;
    for path in there {
        if !Path::new(path).exists() {
            write_executable(path, &elf::exit64(CODE))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        chown(path, Some(owner.uid), Some(owner.uid))?;
    }
    for path in missing {
        if Path::new(path).exists() {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
