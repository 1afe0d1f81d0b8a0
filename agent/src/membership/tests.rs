//! The file of a host's membership: private, whole, and silent about what is in it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, SanType};
use stayhand_guardrail::{
    id::{AuthoritiesRevision, HostId, JoinTokenId},
    time::UnixMs,
};
use stayhand_proto::v1::IssuedCertificate;
use stayhand_transport::{JoinToken, Key, Pin, Secret};

use super::*;

const NOW: UnixMs = UnixMs(1_795_222_243_512);

/// What an authority of the domain `d` issued to whoever has `key`.
fn issued(name: &str, key: &Key) -> IssuedCertificate {
    let authority = Key::generate().unwrap();
    let mut own = CertificateParams::default();
    own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    own.subject_alt_names = vec![SanType::URI("spiffe://d".try_into().unwrap())];
    let certificate = own.self_signed(authority.pair()).unwrap();
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
    let issuer = Issuer::from_params(&own, authority.pair());
    IssuedCertificate {
        certificate: leaf.signed_by(key.pair(), &issuer).unwrap().der().to_vec(),
        authorities: vec![certificate.der().to_vec()],
        authorities_revision: 7,
    }
}

fn member(host: &str) -> Member {
    let (host, key): (HostId, _) = (host.parse().unwrap(), Key::generate().unwrap());
    let wire = issued(&format!("spiffe://d/host/{host}"), &key);
    let issued = Issued::read(Some(wire), &host, NOW, 0).unwrap();
    Member {
        address: "control.example:7443".into(),
        bound: Key::generate().unwrap(),
        authorities: issued.authorities,
        revision: issued.revision,
        credentials: Credentials {
            certificate: issued.certificate,
            key,
        },
        renew: issued.renew,
        host,
    }
}

#[test]
fn what_is_for_another_host_or_by_another_domain_is_not_taken() {
    let (host, key): (HostId, _) = ("db1".parse().unwrap(), Key::generate().unwrap());
    for name in [
        "spiffe://d/host/db2",
        "spiffe://e/host/db1",
        "spiffe://d/control",
        "https://db1",
    ] {
        let taken = Issued::read(Some(issued(name, &key)), &host, NOW, 0);
        assert!(taken.is_err(), "{name}");
    }
    assert!(Issued::read(None, &host, NOW, 0).is_err());
    let empty = IssuedCertificate::default();
    assert!(Issued::read(Some(empty), &host, NOW, 0).is_err());
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = IdentityFile::in_state(place.path());
    assert!(file.member().unwrap().is_none());
    file.keep(&member("db1")).unwrap();
    let mode = fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let error = file.member().unwrap_err();
    let open = matches!(
        error,
        FileError::File(stayhand_transport::private_file::PrivateFileError::Open(_))
    );
    assert!(open, "{error}");
}

#[test]
fn a_damaged_file_is_an_error_that_quotes_nothing_of_it() {
    let place = tempfile::tempdir().unwrap();
    let file = IdentityFile::in_state(place.path());
    file.keep(&member("db1")).unwrap();
    let whole = fs::read_to_string(file.path()).unwrap();
    let secret = whole
        .lines()
        .find(|line| line.starts_with("MI"))
        .unwrap()
        .to_owned();
    for damaged in [
        whole.replace("bound_key", "bound_kex"),
        whole.replace("MI", "XX"),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("host = \"db1\"", "host = \"DB 1\""),
    ] {
        fs::write(file.path(), &damaged).unwrap();
        let error = file.member().unwrap_err();
        let said = crate::exit::chain(&error);
        assert!(said.contains("membership.toml"), "{said}");
        assert!(said.contains("join anew"), "{said}");
        assert!(!said.contains(&secret) && !said.contains("BEGIN"), "{said}");
    }
}

#[test]
fn a_membership_reads_back_and_is_replaced_as_a_whole() {
    let place = tempfile::tempdir().unwrap();
    let file = IdentityFile::in_state(place.path());
    let (first, second) = (member("db1"), member("db1"));
    file.keep(&first).unwrap();
    file.keep(&second).unwrap();
    let read = file.member().unwrap().unwrap();
    assert_eq!(read.authorities, second.authorities);
    assert_eq!(read.credentials.certificate, second.credentials.certificate);
    assert_eq!(
        read.credentials.key.public(),
        second.credentials.key.public()
    );
    assert_eq!(read.bound.public(), second.bound.public());
    assert_eq!(read.revision, AuthoritiesRevision(7));
    assert_eq!(read.renew, second.renew);
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left beside it");
}

fn token() -> JoinToken {
    JoinToken::new(Pin::of(b"nobody"), JoinTokenId(1), Secret::new([1; 32]))
}

async fn join_at(directory: &Path, replace: bool) -> Result<Member, JoinError> {
    let ask = Join {
        // Nobody listens there: the discard port of this machine.
        address: "127.0.0.1:9".into(),
        token: token(),
        host: "db1".parse().unwrap(),
        replace,
    };
    join(&IdentityFile::in_state(directory), ask, NOW).await
}

#[tokio::test]
async fn a_host_that_has_joined_does_not_join_by_mistake_and_keeps_what_it_has_when_it_cannot() {
    let place = tempfile::tempdir().unwrap();
    let file = IdentityFile::in_state(place.path());
    let before = member("db1");
    file.keep(&before).unwrap();
    let refused = join_at(place.path(), false).await.unwrap_err();
    assert!(matches!(refused, JoinError::Before { .. }), "{refused}");
    let failed = join_at(place.path(), true).await.unwrap_err();
    assert!(
        matches!(failed, JoinError::Ask(AskError::Dial(_))),
        "{failed}"
    );
    let kept = file.member().unwrap().unwrap();
    assert_eq!(kept.bound.public(), before.bound.public());
}

#[tokio::test]
async fn the_bound_key_is_on_disk_before_anybody_hears_of_it_and_stays_for_the_next_try() {
    let place = tempfile::tempdir().unwrap();
    let written = || fs::read_to_string(place.path().join("membership.toml")).unwrap();
    join_at(place.path(), false).await.unwrap_err();
    let first = written();
    assert!(first.contains("bound_key"));
    join_at(place.path(), false).await.unwrap_err();
    assert_eq!(written(), first);
    let file = IdentityFile::in_state(place.path());
    assert!(file.member().unwrap().is_none(), "it has not joined");
}
