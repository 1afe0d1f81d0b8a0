//! Bad input to the services: a clear error with an exit code that a script can use, and nothing that was enforced
//! is lost.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rand::{RngExt as _, SeedableRng};
use stayhand_proto::v1::{Acknowledgement, Heartbeat, Hello, Hold, sync_request};

use super::service::{self, POLICY};
use crate::host::{AGENT_SOCKET, CONTROL_SOCKET, Config, Host, Wire, grant_create};
use crate::login::Session;
use crate::scenario::{Ctx, Scenario};
use crate::{process, wait};

/// This file's scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "malformed_policies_are_refused_and_the_last_good_one_stays",
        malformed_policies,
    )
    .on_any_kernel(),
    Scenario::new(
        "senseless_grants_and_stale_holds_are_refused_with_their_own_exit_codes",
        senseless_requests,
    )
    .on_any_kernel(),
    Scenario::new(
        "a_second_agent_and_a_bad_configuration_are_refused_and_enforcement_stays",
        second_agent,
    )
    .on_any_kernel(),
    Scenario::new("garbage_on_the_sockets_stops_neither_service", garbage).on_any_kernel(),
    Scenario::new(
        "hostile_messages_on_the_hosts_socket_are_refused_and_change_nothing",
        hostile_messages,
    )
    .on_any_kernel(),
];

/// What is wrong, the document, and a word that the error has.
const BAD: [(&str, &str, &str); 6] = [
    (
        "unknown key",
        "  rulez: []\n  rules: []",
        "did you mean `rules`",
    ),
    (
        "bad effect",
        "  rules: [{ id: a, effect: denny, exec: { path: /opt/x } }]",
        "did you mean `deny`",
    ),
    (
        "duplicate id",
        "  rules: [{ id: a, effect: deny, exec: { path: /opt/x } }, { id: a, effect: deny, exec: { path: /opt/y } }]",
        "is used twice",
    ),
    (
        "relative path",
        "  rules: [{ id: a, effect: deny, exec: { path: opt/x } }]",
        "starts with `/`",
    ),
    ("not YAML", "  rules: [", "not YAML"),
    (
        "absurd time-out",
        "  rules: [{ id: a, effect: hold, timeout: 48h, exec: { path: /opt/x } }]",
        "a hold waits from 1s",
    ),
];

fn malformed_policies(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let mut alice = Session::login("alice")?;
    for (what, rest, word) in BAD {
        ctx.step(what);
        let text = format!(
            "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: service }}\nspec:\n  subjects: {{ groups: [dev] }}\n{rest}\n"
        );
        fs::write("/tmp/bad.yaml", text)?;
        for args in [
            &["policy", "check", "/tmp/bad.yaml"][..],
            &["policy", "apply", "/tmp/bad.yaml", "--wait"],
        ] {
            let output = host.cli(args)?;
            ensure!(output.code != 0, "{what}: {args:?} succeeded");
            let said = output.both();
            ensure!(
                said.contains("/tmp/bad.yaml:") && said.contains(word),
                "{what}: {args:?} said {said:?}"
            );
        }
        service::denied(&mut alice)?;
    }
    let shown = host.json(&["policy", "show", "service"])?;
    ensure!(
        shown.to_string().contains("\"revision\":1"),
        "another revision than the good one: {shown}"
    );
    Ok(())
}

fn senseless_requests(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let grant = |user: &str, permission: &str, length: &str| {
        host.cli(&grant_create(user, permission, length, "x"))
    };
    for (user, permission, length, code) in [
        ("alice", "vault", "0s", 2),
        ("alice", "vault", "-5m", 2),
        ("alice", "vault", "1000d", 2),
        ("alice", "vault", "soon", 2),
        ("alice", "nothing-of-that-name", "5m", 3),
    ] {
        ctx.step(format!("grant {permission} to {user} for {length}"));
        let output = grant(user, permission, length)?;
        ensure!(
            output.code == code,
            "{user} {permission} {length}: exit {} and {}",
            output.code,
            output.both()
        );
    }
    ctx.step("a grant for a user whom no host knows");
    let output = grant("nobody-of-that-name", "vault", "5m")?;
    ensure!(
        output.code == 3 && output.stderr.contains("nobody-of-that-name"),
        "a grant for a user that does not exist: exit {} and {}",
        output.code,
        output.both()
    );
    ctx.step("a host that is not there");
    let on_nowhere = [
        &grant_create("alice", "vault", "5m", "x")[..],
        &["--host", "nowhere"],
    ]
    .concat();
    for args in [&on_nowhere[..], &["host", "show", "nowhere"]] {
        let output = host.cli(args)?;
        ensure!(
            output.code == 3 && output.stderr.contains("nowhere"),
            "{args:?}: exit {} and {}",
            output.code,
            output.both()
        );
    }
    ensure!(
        host.json(&["grant", "ls", "--all"])?.pointer("/items") == Some(&serde_json::json!([])),
        "a senseless request left a grant behind"
    );
    ctx.step("answers on holds that are not there");
    let output = host.cli(&["hold", "approve", "feedfacefeedface", "--reason", "x"])?;
    ensure!(
        output.code == 3,
        "a hold that never was: exit {} and {}",
        output.code,
        output.both()
    );
    held_process_is_gone(&host)?;
    held_twice(&host)
}

/// A decision on a hold whose process was killed meanwhile.
fn held_process_is_gone(host: &Host) -> Result<()> {
    let mut session = Session::login("alice")?;
    session.type_command("/opt/demo/deploy gone")?;
    let hold = host.wait_hold("/opt/demo/deploy")?;
    process::signal(hold.pid()?, nix::sys::signal::Signal::SIGKILL)?;
    host.wait_hold_state(&hold.id, "cancelled", wait::LONG)?;
    let output = host.cli(&["hold", "approve", &hold.id, "--reason", "x"])?;
    ensure!(
        output.code == 4,
        "a hold whose process is gone: exit {} and {}",
        output.code,
        output.both()
    );
    Ok(())
}

/// The second answer comes too late.
fn held_twice(host: &Host) -> Result<()> {
    let mut session = Session::login("alice")?;
    let typed = session.type_command("/opt/demo/deploy twice")?;
    let hold = host.wait_hold("/opt/demo/deploy")?;
    host.refuse(&hold.id, "no")?;
    session.finish(typed, wait::LONG)?;
    let output = host.cli(&["hold", "approve", &hold.id, "--reason", "yes"])?;
    ensure!(
        output.code == 4,
        "a hold that was refused: exit {} and {}",
        output.code,
        output.both()
    );
    Ok(())
}

fn second_agent(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let mut host = Host::boot(&Config::policy(POLICY))?;
    let agent = |args: &[&str]| process::run(Command::new("stayhand-agent").args(args), wait::LONG);
    ctx.step("a second agent");
    let output = agent(&["--config", "/etc/stayhand/agent.toml"])?;
    ensure!(
        output.code == 75,
        "a second agent: exit {} and {}",
        output.code,
        output.both()
    );
    ctx.step("a configuration with an unknown key");
    fs::write("/tmp/bad.toml", "[kernel]\nlock_login_id = true\n")?;
    for args in [
        &["--config", "/tmp/bad.toml", "--check-config"][..],
        &["--config", "/tmp/bad.toml"],
    ] {
        let output = agent(args)?;
        ensure!(
            output.code == 78,
            "{args:?}: exit {} and {}",
            output.code,
            output.both()
        );
        ensure!(
            output.both().contains("did you mean `lock_login_uid`"),
            "{}",
            output.both()
        );
    }
    ctx.step("without privilege");
    let mut bob = Session::login("bob")?;
    let output = bob.run("stayhand-agent --config /etc/stayhand/agent.toml")?;
    ensure!(
        output.code == 77 || output.code == 75,
        "as bob: exit {} and {}",
        output.code,
        output.both()
    );
    let mut alice = Session::login("alice")?;
    service::denied(&mut alice)?;
    ctx.step("the first agent is well, and ends on request");
    ensure!(host.status()?.enforced, "not enforced any more");
    ensure!(host.stop_agent()? == 0, "the agent did not end well");
    service::denied(&mut alice)
}

/// Seeds of the garbage; printed, so that a failure can be repeated.
const SEED: u64 = 0x5eed_0001;
/// Rounds of garbage on each socket.
const ROUNDS: usize = 12;

fn garbage(ctx: &mut Ctx) -> Result<()> {
    service::programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let mut random = rand::rngs::StdRng::seed_from_u64(SEED);
    ctx.log(format!("seed {SEED:#x}"));
    for socket in [
        CONTROL_SOCKET,
        "/run/stayhand/control-host.sock",
        AGENT_SOCKET,
    ] {
        ctx.step(format!("garbage on {socket}"));
        for round in 0..ROUNDS {
            let mut stream = UnixStream::connect(socket)
                .with_context(|| format!("{socket} in round {round}"))?;
            // Half of the rounds begin as HTTP/2 does and go on with noise, to get past the first check.
            if round % 2 == 0 {
                stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
            }
            let noise: Vec<u8> = (0..2_000).map(|_| random.random()).collect();
            // The other side may hang up in the middle, as it should.
            drop(stream.write_all(&noise));
        }
    }
    ensure!(
        host.status()?.enforced && host.status()?.control_connected,
        "the agent is not well: {:?}",
        host.status()?
    );
    host.json(&["host", "ls"])?;
    service::denied(&mut Session::login("alice")?)
}

/// What an agent would never say. A bad greeting ends the stream; what cannot be read later is passed over, because
/// closing the stream would keep revocations from the host.
fn hostile_streams() -> Vec<(&'static str, bool, Vec<sync_request::Message>)> {
    use sync_request::Message;
    let hello = Hello {
        agent_version: "1".into(),
        kernel_release: "6.12".into(),
        boot_id: "00000000-0000-4000-8000-000000000000".into(),
        hooks: vec!["file_open".into()],
        enforced_generation: 0,
        labels: vec![],
        floor: vec![],
        watches_shadows: false,
        protocol: 0,
        capabilities: vec![],
        held: None,
        freshness: None,
    };
    let said = |hello: &Hello, next: Message| vec![Message::Hello(hello.clone()), next];
    let ahead = Hello {
        enforced_generation: u64::MAX,
        ..hello.clone()
    };
    let nowhere = Hello {
        boot_id: "a\n\u{1b}[2J".into(),
        ..hello.clone()
    };
    let labelled = Hello {
        labels: vec!["env=prod".into(), "env=a\n\u{1b}[2J".into()],
        ..hello.clone()
    };
    let beyond = Acknowledgement {
        generation: u64::MAX,
        phase: i32::MAX,
        reasons: vec!["x".repeat(1 << 16)],
        ..Acknowledgement::default()
    };
    let unnamed = Hold {
        name: "holds/../etc\n".into(),
        state: -7,
        ..Hold::default()
    };
    let beyond = said(&hello, Message::Acknowledgement(beyond));
    let unnamed = said(&hello, Message::Hold(unnamed));
    let twice = said(&hello, Message::Hello(hello.clone()));
    vec![
        (
            "no greeting",
            true,
            vec![Message::Heartbeat(Heartbeat::default())],
        ),
        ("a label that is none", true, vec![Message::Hello(labelled)]),
        (
            "a generation from the future",
            true,
            vec![Message::Hello(ahead)],
        ),
        ("a boot that is none", true, vec![Message::Hello(nowhere)]),
        ("an acknowledgement of nothing", false, beyond),
        ("a hold without a name", false, unnamed),
        ("two greetings", false, twice),
    ]
}

fn hostile_messages(ctx: &mut Ctx) -> Result<()> {
    const METHODS: [&str; 2] = [
        "/stayhand.v1.HostSyncService/Sync",
        "/stayhand.v1.HostSyncService/PublishEvents",
    ];
    service::programs()?;
    let host = Host::boot(&Config::policy(POLICY))?;
    let (events, generation) = (host.events()?.len(), host.status()?.generation);
    let mut wire = Wire::connect()?;
    for (what, is_refused, stream) in hostile_streams() {
        ctx.step(what);
        let ended = wire.sync(&stream);
        ensure!(
            ended.is_some() == is_refused,
            "{what}: the stream ended with {ended:?}"
        );
    }
    let mut random = rand::rngs::StdRng::seed_from_u64(SEED);
    for method in METHODS {
        ctx.step(format!("random bytes to {method}"));
        for round in 0..ROUNDS {
            let bytes = (0..=round * 40).map(|_| random.random()).collect();
            let ended = wire.bytes(method, vec![bytes]);
            ensure!(ended.is_some(), "{method}: the server took random bytes");
        }
    }
    ctx.step("nothing came of it");
    let log = fs::read_to_string(format!("{}/stayhand-control.log", crate::scenario::LOGS))?;
    ensure!(!log.contains("panicked"), "the control plane panicked");
    wait::until_ok(wait::LONG, "the real agent to be connected", || {
        Ok(host.status()?.control_connected.then_some(()))
    })?;
    ensure!(host.holds()?.is_empty(), "a hold came of it");
    ensure!(
        host.status()?.generation == generation,
        "another generation: {}",
        host.status()?.generation
    );
    let hosts = host.json(&["host", "ls"])?;
    ensure!(
        hosts
            .pointer("/items")
            .and_then(serde_json::Value::as_array)
            .is_some_and(|hosts| hosts.len() == 1),
        "another host: {hosts}"
    );
    ensure!(
        host.events()?.len() == events,
        "events came of it: {} instead of {events}",
        host.events()?.len()
    );
    service::denied(&mut Session::login("alice")?)
}
