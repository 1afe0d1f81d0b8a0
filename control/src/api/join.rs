//! `JoinService` and `HostCertificateService`: how hosts come to have certificates.

use std::sync::Arc;

use stayhand_proto::{
    convert::name,
    v1::{
        IssuedCertificate, JoinRequest, JoinResponse, RecoverRequest, RecoverResponse,
        RenewCertificateRequest, RenewCertificateResponse,
        host_certificate_service_server::HostCertificateService, join_service_server::JoinService,
    },
};
use stayhand_transport::Secret;
use tonic::{Request, Response, Status};

use super::{Api, pace::Kind};
use crate::{
    app::{Certified, Error, Joining, NotAdmitted, Shown},
    identity::Joiner,
};

#[tonic::async_trait]
impl JoinService for Api {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let joiner = joiner(&request)?;
        let JoinRequest {
            token,
            secret,
            host,
            certificate_request,
            bound_key,
            proof,
        } = request.into_inner();
        let admitted = self.to_the_end(|app| async move {
            let joining = joining(&joiner, &host, certificate_request, proof)?;
            let shown = Shown {
                token: name::parse("token", name::JOIN_TOKENS, &token)?,
                secret: Secret::from_slice(&secret).ok_or(NotAdmitted::UnknownToken)?,
                bound_key,
            };
            app.join(joining, shown).await
        });
        Ok(Response::new(JoinResponse {
            issued: Some(issued(admitted.await?)),
        }))
    }

    async fn recover(
        &self,
        request: Request<RecoverRequest>,
    ) -> Result<Response<RecoverResponse>, Status> {
        let joiner = joiner(&request)?;
        let RecoverRequest {
            host,
            certificate_request,
            proof,
        } = request.into_inner();
        let recovered = self.to_the_end(|app| async move {
            let joining = joining(&joiner, &host, certificate_request, proof)?;
            app.recover(joining).await
        });
        Ok(Response::new(RecoverResponse {
            issued: Some(issued(recovered.await?)),
        }))
    }
}

#[tonic::async_trait]
impl HostCertificateService for Api {
    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let agent = self.gate.agent(&request).await?;
        self.paces.next(agent.host(), Kind::Message).await;
        let RenewCertificateRequest {
            certificate_request,
        } = request.into_inner();
        let renewed =
            self.to_the_end(|app| async move { app.renew(&agent, &certificate_request).await });
        Ok(Response::new(RenewCertificateResponse {
            issued: Some(issued(renewed.await?)),
        }))
    }
}

/// Who wants to join: only the listener that is for that says so.
fn joiner<T>(request: &Request<T>) -> Result<Arc<Joiner>, Status> {
    let joiner = request.extensions().get::<Arc<Joiner>>();
    joiner.cloned().ok_or_else(|| {
        Status::unauthenticated("joining is only possible over the connection that is for it")
    })
}

fn joining(
    joiner: &Joiner,
    host: &str,
    request: Vec<u8>,
    proof: Vec<u8>,
) -> Result<Joining, Error> {
    Ok(Joining {
        host: name::parse("host", name::HOSTS, host)?,
        request,
        proof,
        connection: joiner.connection,
        address: joiner.address.to_string(),
    })
}

fn issued(certified: Certified) -> IssuedCertificate {
    let Certified {
        certificate,
        authorities,
        revision,
    } = certified;
    IssuedCertificate {
        certificate,
        authorities,
        authorities_revision: revision.0,
    }
}
