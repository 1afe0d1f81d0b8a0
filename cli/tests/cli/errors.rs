//! What fails says what failed and what to do next, and has the exit code of the contract.

use std::{collections::HashMap, os::unix::net::UnixListener};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    fake::{Fake, Told},
    run::{alone, command, finish},
};

fn failing(status: Status) -> Fake {
    Fake::new(Told {
        fails: Some(status),
        ..Told::default()
    })
}

#[test]
fn every_status_has_its_exit_code_and_text() {
    let cases = [
        (Status::not_found("no such host"), 3),
        (Status::failed_precondition("it is over"), 4),
        (Status::aborted("somebody was faster"), 4),
        (
            Status::permission_denied("alice is guarded on this host"),
            5,
        ),
        (Status::unauthenticated("nobody logged in"), 5),
        (Status::unavailable("starting"), 6),
        (Status::resource_exhausted("too many streams"), 6),
        (Status::invalid_argument("bad page token"), 1),
        (Status::internal("the store failed"), 1),
    ];
    for (status, code) in cases {
        let text = status.message().to_owned();
        let ran = failing(status).run(&["host", "ls"]).exits(code);
        assert_eq!(ran.out, "");
        ran.says(&format!("error: could not list the hosts: {text}"));
    }
}

#[test]
fn a_refused_caller_learns_how_they_are_known() {
    failing(Status::permission_denied("alice is guarded on this host"))
        .run(&["hold", "approve", "3f2a", "--reason", "me"])
        .exits(5)
        .says("could not approve the hold: alice is guarded on this host")
        .says("hint: you are known by the login of your process, not by its uid");
}

#[test]
fn details_of_a_failure_become_findings_and_hints() {
    let mut details = ErrorDetails::with_error_info("UNKNOWN_USER", "stayhand", HashMap::new());
    details.add_bad_request_violation("user", "no host knows `alcie`");
    details.add_help_link("did you mean `alice`?", "");
    let status = Status::with_error_details(Code::InvalidArgument, "unknown user", details);
    failing(status)
        .run(&["host", "ls"])
        .exits(1)
        .says("unknown user\n  user: no host knows `alcie`\n")
        .says("hint: did you mean `alice`?");
}

#[test]
fn a_hostile_server_cannot_act_on_the_terminal() {
    failing(Status::internal("x\u{1b}[2J\u{7}\u{202e}\u{9b}31m"))
        .run(&["host", "ls"])
        .exits(1)
        .stays_harmless();
}

#[test]
fn a_control_plane_that_is_not_there_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let server = format!("unix://{}", path.display());
    alone(&["host", "ls", "--server", &server])
        .exits(6)
        .says(&format!(
            "error: the control plane is not reachable: there is no socket `{}`",
            path.display()
        ))
        .says("hint: see whether it runs: systemctl status stayhand-control")
        .says("--server");
    drop(UnixListener::bind(&path).unwrap());
    alone(&["host", "ls", "--server", &server])
        .exits(6)
        .says("nobody listens on");
}

#[test]
fn a_server_that_never_answers_ends_with_the_timeout() {
    let fake = Fake::new(Told {
        silent: true,
        ..Told::default()
    });
    fake.run(&["host", "ls", "--timeout", "300ms"])
        .exits(6)
        .says("no answer within")
        .says("--timeout");
}

#[test]
fn something_else_on_the_socket_is_no_success() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.write_all(b"SSH-2.0-nothing\r\n"));
    });
    let server = format!("unix://{}", path.display());
    alone(&["host", "ls", "--server", &server, "--timeout", "2s"]).exits(6);
    thread.join().unwrap();
}

#[test]
fn only_sockets_and_names_with_a_port_are_accepted() {
    for server in [
        "https://control.example:443",
        "unix://relative",
        "localhost",
    ] {
        alone(&["host", "ls", "--server", server])
            .exits(2)
            .says("unix:///run/stayhand/control.sock");
    }
}

#[test]
fn wrong_usage_exits_2_and_asks_nobody() {
    let cases: [&[&str]; 7] = [
        &[],
        &["grant"],
        &[
            "grant",
            "create",
            "--user",
            "alice",
            "--permission",
            "p",
            "--for",
            "0s",
            "--reason",
            "x",
        ],
        &[
            "grant",
            "create",
            "--user",
            "alice",
            "--permission",
            "p",
            "--for",
            "9d",
            "--reason",
            "x",
        ],
        &[
            "grant",
            "create",
            "--user",
            "a b",
            "--permission",
            "p",
            "--for",
            "9m",
            "--reason",
            "x",
        ],
        &["hold", "ls", "-o", "xml"],
        &["grant", "show", "../../etc"],
    ];
    for arguments in cases {
        alone(arguments).exits(2);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let fake = Fake::new(Told {
        hosts: (0..2_000)
            .map(|number| crate::sample::host(&format!("host{number}")))
            .collect(),
        ..Told::default()
    });
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = fake.command(&["host", "ls"]);
    let output = command.stdout(writer).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

#[test]
fn a_full_disk_is_an_error() {
    let fake = Fake::new(Told {
        hosts: vec![crate::sample::host("db1")],
        ..Told::default()
    });
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = fake.command(&["host", "ls"]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not write the output"));
}

#[test]
fn no_color_is_honoured_and_nothing_prompts() {
    let mut command = command(&["host", "ls", "--server", "unix:///no/such.sock"]);
    command.env("NO_COLOR", "1");
    let ran = finish(command).exits(6);
    assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
}
