//! Waits on this machine for the browser to come back with a code (RFC 8252, 7.3).
//!
//! Whatever else comes is turned away, and the wait goes on: other programs of this machine can connect as well, and say anything.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use stayhand_guardrail::text::safe_cut;
use tokio::{net::TcpListener, sync::mpsc};

use crate::failure::{Failure, Kind};

/// Where the browser comes back to.
const PATH: &str = "/signed-in";
/// As long as the control plane remembers what was begun.
const PATIENCE: Duration = Duration::from_mins(10);
/// Time for a request: whoever connects and says nothing is none of ours.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of what a provider says that are shown.
const SAID_CHARS_MAX: usize = 300;
const DONE: &str = "<!doctype html><meta charset=utf-8><title>Stayhand</title><p>You can close this page and go back to your terminal.";
const NOT_OURS: &str = "<!doctype html><meta charset=utf-8><title>Stayhand</title><p>This is not what somebody here waits for.";

/// What came back.
type Answer = Result<String, String>;

/// Listens.
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

impl Loopback {
    /// On a port that is free, for this machine only.
    pub(super) async fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::general(format!(
                "cannot listen for the browser to come back: {error}"
            ))
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    /// For the provider.
    pub(super) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for a code that came with this state.
    pub(super) async fn code(self, state: &str) -> Result<String, Failure> {
        let (sender, mut receiver) = mpsc::channel::<Answer>(1);
        let state: Arc<str> = state.into();
        let listener = self.listener;
        let serve = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, sender) = (Arc::clone(&state), sender.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (response, answer) = respond(&request, &state);
                        let sender = sender.clone();
                        async move {
                            if let Some(answer) = answer {
                                // Somebody waits for one; a second is for nobody.
                                let _taken = sender.try_send(answer);
                            }
                            Ok::<_, Infallible>(response)
                        }
                    });
                    // A connection that breaks is the browser's to make again.
                    let _served = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(REQUEST_TIMEOUT)
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let answer = tokio::time::timeout(PATIENCE, receiver.recv()).await;
        // The page is on its way to the browser: a moment for it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        serve.abort();
        match answer {
            Ok(Some(Ok(code))) => Ok(code),
            Ok(Some(Err(said))) => {
                let said = safe_cut(said.as_bytes(), SAID_CHARS_MAX);
                let error = format!("the identity provider did not sign you in: {said}");
                Err(Failure::new(Kind::Permission, error))
            }
            Ok(None) | Err(_) => Err(Failure::new(
                Kind::Unavailable,
                "the browser did not come back in ten minutes",
            )
            .hint("try again: stayhand login")),
        }
    }
}

fn respond(request: &Request<Incoming>, state: &str) -> (Response<Full<Bytes>>, Option<Answer>) {
    if request.method() != Method::GET || request.uri().path() != PATH {
        return (page(StatusCode::NOT_FOUND, NOT_OURS), None);
    }
    match read(request.uri().query().unwrap_or_default(), state) {
        Some(answer) => (page(StatusCode::OK, DONE), Some(answer)),
        None => (page(StatusCode::BAD_REQUEST, NOT_OURS), None),
    }
}

/// A code, or what the provider says instead; nothing where the state is another one.
fn read(query: &str, state: &str) -> Option<Answer> {
    let field = |name: &str| {
        let mut all = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        let first = all.next()?.1.into_owned();
        // Said twice it is nobody's word.
        all.next().is_none().then_some(first)
    };
    if field("state")? != state {
        return None;
    }
    if let Some(error) = field("error") {
        let more = field("error_description");
        return Some(Err(
            more.map_or_else(|| error.clone(), |more| format!("{error}: {more}"))
        ));
    }
    field("code").filter(|code| !code.is_empty()).map(Ok)
}

fn page(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let set = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // The address holds the code.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ];
    for (name, value) in set {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_to_what_was_asked_is_one() {
        for query in [
            "",
            "code=a",
            "code=a&state=other",
            "code=a&state=mine&state=mine",
            "state=mine",
            "code=&state=mine",
            "code=a&code=b&state=mine",
            "error=x&state=other",
        ] {
            assert_eq!(read(query, "mine"), None, "{query}");
        }
        assert_eq!(
            read("state=mine&code=a%2Fb", "mine"),
            Some(Ok("a/b".to_owned()))
        );
        let said = read(
            "error=access_denied&error_description=no&state=mine",
            "mine",
        );
        assert_eq!(said, Some(Err("access_denied: no".to_owned())));
    }
}
