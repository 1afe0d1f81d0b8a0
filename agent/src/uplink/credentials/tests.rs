//! Other authorities count: a host gets another certificate within the spread, once, and not again for the same set. Time is
//! virtual, and the control plane is one call over memory.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, SanType,
};
use stayhand_guardrail::{id::Generation, time::DurationMs};
use stayhand_proto::{
    message::{ToHost, ToHostMessage},
    protocol::PROTOCOL,
    v1::{
        IssuedCertificate, RenewCertificateRequest, RenewCertificateResponse,
        host_certificate_service_server::{HostCertificateService, HostCertificateServiceServer},
    },
};
use stayhand_transport::{Authorities, Credentials, Key};
use tokio::time::{Instant, timeout};
use tonic::{
    Request, Response, Status,
    transport::{Endpoint, Server, Uri},
};

use super::*;
use crate::{
    membership::IdentityFile,
    testing::{NOW, identity, spool},
    uplink::testing,
};

/// The set that the host knows.
const BEFORE: AuthoritiesRevision = AuthoritiesRevision(7);
/// The set after another authority took over.
const AFTER: AuthoritiesRevision = AuthoritiesRevision(8);
/// Longer than a host takes that has heard of a set, however chance falls.
const LONG: Duration = Duration::from_mins(10);
/// What a timer may be late.
const TIMER: Duration = Duration::from_millis(5);

/// What an authority of the domain `d` issues for a request.
fn issued(request: Vec<u8>, revision: AuthoritiesRevision) -> IssuedCertificate {
    let authority = Key::generate().unwrap();
    let mut own = CertificateParams::default();
    own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    own.subject_alt_names = vec![SanType::URI("spiffe://d".try_into().unwrap())];
    let certificate = own.self_signed(authority.pair()).unwrap();
    let mut leaf = CertificateParams::default();
    let name = format!("spiffe://d/host/{}", identity().host);
    leaf.subject_alt_names = vec![SanType::URI(name.as_str().try_into().unwrap())];
    let asked = CertificateSigningRequestParams::from_der(&request.into()).unwrap();
    let issuer = Issuer::from_params(&own, authority.pair());
    let leaf = leaf.signed_by(&asked.public_key, &issuer).unwrap();
    IssuedCertificate {
        certificate: leaf.der().to_vec(),
        authorities: vec![certificate.der().to_vec()],
        authorities_revision: revision.0,
    }
}

/// A host that joined and knows the set [`BEFORE`]; its certificate is good for a day more.
fn joined(place: &Path) -> Uplink {
    let key = Key::generate().unwrap();
    let wire = issued(key.request().unwrap(), BEFORE);
    let member = Member {
        address: "control.example:7443".into(),
        bound: Key::generate().unwrap(),
        authorities: Authorities::new(wire.authorities).unwrap(),
        revision: BEFORE,
        credentials: Credentials {
            certificate: wire.certificate,
            key,
        },
        renew: Now::read().unix.plus(DurationMs::from_secs(24 * 3_600)),
        host: identity().host,
    };
    IdentityFile::in_state(place).keep(&member).unwrap();
    let (uplink, _) = testing::uplink(place, spool(&place.join("spool")));
    uplink
}

/// A bookmark says which set counts.
fn hears(uplink: &Uplink, authorities: AuthoritiesRevision) {
    let bookmark = ToHost {
        server_time: NOW,
        protocol: PROTOCOL,
        message: ToHostMessage::Bookmark {
            generation: Generation(0),
            authorities,
            digest: None,
            beat: 0,
        },
    };
    assert!(uplink.received(bookmark, Now::read()).unwrap().is_none());
}

struct Control {
    revision: AuthoritiesRevision,
    asked: Arc<AtomicU64>,
}

#[tonic::async_trait]
impl HostCertificateService for Control {
    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let request = request.into_inner().certificate_request;
        Ok(Response::new(RenewCertificateResponse {
            issued: Some(issued(request, self.revision)),
        }))
    }
}

/// A connection to a control plane whose set is this one, and how often it was asked for a certificate.
async fn control(revision: AuthoritiesRevision) -> (Channel, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let service = HostCertificateServiceServer::new(Control {
        revision,
        asked: Arc::clone(&asked),
    });
    let (near, far) = tokio::io::duplex(64 << 10);
    let incoming = tokio_stream::once(Ok::<_, io::Error>(far));
    tokio::spawn(async move {
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming)
            .await
            .unwrap();
    });
    let mut near = Some(near);
    let connector = tower::service_fn(move |_: Uri| {
        let near = near.take();
        async move {
            near.map(TokioIo::new)
                .ok_or_else(|| io::Error::other("there is one connection"))
        }
    });
    let endpoint = Endpoint::from_static("http://control.stayhand.invalid");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    (channel, asked)
}

fn revision(uplink: &Uplink) -> AuthoritiesRevision {
    uplink.route.member().unwrap().unwrap().revision
}

#[tokio::test(start_paused = true)]
async fn a_host_renews_within_the_spread_for_newer_authorities_once_and_never_for_the_same_ones() {
    let place = tempfile::tempdir().unwrap();
    let uplink = joined(place.path());
    let (channel, asked) = control(AFTER).await;
    hears(&uplink, BEFORE);
    let member = uplink.route.member().unwrap();
    let mut renewing = std::pin::pin!(uplink.renew(member, channel.clone()));
    let waited = timeout(LONG, renewing.as_mut()).await;
    assert!(waited.is_err(), "it knows those: {waited:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    hears(&uplink, AFTER);
    let ended = timeout(SPREAD + TIMER, renewing.as_mut()).await;
    // The connection ends, so that the next one shows the new certificate.
    assert!(matches!(ended, Ok(Err(UplinkError::Renewed))), "{ended:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(revision(&uplink), AFTER);

    hears(&uplink, AFTER);
    let member = uplink.route.member().unwrap();
    let again = timeout(LONG, uplink.renew(member, channel)).await;
    assert!(again.is_err(), "it has what came of them: {again:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_away_while_the_authorities_changed_renews_when_it_hears_of_them() {
    let place = tempfile::tempdir().unwrap();
    let uplink = joined(place.path());
    let (channel, asked) = control(AFTER).await;
    // Before anybody waits for it.
    hears(&uplink, AFTER);
    let member = uplink.route.member().unwrap();
    let ended = timeout(SPREAD + TIMER, uplink.renew(member, channel)).await;
    assert!(matches!(ended, Ok(Err(UplinkError::Renewed))), "{ended:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(revision(&uplink), AFTER);
}

#[tokio::test(start_paused = true)]
async fn hosts_that_hear_of_newer_authorities_together_do_not_ask_together() {
    let place = tempfile::tempdir().unwrap();
    let uplink = joined(place.path());
    let member = uplink.route.member().unwrap().unwrap();
    hears(&uplink, AFTER);
    let mut waits = BTreeSet::new();
    for _ in 0..32 {
        let (began, mut heard) = (Instant::now(), uplink.authorities.subscribe());
        uplink.due(&member, &mut heard).await.unwrap();
        waits.insert(began.elapsed());
    }
    let (first, last) = (*waits.first().unwrap(), *waits.last().unwrap());
    assert!(last <= SPREAD + TIMER, "{last:?}");
    assert!(
        last.saturating_sub(first) > SPREAD / 4,
        "{first:?} to {last:?}"
    );
}
