//! What the shipped patterns hide, what they leave, and that bounds hide rather than show.

use proptest::prelude::*;

use super::*;

fn shown(args: &[&str]) -> String {
    let redactor = Redactor::new(&RedactConfig::default()).unwrap();
    let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    crate::text::safe_args(&redactor.redact(&args).0)
}

#[test]
fn secrets_are_hidden_in_the_forms_in_which_they_are_passed() {
    for (args, wanted) in [
        (&["x", "--password=S3CRET"][..], "x --password=*****"),
        (&["x", "--password", "S3CRET"], "x --password *****"),
        (&["x", "--db-password", "S3 CRET"], "x --db-password *****"),
        (&["x", "-token", "S3CRET"], "x -token *****"),
        (&["x", "--api-key=S3CRET", "next"], "x --api-key=***** next"),
        (
            &["env", "PGPASSWORD=S3CRET", "psql"],
            "env PGPASSWORD=***** psql",
        ),
        (&["mysql", "-uroot", "-pS3CRET"], "mysql -uroot -p*****"),
        (
            &["sudo", "/usr/bin/mysqldump", "-pS3CRET"],
            "sudo /usr/bin/mysqldump -p*****",
        ),
        (
            &["sshpass", "-p", "S3CRET", "ssh", "h"],
            "sshpass -p ***** ssh h",
        ),
        (
            &["curl", "-u", "me:S3CRET", "https://h"],
            "curl -u ***** https://h",
        ),
        (
            &["curl", "-H", "Authorization: Bearer S3CRET"],
            "curl -H 'Authorization: *****'",
        ),
        (
            &["git", "clone", "https://me:S3CRET@host/x"],
            "git clone https://me:*****@host/x",
        ),
        (
            &["curl", "https://h/?token=S3CRET"],
            "curl https://h/?token=*****",
        ),
        (
            &["sh", "-c", "mysql -pS3CRET db"],
            "sh -c 'mysql -p***** db'",
        ),
        (
            &["sh", "-c", "x --password 'S3 CRET' y"],
            "sh -c 'x --password ***** y'",
        ),
        (
            &["x", "{\"password\": \"S3CRET\"}"],
            "x '{\"password\": *****'",
        ),
        (&["x", "ghp_S3CRETS3CRETS3CRETS3CRET"], "x *****"),
        (
            &["openssl", "enc", "-k", "pass:S3CRET"],
            "openssl enc -k pass:*****",
        ),
    ] {
        let shown = shown(args);
        assert!(!shown.contains("S3") && !shown.contains("CRET"), "{shown}");
        assert_eq!(shown.replace("\\'", "'"), wanted, "{args:?}");
    }
}

#[test]
fn ordinary_arguments_are_left_alone() {
    for args in [
        &["ssh", "-p", "22", "git@host"][..],
        &["mkdir", "-p", "/srv/a"],
        &["cp", "-pr", "a", "b"],
        &["cat", "/etc/passwd"],
        &["vim", "passwords.md"],
        &["docker", "run", "-p", "80:80", "x"],
        &["git", "clone", "https://host/x"],
        &["x", "--no-password"],
    ] {
        assert_eq!(shown(args), args.join(" "));
    }
}

#[test]
fn own_patterns_apply_with_and_without_the_shipped_ones() {
    let own = |defaults, argument: &str| RedactConfig {
        defaults,
        patterns: vec![Pattern {
            argument: argument.to_owned(),
            hides_next: false,
            program: Some("deploy".to_owned()),
        }],
    };
    let args: Vec<Vec<u8>> = ["/opt/deploy", "pin:1234", "--password=x"]
        .map(|arg| arg.as_bytes().to_vec())
        .into();
    let run = |config: &RedactConfig| {
        let (shown, changed) = Redactor::new(config).unwrap().redact(&args);
        (crate::text::safe_args(&shown), changed)
    };
    assert_eq!(
        run(&own(false, "pin:(.*)")),
        ("/opt/deploy pin:***** --password=x".to_owned(), 1)
    );
    assert_eq!(
        run(&own(true, "pin:.*")),
        ("/opt/deploy ***** --password=*****".to_owned(), 2)
    );
}

#[test]
fn bad_patterns_are_refused_with_the_pattern() {
    let config = |argument: &str| RedactConfig {
        defaults: false,
        patterns: vec![Pattern {
            argument: argument.to_owned(),
            hides_next: false,
            program: None,
        }],
    };
    for argument in ["(", "", "(?:a{1000}){1000}"] {
        let error = Redactor::new(&config(argument)).err().unwrap().to_string();
        assert!(
            error.starts_with("redaction pattern `") && !error.contains('\n'),
            "{error}"
        );
    }
    let many = RedactConfig {
        defaults: true,
        patterns: vec![config("x").patterns.remove(0); PATTERNS_MAX],
    };
    assert!(matches!(Redactor::new(&many), Err(RedactError::TooMany(_))));
}

#[test]
fn an_argument_too_long_to_search_is_hidden_whole() {
    let args = vec![vec![b'a'; ARG_BYTES_MAX + 1], b"b".to_vec()];
    let (shown, changed) = Redactor::new(&RedactConfig::default())
        .unwrap()
        .redact(&args);
    assert_eq!((shown, changed), (vec![HIDDEN.to_vec(), b"b".to_vec()], 1));
}

proptest! {
    #[test]
    fn a_value_after_a_password_flag_never_survives(
        before in proptest::collection::vec("[ -~]{0,12}", 0..3),
        secret in "[A-Z0-9]{6,20}",
        flag in prop::sample::select(&["--password", "--token", "-passwd", "--client-secret", "--API_KEY"][..]),
    ) {
        let mut args: Vec<Vec<u8>> = before.into_iter().map(String::into_bytes).collect();
        args.push(flag.as_bytes().to_vec());
        args.push(secret.clone().into_bytes());
        let redactor = Redactor::new(&RedactConfig::default()).unwrap();
        let (shown, _) = redactor.redact(&args);
        prop_assert_eq!(shown.len(), args.len());
        prop_assert_eq!(shown.last().unwrap().as_slice(), HIDDEN);
    }

    #[test]
    fn any_bytes_are_taken_and_no_argument_is_lost(args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6)) {
        let redactor = Redactor::new(&RedactConfig::default()).unwrap();
        let (once, _) = redactor.redact(&args);
        prop_assert_eq!(once.len(), args.len());
    }
}
