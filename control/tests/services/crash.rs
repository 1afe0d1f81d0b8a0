//! The real program, killed at any moment: what it said was done is done, and every grant has its record.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use stayhand_proto::v1::{
    self, grant_service_client::GrantServiceClient, policy_service_client::PolicyServiceClient,
};

use crate::world::{connect, seconds};

/// Rounds of start, load and kill.
const ROUNDS: u64 = 8;

fn spawn(dir: &Path) -> Child {
    let program = env!("CARGO_BIN_EXE_stayhand-control");
    Command::new(program)
        .arg("--config")
        .arg(dir.join("control.toml"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The name under which this process is an operator where pins are login uids.
fn operator() -> String {
    let pinned = std::fs::read_to_string("/proc/self/loginuid")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let uid = pinned
        .filter(|auid| *auid != u32::MAX)
        .unwrap_or_else(|| nix::unistd::geteuid().as_raw());
    uzers::get_user_by_uid(uid)
        .unwrap()
        .name()
        .to_str()
        .unwrap()
        .to_owned()
}

fn configure(dir: &Path) {
    let shown = dir.display();
    let config = format!(
        "[listen]\noperators = \"{shown}/control.sock\"\nhosts = \"{shown}/host.sock\"\n\
         [state]\ndirectory = \"{shown}/state\"\n[identity]\npins = \"loginuid\"\n[operators]\nusers = [\"{}\"]\n",
        operator()
    );
    std::fs::write(dir.join("control.toml"), config).unwrap();
}

/// Any real user but the operator.
fn subject() -> &'static str {
    if operator() == "nobody" {
        "daemon"
    } else {
        "nobody"
    }
}

async fn wait_for_socket(dir: &Path, child: &mut Child) {
    for _ in 0..400 {
        if std::os::unix::net::UnixStream::connect(dir.join("control.sock")).is_ok() {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never listened");
}

/// Creates and revokes until the other side is gone. The names that it was promised.
async fn load(dir: &Path) -> Vec<String> {
    let mut grants = GrantServiceClient::new(connect(dir.join("control.sock")).await);
    let mut promised = vec![];
    loop {
        let create = v1::CreateGrantRequest {
            user: subject().into(),
            permissions: vec!["db".into()],
            ttl: seconds(3_600),
            reason: "load".into(),
            ..Default::default()
        };
        let Ok(grant) = grants.create_grant(create).await else {
            return promised;
        };
        let name = grant.into_inner().name;
        promised.push(name.clone());
        if promised.len().is_multiple_of(3) {
            let revoke = v1::RevokeGrantRequest {
                name,
                reason: "load".into(),
                ..Default::default()
            };
            if grants.revoke_grant(revoke).await.is_err() {
                return promised;
            }
        }
    }
}

async fn count(database: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(database).await.unwrap()
}

/// Reads the store with nobody else on it.
async fn check(dir: &Path, promised: &[String]) {
    let options = SqliteConnectOptions::new().filename(dir.join("state/control.db"));
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let intact: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(intact, "ok");
    let unpaired = "SELECT count(*) FROM grants AS g WHERE g.revision <>
        (SELECT count(*) FROM grant_audit AS a WHERE a.grant_id = g.id AND a.revision <= g.revision)";
    assert_eq!(
        count(&mut database, unpaired).await,
        0,
        "every revision of a grant has its record"
    );
    let orphans =
        "SELECT count(*) FROM grant_audit WHERE position NOT IN (SELECT position FROM events)";
    assert_eq!(
        count(&mut database, orphans).await,
        0,
        "every pairing has its event"
    );
    // One event per revision of a grant and one for the policy, numbered without gaps.
    let records = count(
        &mut database,
        "SELECT (SELECT sum(revision) FROM grants) + 1 - (SELECT count(*) FROM events)",
    );
    assert_eq!(records.await, 0, "no record without its grant");
    assert_eq!(
        count(&mut database, "SELECT max(seq) - count(*) FROM events").await,
        0
    );
    let ahead = "SELECT count(*) FROM grants WHERE generation > (SELECT generation FROM meta)";
    assert_eq!(count(&mut database, ahead).await, 0);
    for name in promised {
        let id = name.trim_start_matches("grants/");
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM grants WHERE id = ?1")
            .bind(id)
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(found, 1, "{name} was promised");
    }
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_is_killed_keeps_what_it_promised_and_every_record() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path());
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    println!("seed={seed}");
    let mut promised = vec![];
    for round in 0..ROUNDS {
        let mut child = spawn(dir.path());
        wait_for_socket(dir.path(), &mut child).await;
        if round == 0 {
            let policy = format!(
                "apiVersion: stayhand/v1\nkind: Policy\nmetadata: {{ name: prod }}\nspec:\n  subjects: {{ users: [{}] }}\n  \
                 permissions:\n    db: {{ net: {{ ops: [connect], cidr: 10.0.0.0/8, ports: [5432] }} }}\n  \
                 rules:\n    - {{ id: db, effect: require-grant, permission: db }}\n",
                subject()
            );
            let mut policies =
                PolicyServiceClient::new(connect(dir.path().join("control.sock")).await);
            let request = v1::ApplyPolicyRequest {
                source: policy,
                ..Default::default()
            };
            policies.apply_policy(request).await.unwrap();
        }
        // Different moments in every round, from before the first grant to hundreds of them.
        let wait = Duration::from_micros(u64::from(seed) * (round + 1) * 7_919 % 300_000);
        let killer = async {
            tokio::time::sleep(wait).await;
            child.kill().unwrap();
            child.wait().unwrap();
        };
        let (made, ()) = tokio::join!(load(dir.path()), killer);
        promised.extend(made);
        check(dir.path(), &promised).await;
    }
    println!("{} grants were promised in {ROUNDS} rounds", promised.len());
    assert!(!promised.is_empty());
}
