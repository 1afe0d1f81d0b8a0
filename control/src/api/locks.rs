//! `LockService`.

use stayhand_proto::{
    convert::{duration, lock, name},
    v1::{
        CreateLockRequest, ListLocksRequest, ListLocksResponse, Lock, RemoveLockRequest,
        RemoveLockResponse, lock_service_server::LockService,
    },
};
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::{app::Error, authz::Action};

#[tonic::async_trait]
impl LockService for Api {
    async fn create_lock(
        &self,
        request: Request<CreateLockRequest>,
    ) -> Result<Response<Lock>, Status> {
        let operator = self.gate.operator(&request, Action::LockCreate).await?;
        let CreateLockRequest {
            user,
            host,
            ttl,
            reason,
        } = request.into_inner();
        let created = self.to_the_end(|app| async move {
            let target = lock::target(&user, &host)?;
            let ttl = ttl.map(|ttl| duration("ttl", Some(ttl))).transpose()?;
            app.create_lock(&operator, target, ttl, reason).await
        });
        Ok(Response::new(created.await?.into()))
    }

    async fn remove_lock(
        &self,
        request: Request<RemoveLockRequest>,
    ) -> Result<Response<RemoveLockResponse>, Status> {
        let operator = self.gate.operator(&request, Action::LockRemove).await?;
        let RemoveLockRequest {
            name: asked,
            reason,
        } = request.into_inner();
        let removed = self.to_the_end(|app| async move {
            let id = name::parse("name", name::LOCKS, &asked)?;
            app.remove_lock(&operator, id, reason).await
        });
        removed.await?;
        Ok(Response::new(RemoveLockResponse {}))
    }

    async fn list_locks(
        &self,
        request: Request<ListLocksRequest>,
    ) -> Result<Response<ListLocksResponse>, Status> {
        let operator = self.gate.operator(&request, Action::LockList).await?;
        let ListLocksRequest {} = request.into_inner();
        let listed = self.app.lock_list(&operator).await;
        let locks = listed.map_err(|error: Error| status::of(&error))?;
        Ok(Response::new(ListLocksResponse {
            locks: locks.into_iter().map(Into::into).collect(),
        }))
    }
}
