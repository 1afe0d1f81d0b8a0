//! Locks: made, listed and removed.

use stayhand_guardrail::{id::LockId, lock::Target, time::DurationMs};
use stayhand_proto::{
    convert::span,
    v1::{self, lock_service_client::LockServiceClient},
};
use tonic::transport::Channel;

use super::{ANSWER_BYTES_MAX, Control, answer};
use crate::{failure::Failure, view::Lock};

impl Control {
    fn locks(&self) -> LockServiceClient<Channel> {
        LockServiceClient::new(self.channel()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) async fn list_locks(&self) -> Result<Vec<Lock>, Failure> {
        let mut locks = self.locks();
        let call = locks.list_locks(v1::ListLocksRequest {});
        let listed = answer("list the locks", self.patience(), call).await?;
        Ok(listed.locks.into_iter().map(Lock::of).collect())
    }

    pub(crate) async fn create_lock(
        &self,
        target: &Target,
        length: Option<DurationMs>,
        reason: String,
    ) -> Result<Lock, Failure> {
        let host = target.host().map(|host| format!("hosts/{host}"));
        let request = v1::CreateLockRequest {
            user: target.user().map(ToString::to_string).unwrap_or_default(),
            host: host.unwrap_or_default(),
            ttl: length.map(span),
            reason,
        };
        let mut locks = self.locks();
        let call = locks.create_lock(request);
        answer("make the lock", self.patience(), call)
            .await
            .map(Lock::of)
    }

    pub(crate) async fn remove_lock(&self, id: LockId, reason: String) -> Result<(), Failure> {
        let name = format!("locks/{id}");
        let mut locks = self.locks();
        let call = locks.remove_lock(v1::RemoveLockRequest { name, reason });
        answer("remove the lock", self.patience(), call)
            .await
            .map(|_| ())
    }
}
