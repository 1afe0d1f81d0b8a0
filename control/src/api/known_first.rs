//! Nobody's words are read before it is known that somebody may call like that at all: the operators' socket is open to everybody, and
//! reading a message can take many times its size in memory.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{Status, codegen::http};
use tower::{Layer, Service};

use super::gate::Gate;
use crate::authz::{Action, CALLS};

/// A future on the heap; services have no name for theirs.
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Puts [`KnownFirst`] before a service.
#[derive(Clone)]
pub(super) struct KnownFirstLayer(pub(super) Gate);

impl<S> Layer<S> for KnownFirstLayer {
    type Service = KnownFirst<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KnownFirst {
            inner,
            gate: self.0.clone(),
        }
    }
}

/// A service whose callers are asked who they are by what the transport knows, before their body is looked at.
#[derive(Clone)]
pub(super) struct KnownFirst<S> {
    inner: S,
    gate: Gate,
}

impl<S, B, R> Service<http::Request<B>> for KnownFirst<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
{
    type Response = http::Response<R>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // The one that said it is ready is used, and its copy asked the next time.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let gate = self.gate.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let admitted = match action_of(parts.uri.path()) {
                Some(action) => gate.admit(&parts.extensions, action).await,
                None => Err(Status::unimplemented("there is no such call")),
            };
            match admitted {
                Ok(admitted) => {
                    parts.extensions.insert(admitted);
                    inner.call(http::Request::from_parts(parts, body)).await
                }
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// What a call is: its path is `/stayhand.v1.Service/Method`.
fn action_of(path: &str) -> Option<Action> {
    let (service, method) = path.strip_prefix("/stayhand.v1.")?.split_once('/')?;
    let is_it = |name: &str| name.split_once('.') == Some((service, method));
    let found = CALLS.iter().find(|(name, _)| is_it(name));
    found.map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_listed_has_no_action() {
        assert_eq!(
            action_of("/stayhand.v1.HoldService/ApproveHold"),
            Some(Action::HoldApprove)
        );
        for path in [
            "/stayhand.v1.HoldService/Approve",
            "/stayhand.v1.HoldService.ApproveHold",
            "/stayhand.v2.HoldService/ApproveHold",
            "/HoldService/ApproveHold",
            "",
        ] {
            assert_eq!(action_of(path), None, "{path}");
        }
    }
}
